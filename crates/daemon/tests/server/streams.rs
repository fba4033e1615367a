//! Streams over real sockets: a volume is filled and read, and clients that give up half-way.

use rpc::Header;
use rpc::packet::{self, Kind, Status};
use rpc::remote::object::StorageVol;
use rpc::remote::{Procedure, procedure as call, storage};

use crate::common::{Connection, Daemon, Heard};

const SIZE: usize = 3 << 20;

fn volume(client: &mut Connection) -> StorageVol<'static> {
    let pool = client
        .call::<call::StoragePoolLookupByName, _>(&"default".into(), |pool| {
            rpc::remote::object::StoragePool { name: pool.name.into_owned().into(), uuid: pool.uuid }
        })
        .unwrap();
    let xml = format!("<volume><name>a</name><capacity unit='bytes'>{SIZE}</capacity></volume>").into();
    let args = storage::VolCreateXmlArgs { pool, xml, flags: 0 };
    let owned = |vol: StorageVol<'_>| StorageVol {
        pool: vol.pool.into_owned().into(),
        name: vol.name.into_owned().into(),
        key: vol.key.into_owned().into(),
    };
    client.call::<call::StorageVolCreateXml, _>(&args, owned).unwrap()
}

/// Opens a stream; what is returned heads its packets.
fn open(client: &mut Connection, vol: &StorageVol<'static>, procedure: Procedure) -> Header {
    let args = storage::VolTransferArgs { vol: vol.clone(), offset: 0, length: 0, flags: 0 };
    let bytes = match procedure {
        Procedure::StorageVolUpload => client.encode::<call::StorageVolUpload>(&args),
        _ => client.encode::<call::StorageVolDownload>(&args),
    };
    client.write(&bytes);
    match client.hear() {
        Heard::Reply(message) if message.header.status == Status::Ok => message.header,
        other => panic!("{other:?}"),
    }
}

fn send(client: &mut Connection, header: Header, status: Status, bytes: &[u8]) {
    client.write(&packet::encode_bytes(Header { kind: Kind::Stream, status, ..header }, bytes).unwrap());
}

fn hear(client: &mut Connection, serial: u32) -> (Status, Vec<u8>) {
    match client.hear() {
        Heard::Stream(message) => {
            assert_eq!(message.header.serial, serial);
            (message.header.status, message.payload().to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_uploaded_is_downloaded() {
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    let vol = volume(&mut client);
    let data: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let upload = open(&mut client, &vol, Procedure::StorageVolUpload);
    for piece in data.chunks(100_000) {
        send(&mut client, upload, Status::Continue, piece);
    }
    send(&mut client, upload, Status::Ok, &[]);
    assert_eq!(hear(&mut client, upload.serial), (Status::Ok, Vec::new()));
    let download = open(&mut client, &vol, Procedure::StorageVolDownload);
    let (mut got, mut packets) = (Vec::new(), 0);
    loop {
        let (status, piece) = hear(&mut client, download.serial);
        assert_eq!(status, Status::Continue);
        if piece.is_empty() {
            break;
        }
        got.extend(piece);
        packets += 1;
    }
    assert!(got == data, "{} bytes came back", got.len());
    assert!(packets <= 64, "{packets} packets for {SIZE} bytes");
    send(&mut client, download, Status::Ok, &[]);
    assert_eq!(hear(&mut client, download.serial), (Status::Ok, Vec::new()));
}

#[test]
fn streams_that_are_given_up_hold_up_nothing() {
    let daemon = Daemon::start("");
    let mut client = daemon.opened();
    let vol = volume(&mut client);
    // As many as there may be, and again as many.
    for _ in 0..130 {
        let upload = open(&mut client, &vol, Procedure::StorageVolUpload);
        send(&mut client, upload, Status::Continue, b"half");
        send(&mut client, upload, Status::Error, &[]);
        assert_eq!(hear(&mut client, upload.serial), (Status::Ok, Vec::new()));
        // What was on its way.
        send(&mut client, upload, Status::Continue, b"late");
    }
    client.ping();
    // A download that is not read, whose client leaves: others go on.
    let mut leaves = daemon.opened();
    open(&mut leaves, &vol, Procedure::StorageVolDownload);
    drop(leaves);
    client.ping();
}
