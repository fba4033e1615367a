//! Framing: the words of a header, any chunking, hostile lengths, memory.

use proptest::prelude::*;

use crate::xdr::Text;

use super::*;

fn call(serial: u32) -> Header {
    Header { program: 0x2000_8086, version: 1, procedure: 23, kind: Kind::Call, serial, status: Status::Ok }
}

/// All messages in `bytes`, pushed in pieces of the given sizes, again and again.
fn decode_all(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Message>, WireError> {
    let mut decoder = Decoder::new(Limit::Full);
    let mut messages = Vec::new();
    let mut left = bytes;
    let mut sizes = pieces.iter().copied().cycle();
    while !left.is_empty() {
        let (piece, rest) = left.split_at(sizes.next().unwrap_or(usize::MAX).clamp(1, left.len()));
        left = rest;
        let mut next = decoder.push(piece)?;
        while let Some(message) = next {
            messages.push(message);
            next = decoder.push(&[])?;
        }
    }
    Ok(messages)
}

#[test]
fn a_packet_is_length_header_and_payload() {
    let packet = encode(call(7), &Text::from("demo")).unwrap();
    assert_eq!(
        packet,
        [
            &[0, 0, 0, 36][..],
            &[0x20, 0, 0x80, 0x86],
            &[0, 0, 0, 1],
            &[0, 0, 0, 23],
            &[0, 0, 0, 0],
            &[0, 0, 0, 7],
            &[0, 0, 0, 0],
            b"\0\0\0\x04demo",
        ]
        .concat()
    );
    let [message] = &decode_all(&packet, &[usize::MAX]).unwrap()[..] else { panic!("one message") };
    assert_eq!(message.header, call(7));
    assert_eq!(message.decode::<Text<'_>>().unwrap(), "demo");
}

#[test]
fn headers_of_answers() {
    let header = call(3);
    assert_eq!((header.reply().kind, header.reply().status), (Kind::Reply, Status::Ok));
    assert_eq!((header.reply_error().kind, header.reply_error().status), (Kind::Reply, Status::Error));
    let data = header.stream(Status::Continue);
    assert_eq!((data.kind, data.status, data.serial), (Kind::Stream, Status::Continue, 3));
    assert_eq!((data.reply_error().kind, data.reply_error().status), (Kind::Stream, Status::Error));
    for (number, kind) in (0..).zip(Kind::ALL) {
        assert_eq!(kind.number(), number);
    }
    for (number, status) in (0..).zip(Status::ALL) {
        assert_eq!(status.number(), number);
    }
}

#[test]
fn a_packet_with_file_descriptors_waits_for_them() {
    let mut packet = encode_with_fds(call(1), 2, &9_u32).unwrap();
    assert_eq!(packet[28..32], [0, 0, 0, 2]);
    let mut decoder = Decoder::new(Limit::Handshake);
    assert_eq!(decoder.push(&packet), Ok(None));
    assert_eq!(decoder.push(&[0]), Ok(None));
    let message = decoder.push(&[0]).unwrap().unwrap();
    assert_eq!((message.fds, message.header.kind), (2, Kind::CallWithFds));
    assert_eq!(message.decode::<u32>(), Ok(9));

    packet.extend([0, 0]);
    packet.extend(encode(call(2), &()).unwrap());
    assert_eq!(decode_all(&packet, &[usize::MAX]).unwrap().len(), 2);

    assert_eq!(encode_with_fds(call(1), 33, &()), Err(PacketError::TooManyFds { count: 33 }));
    let mut greedy = encode_with_fds(call(1), 32, &()).unwrap();
    greedy[31] = 33;
    assert_eq!(decode_all(&greedy, &[3]), Err(WireError::TooManyFds { count: 33 }));
}

#[test]
fn a_hostile_length_ends_the_connection_at_once() {
    for length in [0_u32, 1, 4, 27] {
        let error = Decoder::new(Limit::Full).push(&length.to_be_bytes());
        assert_eq!(error, Err(WireError::TooShort { length }));
    }
    for (limit, length) in [
        (Limit::Handshake, 65537),
        (Limit::Full, (32 << 20) + 5),
        (Limit::Full, u32::MAX),
        (Limit::Full, 1 << 31),
    ] {
        let mut decoder = Decoder::new(limit);
        let error = Err(WireError::TooLong { length, limit: limit.bytes() });
        assert_eq!(decoder.push(&length.to_be_bytes()), error);
        assert_eq!(decoder.push(&encode(call(1), &()).unwrap()), error, "it stays broken");
        assert_eq!(decoder.allocated(), 0);
    }
}

#[test]
fn the_limits_are_libvirts() {
    let mut decoder = Decoder::new(Limit::Handshake);
    assert_eq!(decoder.push(&65536_u32.to_be_bytes()), Ok(None));
    let mut decoder = Decoder::new(Limit::Full);
    assert_eq!(decoder.push(&33_554_436_u32.to_be_bytes()), Ok(None));
    assert!(call(1).prefix(33_554_408).is_ok());
    assert_eq!(call(1).prefix(33_554_409), Err(PacketError::TooLong { length: 33_554_437 }));
}

#[test]
fn unknown_types_and_statuses_are_refused() {
    for (at, what) in [(19, "message types"), (27, "message statuses")] {
        let mut packet = encode(call(1), &()).unwrap();
        packet[at] = 7;
        let error = WireError::Header(DecodeError::OutOfRange { what, value: 7 });
        assert_eq!(decode_all(&packet, &[5]), Err(error));
    }
}

#[test]
fn an_announced_message_takes_no_memory_before_it_arrives() {
    let mut decoder = Decoder::new(Limit::Full);
    decoder.push(&33_554_436_u32.to_be_bytes()).unwrap();
    assert_eq!(decoder.allocated(), 0);
    for received in 1..5000 {
        decoder.push(&[0]).unwrap();
        assert!(decoder.allocated() <= 2 * received, "{} for {received}", decoder.allocated());
    }
}

#[test]
fn a_message_that_arrives_whole_is_copied_once() {
    let packet = encode(call(1), &Text::from("x".repeat(100_000))).unwrap();
    let message = Decoder::new(Limit::Full).push(&packet).unwrap().unwrap();
    assert_eq!(message.body.capacity(), packet.len() - LENGTH_BYTES);
}

#[test]
fn what_is_pushed_beyond_a_message_is_given_back() {
    let one = encode(call(1), &()).unwrap();
    let mut decoder = Decoder::new(Limit::Full);
    let mut count = usize::from(decoder.push(&one.repeat(1000)).unwrap().is_some());
    while decoder.push(&[]).unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, decoder.allocated()), (1000, 0));
}

