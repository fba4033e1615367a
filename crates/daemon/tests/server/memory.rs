//! What clients cost in memory, whatever they do.

use std::io::Write as _;
use std::time::{Duration, Instant};

use rpc::remote::procedure as call;

use crate::common::{self, Connection, Daemon};

#[test]
fn a_length_that_is_announced_takes_no_memory() {
    let daemon = Daemon::alone();
    let mut clients: Vec<Connection> = (0..32).map(|_| daemon.opened()).collect();
    let before = common::resident();
    for client in &mut clients {
        // 32 MiB each, of which a little comes.
        client.write(&(32u32 << 20).to_be_bytes());
        client.write(&[0; 20]);
    }
    daemon.opened().ping();
    let more = common::resident().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes for what never came");
}

#[test]
fn who_floods_and_does_not_read_is_slowed_down_at_a_bound() {
    let daemon = Daemon::alone();
    let before = common::resident();
    let flood = daemon.opened();
    let socket = flood.socket.try_clone().unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut client = rpc::Client::new();
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        bytes.extend(client.call::<call::ConnectGetUri>(&()).unwrap().1);
    }
    let mut sent = 0;
    while (&socket).write_all(&bytes).is_ok() {
        sent += bytes.len();
        assert!(sent < 64 << 20, "the daemon takes calls without end");
    }
    daemon.opened().ping();
    let more = common::resident().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes for a client that does not read");
}

#[test]
fn a_thousand_idle_connections() {
    let daemon = Daemon::alone();
    daemon.opened().ping();
    let before = common::resident();
    let mut clients: Vec<Connection> = (0..1000).map(|_| daemon.opened()).collect();
    let each = common::resident().saturating_sub(before) / 1000;
    // Both ends are in this process.
    assert!(each < 16 << 10, "{each} bytes a connection");
    let begin = Instant::now();
    daemon.opened().ping();
    assert!(begin.elapsed() < Duration::from_secs(1));
    clients.iter_mut().step_by(100).for_each(Connection::ping);
}

#[test]
fn readers_hold_no_more_than_their_share_together() {
    let daemon = Daemon::alone();
    let mut clients: Vec<Connection> = (0..100)
        .map(|_| {
            let mut client = daemon.read_only();
            client.open();
            client
        })
        .collect();
    let before = common::resident();
    // 3 MiB each of a message that never ends.
    let mut piece = (4u32 << 20).to_be_bytes().to_vec();
    piece.resize(3 << 20, 0);
    let outcomes = clients.iter_mut().map(|client| client.socket.write_all(&piece));
    let refused = outcomes.filter(Result::is_err).count();
    assert!(refused > 50, "only {refused} of 100 clients were closed");
    let more = common::resident().saturating_sub(before);
    assert!(more < 160 << 20, "{more} bytes for 100 readers");
    daemon.opened().ping();
    let mut reader = daemon.read_only();
    reader.open();
    reader.ping();
}
