//! Packets that libvirt 11.3's own clients and daemon exchanged, decoded and encoded again to the same bytes.
//!
//! `test_data/*.packets` were recorded by `examples/record.rs`; PROVENANCE.md says how. The text beside the words is
//! made from what the words decode to; `UPDATE_EXPECT=1` makes it anew.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that can not read its data has failed")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use rpc::packet::{self, Kind};
use rpc::{Decoder, Limit, Message, Program, qemu, remote};

use fixture::{Packet, Payload, Side};

mod fixture;

fn test_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data")
}

/// Every fixture, with the text before its first packet.
fn fixtures() -> Vec<(PathBuf, String, Vec<Packet>)> {
    let mut found: Vec<_> = std::fs::read_dir(test_data())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "packets"))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let about = text.lines().take_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
            let packets = parse(&text);
            (path, about, packets)
        })
        .collect()
}

/// The packets of a fixture.
fn parse(text: &str) -> Vec<Packet> {
    let mut packets: Vec<Packet> = Vec::new();
    for line in text.lines() {
        let content = line.split('#').next().unwrap_or_default();
        if content.trim().is_empty() {
            continue;
        }
        if content.starts_with(' ') {
            let packet = packets.last_mut().expect("words follow the line that says whose they are");
            let digits: Vec<u8> = content.bytes().filter(|byte| *byte != b' ').collect();
            for pair in digits.chunks(2) {
                let pair = std::str::from_utf8(pair).unwrap();
                packet.bytes.push(u8::from_str_radix(pair, 16).unwrap());
            }
        } else {
            let side = if content.starts_with("client") { Side::Client } else { Side::Server };
            packets.push(Packet { side, bytes: Vec::new() });
        }
    }
    packets
}

#[test]
fn what_decodes_encodes_to_the_bytes_that_were_recorded() {
    for (path, _, packets) in fixtures() {
        for packet in packets {
            let message = fixture::message(&packet.bytes);
            let payload = Payload::read(&message)
                .unwrap_or_else(|error| panic!("{}: {error}\n{:?}", path.display(), message.header));
            let again = match &payload {
                Payload::Data(bytes) => packet::encode_bytes(message.header, bytes).unwrap(),
                Payload::Bare(bytes) => {
                    assert!(bytes.is_empty(), "{}: no type for {:?}", path.display(), message.header);
                    packet::encode_bytes(message.header, bytes).unwrap()
                }
                typed => packet::encode_with(message.header, |to| typed.write(to)).unwrap(),
            };
            assert_eq!(again, packet.bytes, "{}: {payload:?}", path.display());
        }
    }
}

#[test]
fn the_notes_beside_the_words_are_true() {
    for (path, about, packets) in fixtures() {
        let text: Vec<String> = packets.iter().map(fixture::render).collect();
        expect_file![path].assert_eq(&format!("{about}\n\n{}", text.join("\n")));
    }
}

#[test]
fn a_conversation_comes_apart_the_same_in_any_pieces() {
    for (path, _, packets) in fixtures() {
        for side in [Side::Client, Side::Server] {
            let sent = || packets.iter().filter(|packet| packet.side == side);
            let bytes: Vec<u8> = sent().flat_map(|packet| packet.bytes.clone()).collect();
            let whole: Vec<Message> = sent().map(|packet| fixture::message(&packet.bytes)).collect();
            for piece in [1, 3, 28, 1000, usize::MAX] {
                let mut decoder = Decoder::new(Limit::Full);
                let mut messages = Vec::new();
                for piece in bytes.chunks(piece) {
                    let mut next = decoder.push(piece).unwrap();
                    while let Some(message) = next {
                        messages.push(message);
                        next = decoder.push(&[]).unwrap();
                    }
                }
                assert!(messages == whole, "{} in pieces of {piece}", path.display());
            }
        }
    }
}

/// What of each procedure was recorded.
#[test]
fn what_is_covered_by_recorded_packets() {
    let mut seen = BTreeSet::new();
    for (_, _, packets) in fixtures() {
        for packet in packets {
            let header = fixture::message(&packet.bytes).header;
            let error = header.status == packet::Status::Error;
            seen.insert((header.program, header.procedure, header.kind.number(), error));
        }
    }
    let had = |program: Program, procedure: i32, kind: Kind, error: bool| {
        seen.contains(&(program.number, procedure, kind.number(), error))
    };
    let row = |program: Program, number: i32| {
        let mut kinds = Vec::new();
        for (kind, error, word) in [
            (Kind::Call, false, "call"),
            (Kind::Reply, false, "reply"),
            (Kind::Reply, true, "error"),
            (Kind::Stream, false, "stream"),
            (Kind::Message, false, "event"),
        ] {
            if had(program, number, kind, error) {
                kinds.push(word);
            }
        }
        kinds.join(" ")
    };
    let mut text =
        "# Which typed procedures have packets of libvirt 11.3 in this directory. A test writes this.\n"
            .to_owned();
    let mut covered = 0;
    let mut typed = 0;
    let mut line = |name: String, kinds: String| {
        typed += 1;
        covered += usize::from(!kinds.is_empty());
        let kinds = if kinds.is_empty() { "-".to_owned() } else { kinds };
        writeln!(text, "{name:<60} {kinds}").unwrap();
    };
    for procedure in remote::Procedure::ALL {
        if is_typed(remote::Call::decode(*procedure, &[]), remote::Event::decode(*procedure, &[])) {
            let number = procedure.number();
            line(format!("remote {number:>3} {procedure}"), row(remote::PROGRAM, number));
        }
    }
    for procedure in qemu::Procedure::ALL {
        if is_typed(qemu::Call::decode(*procedure, &[]), qemu::Event::decode(*procedure, &[])) {
            let number = procedure.number();
            line(format!("qemu   {number:>3} {procedure}"), row(qemu::PROGRAM, number));
        }
    }
    writeln!(text, "# {covered} of {typed}").unwrap();
    expect_file![test_data().join("coverage.txt")].assert_eq(&text);
}

/// Whether a decoder knows the payload at all, be it empty or too short here.
fn is_typed<C, E, F>(call: Result<Option<C>, F>, event: Result<Option<E>, F>) -> bool {
    !matches!((call, event), (Ok(None), Ok(None)))
}

#[test]
fn fixtures_are_small_and_say_what_they_are() {
    for (path, about, packets) in fixtures() {
        assert!(about.starts_with("# "), "{}: says nothing about itself", path.display());
        for packet in packets {
            assert!(packet.bytes.len() <= 8192, "{}: {} bytes", path.display(), packet.bytes.len());
        }
    }
}