/// A conversation of all kinds of packets.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let packet = (0_usize..7, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..200), 0_u32..4)
        .prop_map(|(kind, serial, payload, fds)| {
            let header = Header { kind: Kind::ALL[kind], ..call(serial) };
            if header.kind.has_fds() {
                let mut packet = encode_with_fds(header, fds, &serial).unwrap();
                packet.resize(packet.len() + usize::try_from(fds).unwrap(), 0);
                packet
            } else {
                encode_bytes(header, &payload).unwrap()
            }
        });
    proptest::collection::vec(packet, 1..12).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_messages(
        bytes in conversation(),
        pieces in proptest::collection::vec(1_usize..100, 1..20),
    ) {
        let whole = decode_all(&bytes, &[usize::MAX]).unwrap();
        prop_assert_eq!(&decode_all(&bytes, &pieces).unwrap(), &whole);
        prop_assert_eq!(&decode_all(&bytes, &[1]).unwrap(), &whole);
    }

    #[test]
    fn arbitrary_bytes_take_no_more_memory_than_they_are(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        piece in 1_usize..300,
    ) {
        let mut decoder = Decoder::new(Limit::Full);
        let mut received = 0;
        for piece in bytes.chunks(piece) {
            received += piece.len();
            let _ = decoder.push(piece);
            prop_assert!(decoder.allocated() <= 2 * received);
        }
    }
}
