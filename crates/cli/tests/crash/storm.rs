//! The daemon is killed at random instants, while several clients define, start, destroy and undefine domains, and while
//! it starts. Whatever a client was told before stays true: nothing defined is lost or half written, no guest dies, none
//! runs that the next daemon does not know, and all are taken over.
//!
//! `SEVIRT_KILLS` is how often (25), `SEVIRT_SEED` repeats a run's choices.

use std::fs;
use std::time::Duration;

use rpc::client::Client;
use rpc::remote::common::{DomFlags, XmlFlags};
use rpc::remote::object::Domain;
use rpc::remote::procedure as p;

use crate::place::{Daemon, Failed, INACTIVE, PAUSED, Peer, Place, definition, name, object, pass, until};

/// Clients, and domains of each.
const CLIENTS: u8 = 3;
const DOMAINS: u8 = 3;
/// The longest that a storm lasts.
const STORM_MS: u64 = 400;

/// Numbers that look random and come again for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// What is being done to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Define(u64),
    Start,
    Destroy,
    Undefine,
}

/// What a client was told of a domain of its own.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The number of its definition.
    defined: Option<u64>,
    /// The process of its guest.
    runs: Option<u32>,
    /// What was not answered.
    flight: Option<Deed>,
}

impl Known {
    /// Something that can be done now.
    fn next(&self, dice: &mut Dice) -> Deed {
        match (self.defined, self.runs) {
            (None, None) => Deed::Define(dice.roll(1 << 30)),
            (Some(_), None) => match dice.roll(4) {
                0 => Deed::Undefine,
                1 => Deed::Define(dice.roll(1 << 30)),
                _ => Deed::Start,
            },
            (_, Some(_)) => match dice.roll(4) {
                0 if self.defined.is_some() => Deed::Define(dice.roll(1 << 30)),
                _ => Deed::Destroy,
            },
        }
    }
}

fn carry_out(
    peer: &mut Peer,
    place: &Place,
    client: u8,
    domain: u8,
    deed: Deed,
    known: &mut Known,
) -> Result<(), Failed> {
    let dom = object(client, domain);
    match deed {
        Deed::Define(number) => {
            let xml = definition(client, domain, number);
            peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml: xml.into(), flags: 0 })?;
            known.defined = Some(number);
        }
        Deed::Start => {
            peer.call::<p::DomainCreateWithFlags>(&DomFlags { dom, flags: PAUSED })?;
            let name = name(client, domain);
            let pid = place.qemus().into_iter().find(|(_, guest)| *guest == name).map(|(pid, _)| pid);
            known.runs = Some(pid.unwrap());
        }
        Deed::Destroy => {
            peer.call::<p::DomainDestroy>(&dom)?;
            known.runs = None;
        }
        Deed::Undefine => {
            peer.call::<p::DomainUndefineFlags>(&DomFlags { dom, flags: 0 })?;
            known.defined = None;
        }
    }
    Ok(())
}

/// Does one thing after the other to a client's domains until the daemon is gone.
fn storm(place: &Place, client: u8, mut dice: Dice, mut known: Vec<Known>) -> Vec<Known> {
    let Ok(mut peer) = Peer::connect(place) else { return known };
    loop {
        let domain = u8::try_from(dice.roll(u64::from(DOMAINS))).unwrap();
        let known_of_it = &mut known[usize::from(domain)];
        let deed = known_of_it.next(&mut dice);
        known_of_it.flight = Some(deed);
        match carry_out(&mut peer, place, client, domain, deed, known_of_it) {
            Ok(()) => known_of_it.flight = None,
            Err(Failed::Gone) => return known,
            Err(Failed::Refused(error)) => panic!("{deed:?} of {}: {error}", name(client, domain)),
        }
    }
}

/// The number of a domain's definition, which must be whole.
fn defined(peer: &mut Peer, dom: &Domain<'static>) -> Option<u64> {
    let args = DomFlags { dom: dom.clone(), flags: INACTIVE };
    let message = match peer.call::<p::DomainGetXmlDesc>(&args) {
        Ok(message) => message,
        Err(Failed::Refused(error)) if error.contains("Domain not found") => return None,
        Err(error) => panic!("{error:?}"),
    };
    let text = Client::reply::<p::DomainGetXmlDesc>(&message).unwrap().to_string();
    let document = domain::Document::parse(&text).unwrap();
    let (read, _) = domain::Domain::read(&document);
    assert_eq!(read.name, dom.name.to_string(), "{text}");
    assert_eq!(read.description.map(|text| text.len()), Some("long ".len() * 600));
    Some(read.title.unwrap().parse().unwrap())
}

