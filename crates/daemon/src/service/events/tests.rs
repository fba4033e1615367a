//! Who is told what.

use std::collections::VecDeque;

use expect_test::{Expect, expect};
use rpc::remote::event::{BY_ID, lifecycle};
use rpc::{Decoder, Limit, Rights};

use super::*;
use crate::service::Peer;

fn client(id: u64) -> Arc<Client> {
    Arc::new(Client::new(id, Peer { uid: 0, gid: 0, pid: None }, Rights::Full))
}

/// What was sent to a client, one event a line.
#[track_caller]
fn check(client: &Client, expect: &Expect) {
    let mut packets = VecDeque::new();
    client.outbox.take(&mut packets).unwrap();
    let mut lines = String::new();
    for packet in packets {
        let message = Decoder::new(Limit::Full).push(&packet.bytes).unwrap().unwrap();
        let procedure = remote::Procedure::from_number(message.header.procedure).unwrap();
        let event = remote::Event::decode(procedure, message.payload()).unwrap().unwrap();
        lines += &format!("{event:?}\n");
    }
    expect.assert_eq(&lines);
}

fn about(name: &str, byte: u8) -> About {
    About { name: name.into(), uuid: Uuid([byte; 16]), id: 7 }
}

#[test]
fn a_client_hears_of_what_it_registered_for() {
    let events = Events::default();
    let (one, two) = (client(1), client(2));
    assert_eq!(events.register(&one, Topic::Domain(0), Only::All).unwrap(), 0);
    assert_eq!(events.register(&one, Topic::Domain(13), Only::Uuid(Uuid([1; 16]))).unwrap(), 1);
    assert_eq!(events.register(&two, Topic::Domain(6), Only::All).unwrap(), 0);
    for about in [about("a", 1), about("b", 2)] {
        events.publish(&about, &Happening::Lifecycle(lifecycle::STARTED_BOOTED));
        events.publish(&about, &Happening::BalloonChange(1024));
    }
    let (path, alias) = ("/a.img".into(), "virtio-disk0".into());
    events.publish(&about("b", 2), &Happening::IoError { path, alias, action: 1, reason: "enospc".into() });
    check(
        &one,
        &expect![[r#"
            DomainEventCallbackLifecycle(Lifecycle { callback_id: 0, dom: Domain { name: "a", uuid: 01010101-0101-0101-0101-010101010101, id: 7 }, event: 2, detail: 0 })
            DomainEventCallbackBalloonChange(BalloonChange { callback_id: 1, dom: Domain { name: "a", uuid: 01010101-0101-0101-0101-010101010101, id: 7 }, actual: 1024 })
            DomainEventCallbackLifecycle(Lifecycle { callback_id: 0, dom: Domain { name: "b", uuid: 02020202-0202-0202-0202-020202020202, id: 7 }, event: 2, detail: 0 })
        "#]],
    );
    check(
        &two,
        &expect![[r#"
            DomainEventCallbackIoErrorReason(IoErrorReason { callback_id: 0, dom: Domain { name: "b", uuid: 02020202-0202-0202-0202-020202020202, id: 7 }, src_path: "/a.img", dev_alias: "virtio-disk0", action: 1, reason: "enospc" })
        "#]],
    );
}

#[test]
fn every_happening_is_sent_by_the_procedure_of_its_id() {
    let text = String::from;
    let happenings = [
        (0, Happening::Lifecycle(lifecycle::STARTED_BOOTED)),
        (1, Happening::Reboot),
        (2, Happening::RtcChange(-3600)),
        (3, Happening::Watchdog(1)),
        (4, Happening::IoError { path: text("p"), alias: text("a"), action: 0, reason: text("") }),
        (6, Happening::IoError { path: text("p"), alias: text("a"), action: 0, reason: text("") }),
        (10, Happening::TrayChange { alias: text("a"), reason: 0 }),
        (11, Happening::PmWakeup),
        (12, Happening::PmSuspend),
        (13, Happening::BalloonChange(1)),
        (15, Happening::DeviceRemoved(text("a"))),
        (18, Happening::AgentLifecycle { state: 1, reason: 1 }),
        (19, Happening::DeviceAdded(text("a"))),
        (22, Happening::DeviceRemovalFailed(text("a"))),
        (23, Happening::MetadataChange { kind: 2, uri: Some(text("u")) }),
    ];
    for (index, (wanted, happening)) in happenings.iter().enumerate() {
        let about = about("a", 1);
        for (id, procedure) in (0..).zip(BY_ID) {
            let sent = encode::domain(id, 5, &about, happening);
            let both = matches!(happening, Happening::IoError { .. }) && [4, 6].contains(&id);
            assert_eq!(sent.is_some(), id == *wanted || both, "{index} {id}");
            assert!(sent.is_none_or(|sent| sent.procedure() == procedure), "{index} {id}");
        }
    }
}

#[test]
fn registrations_end() {
    let events = Events::default();
    let one = client(1);
    let callback = events.register(&one, Topic::Domain(0), Only::All).unwrap();
    events.deregister(&one, callback, "domain").unwrap();
    let error = events.deregister(&one, callback, "domain").unwrap_err();
    assert_eq!(error.to_string(), "internal error: domain event callback 0 not registered");
    let error = events.register(&one, Topic::Domain(28), Only::All).unwrap_err();
    assert_eq!(error.to_string(), "internal error: unsupported event ID 28");
    events.register(&one, Topic::Domain(0), Only::All).unwrap();
    events.drop_client(&one);
    events.publish(&about("a", 1), &Happening::Lifecycle(lifecycle::STARTED_BOOTED));
    check(&one, &expect![[""]]);
}

#[test]
fn networks_and_pools() {
    let events = Events::default();
    let one = client(1);
    events.register(&one, Topic::Network(0), Only::All).unwrap();
    events.register(&one, Topic::Pool(0), Only::Uuid(Uuid([9; 16]))).unwrap();
    events.register(&one, Topic::Pool(1), Only::All).unwrap();
    let (uuid, name) = (Uuid([8; 16]), "default");
    events.publish_network(&object::Network { name: name.into(), uuid }, 2);
    events.publish_pool(&object::StoragePool { name: name.into(), uuid }, Some(2));
    events.publish_pool(&object::StoragePool { name: name.into(), uuid }, None);
    check(
        &one,
        &expect![[r#"
            NetworkEventLifecycle(Lifecycle { callback_id: 0, net: Network { name: "default", uuid: 08080808-0808-0808-0808-080808080808 }, event: 2, detail: 0 })
            StoragePoolEventRefresh(PoolRefresh { callback_id: 2, pool: StoragePool { name: "default", uuid: 08080808-0808-0808-0808-080808080808 } })
        "#]],
    );
}
