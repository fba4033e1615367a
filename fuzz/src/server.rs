//! The daemon's connection from an enemy: packets in any order and pieces, before and after the connection is opened. Every
//! call is answered, and nothing else is. A plain function: the fuzzer calls it, and so does a test of `daemon`.
//!
//! The client may read and nothing more, so that no run of it starts a program or writes a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use daemon::server;
use daemon::service::{Paths, Service};
use rpc::packet::{Kind, Status};
use rpc::remote::connect::OpenArgs;
use rpc::remote::procedure::ConnectOpen;
use rpc::{Client, Decoder, Limit, Rights};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Panics where something that holds for all bytes does not hold for these. The first byte chooses who the client is and
/// the pieces in which its bytes come.
pub fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let rights = if choice & 1 == 0 { Rights::Read } else { Rights::None };
    let piece = usize::from(choice >> 1).max(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(4 << 10);
        let (reader, writer) = tokio::io::split(near);
        let talk = tokio::time::timeout(PATIENCE, talk(far, bytes, piece));
        let serve = server::converse(service(), rights, reader, writer);
        let ((), talk) = tokio::join!(serve, talk);
        talk.expect("everything is answered in time");
    });
    runtime.shutdown_background();
}

fn service() -> Arc<Service> {
    static SERVICE: OnceLock<Arc<Service>> = OnceLock::new();
    // Nothing can be written there, and nothing is.
    let nowhere = Path::new("/dev/null/sevirt");
    Arc::clone(SERVICE.get_or_init(|| Service::open(Paths::below(nowhere, true))))
}

/// The client's side: sends all, and waits until every call that it has made is answered or the daemon hangs up.
async fn talk(far: DuplexStream, bytes: &[u8], piece: usize) {
    let mut sent = Vec::new();
    if piece.is_multiple_of(2) {
        let args = OpenArgs { name: None, flags: 0 };
        sent.extend(Client::new().call::<ConnectOpen>(&args).expect("it can be sent").1);
    }
    sent.extend(bytes);
    let (mut waiting, whole) = calls(&sent);
    let (mut reader, mut writer) = tokio::io::split(far);
    let write = async {
        for piece in sent.chunks(piece) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        let mut decoder = Decoder::new(Limit::Full);
        let mut buffer = [0; 4096];
        // What goes wrong is not answered, and what was called before it may not be.
        while !whole || waiting.values().any(|count| *count > 0) {
            let length = reader.read(&mut buffer).await.unwrap_or(0);
            if length == 0 {
                assert!(!whole, "the daemon hangs up on a client that keeps to the protocol");
                return;
            }
            let mut next = decoder.push(&buffer[..length]).expect("what is answered is packets");
            while let Some(message) = next {
                let header = message.header;
                match header.kind {
                    Kind::Reply => {
                        let count = waiting.get_mut(&header.serial).expect("an answer to a call");
                        *count = count.checked_sub(1).expect("one answer to a call");
                        assert_ne!(header.status, Status::Continue);
                    }
                    // Pongs, pings and events.
                    Kind::Message => {}
                    other => panic!("{other:?} was not asked for"),
                }
                next = decoder.push(&[]).expect("what is answered is packets");
            }
        }
    };
    if whole {
        tokio::join!(write, read);
    } else {
        // The daemon may hang up at any moment, and need not read all.
        tokio::select! { () = read => {}, () = write => {} }
    }
}

/// How often each serial is called, and whether all bytes keep to the protocol.
fn calls(bytes: &[u8]) -> (BTreeMap<u32, usize>, bool) {
    let mut decoder = Decoder::new(Limit::Handshake);
    let mut calls = BTreeMap::new();
    let mut input = bytes;
    loop {
        match decoder.advance(&mut input) {
            Ok(Some(message)) if message.header.kind.is_call() => {
                *calls.entry(message.header.serial).or_default() += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => return (calls, true),
            Err(_) => return (calls, false),
        }
    }
}
