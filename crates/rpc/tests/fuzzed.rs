//! The fuzzer's own function, on its corpus, on recorded packets that were tampered with, and on what proptest makes; and
//! what decoding allocates, counted by the allocator itself.

#![expect(unsafe_code, reason = "an allocator that counts is a global allocator")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail anywhere")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rpc::packet::{self, Header, Kind, Status};
use rpc::{Decoder, Limit, Message, qemu, remote};

#[expect(unreachable_pub, reason = "the fuzzer's own crate has it as it is")]
#[path = "../../../fuzz/src/rpc.rs"]
mod wire;

/// Counts what this thread has allocated, and the most that it had at one time.
struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get() + layout.size();
        NOW.set(now);
        PEAK.set(PEAK.get().max(now));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` had allocated at one time.
fn peak(work: impl FnOnce()) -> usize {
    let before = NOW.get();
    PEAK.set(before);
    work();
    PEAK.get() - before
}

/// How much memory a byte of a payload may become: an empty string is 4 bytes on the wire and 24 in memory; what else
/// stands in lists grows less.
const GROWTH: usize = 6;

fn message(program: rpc::Program, procedure: i32, payload: &[u8]) -> Message {
    let header = Header {
        program: program.number,
        version: program.version,
        procedure,
        kind: Kind::Call,
        serial: 1,
        status: Status::Ok,
    };
    let packet = packet::encode_bytes(header, payload).unwrap();
    Decoder::new(Limit::Full).push(&packet).unwrap().unwrap()
}

/// Decodes a payload as everything that it might be, and looks at what that allocates.
fn decoding_stays_small(payload: &[u8]) {
    for procedure in remote::Procedure::ALL {
        let message = message(remote::PROGRAM, procedure.number(), payload);
        let most = peak(|| {
            let _ = remote::Call::decode(*procedure, message.payload());
        })
        .max(peak(|| {
            let _ = remote::Reply::decode(*procedure, message.payload());
        }))
        .max(peak(|| {
            let _ = remote::Event::decode(*procedure, message.payload());
        }));
        assert!(most <= GROWTH * payload.len(), "{procedure}: {most} bytes for {} received", payload.len());
    }
    for procedure in qemu::Procedure::ALL {
        let message = message(qemu::PROGRAM, procedure.number(), payload);
        let most = peak(|| {
            let _ = qemu::Call::decode(*procedure, message.payload());
        });
        assert_eq!(most, 0, "{procedure}: nothing of it needs memory");
    }
}

#[test]
fn lists_of_nothing_grow_no_more_than_they_must() {
    let empty_strings = [&16384_u32.to_be_bytes()[..], &[0; 4 * 16384]].concat();
    decoding_stays_small(&empty_strings);
    let empty_domains = [&16384_u32.to_be_bytes()[..], &[0; 24 * 16384 + 8]].concat();
    decoding_stays_small(&empty_domains);
}

#[test]
fn a_count_alone_allocates_nothing() {
    for count in [1_u32, 20, 1024, 16384, 65536, 262_144, u32::MAX] {
        decoding_stays_small(&count.to_be_bytes());
    }
}

#[test]
fn reading_a_packet_allocates_its_payload_once() {
    let text = rpc::xdr::Text::from("x".repeat(3 << 20));
    let call = remote::Call::DomainDefineXml(text);
    let packet = call.encode(message(remote::PROGRAM, 11, &[]).header).unwrap();
    let most = peak(|| {
        let message = Decoder::new(Limit::Full).push(&packet).unwrap().unwrap();
        assert!(
            remote::Call::decode(remote::Procedure::DomainDefineXml, message.payload()).unwrap().is_some()
        );
    });
    assert!(most < packet.len() + 1024, "{most} bytes for a packet of {}", packet.len());
}

#[test]
fn a_peer_that_announces_much_and_sends_little_costs_little() {
    let most = peak(|| {
        let mut decoder = Decoder::new(Limit::Full);
        decoder.push(&(32_u32 << 20).to_be_bytes()).unwrap();
        for _ in 0..1000 {
            decoder.push(&[0]).unwrap();
        }
    });
    // While it grows the old room is there beside the new.
    assert!(most <= 4 * 1004, "{most}");
}

#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/rpc");
    let seeds: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() > 10, "only {} seeds", seeds.len());
    for seed in &seeds {
        wire::run(seed);
    }
    // Each byte of each seed, changed.
    for seed in seeds {
        for at in 0..seed.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut tampered = seed.clone();
                tampered[at] = value;
                wire::run(&tampered);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_holds(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        wire::run(&bytes);
    }

    #[test]
    fn any_payload_of_any_procedure_holds(
        number in -2_i32..460,
        kind in 0_u8..7,
        payload in proptest::collection::vec(0_u8..5, 0..160),
    ) {
        let mut bytes = vec![7];
        bytes.extend(u32::try_from(payload.len() + 28).unwrap().to_be_bytes());
        bytes.extend([0x20, 0, 0x80, 0x86, 0, 0, 0, 1]);
        bytes.extend(number.to_be_bytes());
        bytes.extend([0, 0, 0, kind, 0, 0, 0, 9, 0, 0, 0, 0]);
        bytes.extend(&payload);
        wire::run(&bytes);
        decoding_stays_small(&payload);
    }
}
