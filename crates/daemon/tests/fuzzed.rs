//! The fuzzer's own function on its corpora, and on what proptest makes: whatever a client sends, each of its calls is
//! answered once.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rpc::packet::{self, Header, Kind, Status};
use rpc::{keepalive, remote};

#[expect(unreachable_pub, reason = "the fuzzer's own crate has it as it is")]
#[path = "../../../fuzz/src/server.rs"]
mod server;

#[test]
fn the_corpora_hold() {
    let mut seeds = 0;
    for name in ["rpc", "server"] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        for entry in fs::read_dir(corpus).unwrap() {
            server::run(&fs::read(entry.unwrap().path()).unwrap());
            seeds += 1;
        }
    }
    assert!(seeds > 20, "only {seeds} seeds");
}

/// A packet of some kind, most often a call, with a small payload.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![
        6 => Just(Kind::Call),
        1 => Just(Kind::Stream),
        1 => Just(Kind::StreamHole),
        1 => Just(Kind::Message),
        1 => Just(Kind::Reply),
    ];
    let statuses = prop_oneof![8 => Just(Status::Ok), 1 => Just(Status::Error), 1 => Just(Status::Continue)];
    let payload = proptest::collection::vec(0u8..5, 0..64);
    let call = (-1i32..456, kinds, statuses, 0u32..6, payload).prop_map(
        |(procedure, kind, status, serial, payload)| {
            let (program, version) = (remote::PROGRAM.number, remote::PROGRAM.version);
            let header = Header { program, version, procedure, kind, serial, status };
            packet::encode_bytes(header, &payload).unwrap()
        },
    );
    prop_oneof![9 => call, 1 => Just(keepalive::Procedure::Ping.packet().to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn packets_of_all_kinds(choice in any::<u8>(), packets in proptest::collection::vec(packet(), 1..40)) {
        let mut bytes = vec![choice];
        packets.iter().for_each(|packet| bytes.extend(packet));
        server::run(&bytes);
    }

    #[test]
    fn packets_that_break_off(
        choice in any::<u8>(),
        packets in proptest::collection::vec(packet(), 1..8),
        end in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = vec![choice];
        packets.iter().for_each(|packet| bytes.extend(packet));
        bytes.extend(end);
        server::run(&bytes);
    }
}
