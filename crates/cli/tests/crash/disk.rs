//! A disk that is full or cannot be written to: the client is told what could not be done, and what was there stays.

use std::process::Command;

use rpc::client::Client;
use rpc::remote::common::{DomFlags, XmlFlags};
use rpc::remote::procedure as p;

use crate::place::{Failed, INACTIVE, PAUSED, Peer, Place, definition, object};

/// The daemon after `mounts` in a mount namespace of its own; `$0` is its directory.
fn mounted(place: &Place, mounts: &str) -> Command {
    let daemon = place.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{mounts} && exec \"$@\"")]).arg(place.0.path());
    command.arg(daemon.get_program()).args(daemon.get_args());
    command
}

fn define(peer: &mut Peer, domain: u8, number: u64) -> Result<(), Failed> {
    let xml = definition(0, domain, number).into();
    peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml, flags: 0 }).map(drop)
}

fn text(peer: &mut Peer, domain: u8) -> String {
    let args = DomFlags { dom: object(0, domain), flags: INACTIVE };
    let message = peer.call::<p::DomainGetXmlDesc>(&args).unwrap();
    Client::reply::<p::DomainGetXmlDesc>(&message).unwrap().to_string()
}

#[track_caller]
fn refused(result: Result<(), Failed>, why: &str) {
    let Err(Failed::Refused(error)) = result else { panic!("{result:?}") };
    assert!(error.contains(why) && error.contains("unchanged"), "{error}");
}

#[test]
fn a_full_disk_is_named_and_what_was_there_stays() {
    let place = Place::new();
    std::fs::create_dir(place.path("lib")).unwrap();
    let mounts = "mount -t tmpfs -o size=64k,mode=700 none \"$0/lib\"";
    let daemon = place.wait_for(mounted(&place, mounts));
    let mut peer = Peer::connect(&place).unwrap();
    let mut number = 0;
    let error = loop {
        match define(&mut peer, number, 1) {
            Ok(()) => number += 1,
            error => break error,
        }
    };
    assert!(number > 2, "the disk was full before anything was on it");
    refused(error, "No space left on device");
    let before = text(&mut peer, 0);
    refused(define(&mut peer, 0, 2), "No space left on device");
    assert_eq!(text(&mut peer, 0), before);
    let message = peer.call::<p::ConnectNumOfDefinedDomains>(&()).unwrap();
    let count = Client::reply::<p::ConnectNumOfDefinedDomains>(&message).unwrap();
    assert_eq!(count, i32::from(number), "one that was refused is there");
    // Room for one is room for another.
    peer.call::<p::DomainUndefineFlags>(&DomFlags { dom: object(0, 1), flags: 0 }).unwrap();
    define(&mut peer, 0, 3).unwrap();
    assert!(text(&mut peer, 0).contains("<title>3</title>"));
    drop(daemon);
}

#[test]
fn a_directory_that_cannot_be_written_to_serves_what_it_has() {
    let place = Place::new();
    let daemon = place.daemon();
    define(&mut Peer::connect(&place).unwrap(), 0, 1).unwrap();
    drop(daemon);
    let mounts = "mount -t tmpfs -o size=1m,mode=700 none \"$0/cache\" && cp -a \"$0/lib\" \"$0/cache/lib\" \
                  && mount --bind \"$0/cache/lib\" \"$0/lib\" && touch \"$0/lib/daemon.lock\" \
                  && mount --bind \"$0/lib/domains\" \"$0/lib/domains\" \
                  && mount -o remount,bind,ro \"$0/lib/domains\"";
    std::fs::create_dir_all(place.path("cache")).unwrap();
    let daemon = place.wait_for(mounted(&place, mounts));
    let mut peer = Peer::connect(&place).unwrap();
    let before = text(&mut peer, 0);
    refused(define(&mut peer, 0, 2), "Read-only file system");
    refused(define(&mut peer, 1, 1), "Read-only file system");
    let undefined = peer.call::<p::DomainUndefineFlags>(&DomFlags { dom: object(0, 0), flags: 0 });
    refused(undefined.map(drop), "Read-only file system");
    assert_eq!(text(&mut peer, 0), before);
    // Guests are none of that disk's business.
    peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom: object(0, 0), flags: PAUSED }).unwrap();
    peer.call::<p::DomainDestroy>(&object(0, 0)).unwrap();
    drop(daemon);
}
