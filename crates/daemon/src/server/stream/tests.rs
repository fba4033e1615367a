//! A stream from both ends: packets on one, bytes on the other.

use std::collections::VecDeque;
use std::path::Path;

use rpc::remote::Procedure;
use rpc::{Decoder, Limit, Rights};
use tokio::io::DuplexStream;

use super::*;
use crate::service::outbox::Packet;
use crate::service::{Client, Paths, Peer, Service};

/// A stream whose other end is the test's.
struct Case {
    shared: Arc<Shared>,
    header: Header,
    inbound: Inbound,
    far: DuplexStream,
    sending: VecDeque<Packet>,
    done: tokio::task::JoinHandle<()>,
}

fn open(procedure: Procedure, capacity: usize) -> Case {
    let service = Service::open(Paths::below(Path::new("/dev/null/sevirt"), true));
    let client = Client::new(1, Peer { uid: 0, gid: 0, pid: None }, Rights::Full);
    let shared = Arc::new(Shared::new(service, Arc::new(client), None, tokio::sync::watch::channel(false).1));
    let header = Header {
        program: remote::PROGRAM.number,
        version: remote::PROGRAM.version,
        procedure: procedure.number(),
        kind: Kind::Call,
        serial: 5,
        status: Status::Ok,
    };
    let (inbound, pieces) = inbound(&shared);
    let (near, far) = tokio::io::duplex(capacity);
    let pump = Pump::new(Arc::clone(&shared), header, Stream(Box::new(near)), pieces).unwrap();
    Case { shared, header, inbound, far, sending: VecDeque::new(), done: tokio::spawn(pump.run()) }
}

impl Case {
    fn send(&self, kind: Kind, status: Status, payload: &[u8]) -> bool {
        let header = Header { kind, status, ..self.header };
        let bytes = packet::encode_bytes(header, payload).unwrap();
        let message = Decoder::new(Limit::Full).push(&bytes).unwrap().unwrap();
        self.inbound.send(&self.shared, message)
    }

    async fn receive(&mut self) -> (Status, Vec<u8>) {
        while self.sending.is_empty() {
            self.shared.client.outbox.ready.notified().await;
            self.shared.client.outbox.take(&mut self.sending).unwrap();
        }
        let packet = self.sending.pop_front().unwrap();
        self.shared.client.outbox.sent(&packet);
        let message = Decoder::new(Limit::Full).push(&packet.bytes).unwrap().unwrap();
        assert_eq!((message.header.kind, message.header.serial), (Kind::Stream, 5));
        (message.header.status, message.payload().to_vec())
    }
}

#[tokio::test]
async fn a_console_carries_both_ways_and_is_confirmed_when_it_ends() {
    let mut case = open(Procedure::DomainOpenConsole, 1 << 10);
    assert!(case.send(Kind::Stream, Status::Continue, b"root\n"));
    let mut got = [0; 5];
    case.far.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"root\n");
    case.far.write_all(b"login: ").await.unwrap();
    assert_eq!(case.receive().await, (Status::Continue, b"login: ".to_vec()));
    assert!(case.send(Kind::Stream, Status::Ok, b""));
    assert_eq!(case.receive().await, (Status::Ok, Vec::new()));
    (&mut case.done).await.unwrap();
    // Its end was told to the guest's side too.
    assert_eq!(case.far.read(&mut got).await.unwrap(), 0);
    assert_eq!(case.shared.inbound.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_abort_is_confirmed_and_what_follows_is_dropped() {
    let mut case = open(Procedure::DomainOpenConsole, 1 << 10);
    assert!(case.send(Kind::Stream, Status::Error, b""));
    assert_eq!(case.receive().await, (Status::Ok, Vec::new()));
    (&mut case.done).await.unwrap();
    assert!(!case.send(Kind::Stream, Status::Continue, b"x"));
    assert_eq!(case.shared.inbound.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_download_ends_with_an_empty_packet_then_the_clients_end() {
    let mut case = open(Procedure::DomainScreenshot, 1 << 20);
    let picture: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let (mut case_far, sent) = (std::mem::replace(&mut case.far, tokio::io::duplex(1).0), picture.clone());
    let writer = tokio::spawn(async move {
        case_far.write_all(&sent).await.unwrap();
        case_far.shutdown().await.unwrap();
        case_far
    });
    let (mut got, mut packets) = (Vec::new(), 0);
    loop {
        let (status, bytes) = case.receive().await;
        assert_eq!(status, Status::Continue);
        if bytes.is_empty() {
            break;
        }
        assert!(bytes.len() <= STREAM_CHUNK);
        got.extend(bytes);
        packets += 1;
    }
    assert_eq!(got, picture);
    assert!(packets < 64, "what can be read at once goes into one packet, not into {packets}");
    drop(writer.await.unwrap());
    assert!(case.send(Kind::Stream, Status::Ok, b""));
    assert_eq!(case.receive().await, (Status::Ok, Vec::new()));
}

#[tokio::test]
async fn an_upload_that_cannot_be_written_fails_with_the_reason() {
    let mut case = open(Procedure::StorageVolUpload, 1 << 10);
    drop(std::mem::replace(&mut case.far, tokio::io::duplex(1).0));
    assert!(case.send(Kind::Stream, Status::Continue, b"data"));
    let (status, payload) = case.receive().await;
    assert_eq!(status, Status::Error);
    let error: RemoteError<'_> = rpc::xdr::decode(&payload).unwrap();
    assert_eq!((error.code, error.domain), (Code::RPC, Origin::STREAMS));
    assert_eq!(error.to_string(), "stream had I/O failure: broken pipe");
}

#[tokio::test]
async fn holes_and_data_against_the_flow_are_refused() {
    for (procedure, kind) in
        [(Procedure::StorageVolUpload, Kind::StreamHole), (Procedure::StorageVolDownload, Kind::Stream)]
    {
        let mut case = open(procedure, 1 << 10);
        assert!(case.send(kind, Status::Continue, &[0; 12]));
        let (status, payload) = case.receive().await;
        assert_eq!(status, Status::Error);
        let error: RemoteError<'_> = rpc::xdr::decode(&payload).unwrap();
        assert_eq!(error.code, Code::OPERATION_UNSUPPORTED);
    }
}

#[tokio::test]
async fn what_a_client_does_not_read_is_not_read_from_the_stream() {
    let mut case = open(Procedure::DomainOpenConsole, 4 << 20);
    let mut far = std::mem::replace(&mut case.far, tokio::io::duplex(1).0);
    let data = vec![7; 16 << 20];
    let most = crate::service::outbox::ROOM + STREAM_CHUNK + (4 << 20);
    let mut sent = 0;
    while let Ok(wrote) =
        tokio::time::timeout(std::time::Duration::from_millis(300), far.write(&data[sent..])).await
    {
        sent += wrote.unwrap();
        assert!(sent <= most, "{sent} bytes were taken, and nobody has read");
    }
    let mut received = 0;
    while received < sent {
        received += case.receive().await.1.len();
    }
    assert_eq!(received, sent);
}
