//! Records what a libvirt client and daemon say to each other: a relay between a socket to listen on and the daemon's.
//!
//!     cargo run -p rpc --example record -- LISTEN DAEMON OUT
//!     virsh -c 'qemu:///system?socket=LISTEN' list
//!
//! Each connection's packets are appended to OUT, a fixture of `tests/golden`, when it ends. Packets of more than 4 KiB
//! are left out, and so are those that would tell about the machine (`LEFT_OUT`).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a tool of the tests: what goes wrong ends it")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use fixture::{Packet, Side};
use rpc::packet::{Header, Kind, Status};
use rpc::{Decoder, Limit, Message};

#[path = "../tests/golden/fixture.rs"]
mod fixture;

const LARGEST: usize = 4096;

/// Procedures of the remote program whose results describe the machine: capabilities, system information, devices,
/// host processors and processor models.
const LEFT_OUT: [i32; 9] = [7, 203, 342, 285, 112, 114, 403, 162, 394];

type Log = Arc<Mutex<Vec<Packet>>>;

/// Copies one direction, and logs each packet once it is whole.
fn relay(side: Side, mut from: UnixStream, mut to: UnixStream, log: &Log) {
    let mut decoder = Decoder::new(Limit::Full);
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
        let mut next = decoder.push(&buffer[..count]).expect("packets");
        while let Some(message) = next {
            if wanted(&message) {
                let bytes =
                    rpc::packet::encode_bytes(message.header, message.payload()).expect("it came as one");
                log.lock().unwrap_or_else(PoisonError::into_inner).push(Packet { side, bytes });
            }
            next = decoder.push(&[]).expect("packets");
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn wanted(message: &Message) -> bool {
    let Header { program, procedure, kind, status, .. } = message.header;
    let tells =
        program == rpc::remote::PROGRAM.number && LEFT_OUT.contains(&procedure) && kind == Kind::Reply;
    let small = message.payload().len() <= LARGEST;
    // Descriptors do not pass this relay.
    small && !kind.has_fds() && (!tells || status == Status::Error)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, daemon, out] = &arguments[..] else { panic!("record LISTEN DAEMON OUT") };
    let listener = UnixListener::bind(listen).expect("listen");
    let out = Arc::new(Mutex::new(File::options().create(true).append(true).open(out).expect("open OUT")));
    for client in listener.incoming() {
        let client = client.expect("a connection");
        let server = UnixStream::connect(daemon).expect("connect to the daemon");
        let log = Log::default();
        let out = Arc::clone(&out);
        thread::spawn(move || {
            let (there, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let to_server = Arc::clone(&log);
            let sender = thread::spawn(move || relay(Side::Client, client, there, &to_server));
            relay(Side::Server, server, back, &log);
            sender.join().expect("the other direction");
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            for packet in log.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                writeln!(out, "{}", fixture::render(packet)).expect("write OUT");
            }
        });
    }
}