fn is_active(peer: &mut Peer, dom: &Domain<'static>) -> bool {
    match peer.call::<p::DomainIsActive>(dom) {
        Ok(message) => Client::reply::<p::DomainIsActive>(&message).unwrap() != 0,
        Err(Failed::Refused(error)) if error.contains("Domain not found") => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// Holds what the clients were told against what there is, and gives what there is.
fn verify(place: &Place, told: &[Vec<Known>], round: u32) -> Vec<Vec<Known>> {
    let mut peer = Peer::connect(place).unwrap();
    let mut now = Vec::new();
    for (client, told) in (0..CLIENTS).zip(told) {
        let mut row = Vec::new();
        for (domain, told) in (0..DOMAINS).zip(told) {
            let dom = object(client, domain);
            let own = name(client, domain);
            let context = || format!("round {round}, {own}, told {told:?}");
            let is = defined(&mut peer, &dom);
            let may_be = match told.flight {
                Some(Deed::Define(number)) => vec![told.defined, Some(number)],
                Some(Deed::Undefine) => vec![told.defined, None],
                _ => vec![told.defined],
            };
            assert!(may_be.contains(&is), "{} is defined as {is:?}", context());
            // A guest that was just being ended may take a moment.
            let pids = || -> Vec<u32> {
                place.qemus().into_iter().filter(|(_, guest)| *guest == own).map(|(pid, _)| pid).collect()
            };
            let mut active = is_active(&mut peer, &dom);
            until(&format!("{}: known as active: {active}, processes {:?}", context(), pids()), || {
                active = is_active(&mut peer, &dom);
                pids().len() == usize::from(active)
            });
            let runs = pids().first().copied();
            match (told.runs, told.flight) {
                (Some(pid), flight) if flight != Some(Deed::Destroy) => {
                    assert_eq!(runs, Some(pid), "{}: the guest died", context());
                }
                (None, flight) if flight != Some(Deed::Start) => {
                    assert_eq!(runs, None, "{}: it runs", context());
                }
                _ => {}
            }
            row.push(Known { defined: is, runs, flight: None });
        }
        now.push(row);
    }
    let known: Vec<u32> = now.iter().flatten().filter_map(|known| known.runs).collect();
    let strays: Vec<_> = place.qemus().into_iter().filter(|(pid, _)| !known.contains(pid)).collect();
    assert!(strays.is_empty(), "round {round}: nobody knows {strays:?}");
    now
}

/// Has the daemon look at QEMU once, which takes longer than a storm lasts.
fn warm_up(place: &Place) {
    let daemon = place.daemon();
    let mut peer = Peer::connect(place).unwrap();
    let xml = definition(0, 0, 0).into();
    peer.call::<p::DomainDefineXmlFlags>(&XmlFlags { xml, flags: 0 }).unwrap();
    peer.call::<p::DomainUndefineFlags>(&DomFlags { dom: object(0, 0), flags: 0 }).unwrap();
    drop(daemon);
}

#[test]
fn a_killed_daemon_loses_nothing() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("SEVIRT_KILLS").unwrap_or(25);
    let seed = number("SEVIRT_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) | 1
    });
    println!("{kills} kills, SEVIRT_SEED={seed}");
    let mut dice = Dice(seed);
    let place = Place::new();
    warm_up(&place);
    let none = vec![vec![Known::default(); usize::from(DOMAINS)]; usize::from(CLIENTS)];
    let (mut known, mut killed, mut taken_over, mut round) = (none, 0, 0, 0);
    while killed < kills {
        round += 1;
        let mut daemon = place.daemon();
        known = verify(&place, &known, round);
        taken_over += known.iter().flatten().filter(|known| known.runs.is_some()).count();
        let delay = Duration::from_micros(dice.roll(STORM_MS * 1000));
        known = std::thread::scope(|scope| {
            let storms: Vec<_> = (0..CLIENTS)
                .zip(std::mem::take(&mut known))
                .map(|(client, known)| {
                    let (place, dice) = (&place, Dice(dice.roll(u64::MAX) | 1));
                    scope.spawn(move || storm(place, client, dice, known))
                })
                .collect();
            pass(delay);
            daemon.0.kill().unwrap();
            daemon.0.wait().unwrap();
            storms.into_iter().map(|storm| storm.join().unwrap()).collect()
        });
        killed += 1;
        // Now and then the next one is killed while it starts.
        if dice.roll(4) == 0 && killed < kills {
            let daemon = Daemon(place.command().spawn().unwrap());
            pass(Duration::from_micros(dice.roll(40_000)));
            drop(daemon);
            killed += 1;
        }
    }
    let mut daemon = place.daemon();
    let known = verify(&place, &known, round + 1);
    let mut peer = Peer::connect(&place).unwrap();
    for (client, row) in (0..CLIENTS).zip(&known) {
        for (domain, known) in (0..DOMAINS).zip(row) {
            let dom = object(client, domain);
            if known.runs.is_some() {
                peer.call::<p::DomainDestroy>(&dom).unwrap();
            }
            if known.defined.is_some() {
                peer.call::<p::DomainUndefineFlags>(&DomFlags { dom, flags: 0 }).unwrap();
            }
        }
    }
    assert!(place.qemus().is_empty());
    assert_eq!(fs::read_dir(place.path("run/guests")).unwrap().count(), 0, "a run directory is left");
    assert_eq!(fs::read_dir(place.path("lib/domains")).unwrap().count(), 0, "a definition is left");
    daemon.0.kill().unwrap();
    println!("{killed} kills, {taken_over} guests taken over");
    assert!(taken_over > 0, "no guest ran when the daemon was killed: nothing was tried");
}
