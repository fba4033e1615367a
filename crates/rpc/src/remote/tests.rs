//! The table as a whole: numbers, names, a round trip of every type, and bytes that somebody made up.

use proptest::prelude::*;

use crate::packet::{Decoder, Header, Kind, Limit, Status};
use crate::program::{Access, Flow, Priority};
use crate::xdr::Writer;
use crate::xdr::sample::Entropy;

use super::{Call, Event, PROGRAM, Procedure, Reply, event};

fn header(procedure: Procedure) -> Header {
    Header {
        program: PROGRAM.number,
        version: PROGRAM.version,
        procedure: procedure.number(),
        kind: Kind::Call,
        serial: 1,
        status: Status::Ok,
    }
}

#[test]
fn numbers_are_without_gap() {
    for (number, procedure) in (1..).zip(Procedure::ALL) {
        assert_eq!(procedure.number(), number);
        assert_eq!(Procedure::from_number(number), Some(*procedure));
    }
    assert_eq!(Procedure::ALL.len(), 453);
    assert_eq!(Procedure::from_number(0), None);
    assert_eq!(Procedure::from_number(454), None);
}

#[test]
fn names_are_libvirts() {
    for (number, name) in [
        (1, "CONNECT_OPEN"),
        (14, "DOMAIN_GET_XML_DESC"),
        (118, "NODE_DEVICE_DETTACH"),
        (214, "DOMAIN_MIGRATE_PREPARE3"),
        (304, "DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS"),
        (329, "DOMAIN_EVENT_CALLBACK_PMWAKEUP"),
        (339, "DOMAIN_EVENT_BLOCK_JOB_2"),
        (395, "NODE_GET_SEV_INFO"),
        (453, "DOMAIN_EVENT_NIC_MAC_CHANGE"),
    ] {
        assert_eq!(Procedure::from_number(number).unwrap().to_string(), name);
    }
}

#[test]
fn a_procedure_is_called_or_sent() {
    for procedure in Procedure::ALL {
        let from = || Entropy::new(&[]);
        let call = Call::sample(*procedure, &mut from()).is_some();
        let reply = Reply::sample(*procedure, &mut from()).is_some();
        let sent = Event::sample(*procedure, &mut from()).is_some();
        assert_eq!(call, reply, "{procedure}");
        assert!(!(call && sent), "{procedure}");
        assert!(!sent || procedure.access() == Access::Event, "{procedure}");
        assert!(!call || procedure.access() != Access::Event, "{procedure}");
    }
}

#[test]
fn every_event_that_can_be_registered_has_its_payload() {
    for procedure in event::BY_ID {
        assert!(Event::sample(procedure, &mut Entropy::new(&[])).is_some(), "{procedure}");
    }
}

#[test]
fn what_a_guest_owner_sends_is_not_shown() {
    let call = Call::DomainSetLaunchSecurityState(super::domain::LaunchSecurityStateArgs {
        dom: super::object::Domain::inactive("demo", crate::xdr::Uuid([0; 16])),
        params: crate::xdr::Hidden(
            vec![super::typed_param::TypedParam::new("sev-secret", "c2VjcmV0")].into(),
        ),
        flags: 0,
    });
    assert!(!format!("{call:?}").contains("c2VjcmV0"));
}

#[test]
fn rows_say_who_may_call() {
    assert_eq!(Procedure::AuthList.access(), Access::Anyone);
    assert_eq!(Procedure::DomainGetState.access(), Access::Read);
    assert_eq!(Procedure::DomainCreate.access(), Access::Write);
    assert_eq!(Procedure::DomainGetState.priority(), Priority::High);
    assert_eq!(Procedure::DomainCreate.priority(), Priority::Low);
    assert_eq!(Procedure::DomainOpenConsole.stream(), Some(Flow::Both));
    assert_eq!(Procedure::DomainGetState.stream(), None);
}

#[test]
fn secrets_are_not_read_on_a_read_only_connection() {
    let flags_of = |flags: u32| {
        let mut payload = Vec::from([0; 24]);
        payload.extend(flags.to_be_bytes());
        let call = Call::decode(Procedure::DomainGetXmlDesc, &payload).unwrap().unwrap();
        call.access()
    };
    assert_eq!([0, 1, 2, 8].map(flags_of), [Access::Read, Access::Write, Access::Read, Access::Write]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_type_survives_the_wire(entropy in proptest::collection::vec(any::<u8>(), 0..400)) {
        for procedure in Procedure::ALL {
            if let Some(call) = Call::sample(*procedure, &mut Entropy::new(&entropy)) {
                let packet = call.encode(header(*procedure)).unwrap();
                let message = Decoder::new(Limit::Full).push(&packet).unwrap().unwrap();
                let decoded = Call::decode(*procedure, message.payload()).unwrap().unwrap();
                prop_assert_eq!(&decoded, &call);
                prop_assert_eq!(decoded.encode(message.header).unwrap(), packet);
            }
            if let Some(reply) = Reply::sample(*procedure, &mut Entropy::new(&entropy)) {
                let mut writer = Writer::new();
                reply.write(&mut writer).unwrap();
                let bytes = writer.into_bytes();
                prop_assert_eq!(Reply::decode(*procedure, &bytes).unwrap().unwrap(), reply);
            }
            if let Some(event) = Event::sample(*procedure, &mut Entropy::new(&entropy)) {
                let mut writer = Writer::new();
                event.write(&mut writer).unwrap();
                let bytes = writer.into_bytes();
                prop_assert_eq!(Event::decode(*procedure, &bytes).unwrap().unwrap(), event);
            }
        }
    }

    #[test]
    fn made_up_payloads_never_panic(payload in proptest::collection::vec(0_u8..4, 0..120)) {
        for procedure in Procedure::ALL {
            if let Ok(Some(call)) = Call::decode(*procedure, &payload) {
                let packet = call.encode(header(*procedure)).unwrap();
                prop_assert_eq!(&packet[28..], &payload[..]);
            }
            let _ = Reply::decode(*procedure, &payload);
            let _ = Event::decode(*procedure, &payload);
        }
    }
}
