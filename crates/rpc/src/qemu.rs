//! The QEMU program: what bypasses libvirt's model and talks to QEMU or to the guest's agent.

use crate::program::program;
use crate::remote::object::Domain;
use crate::xdr::{Text, records};

program! {
    /// `QEMU_PROGRAM`.
    'a number 0x2000_8087 version 1

    1 DomainMonitorCommand                  Write Low  call MonitorCommandArgs<'a> => Text<'a>;
    2 DomainAttach                          Write Low;
    3 DomainAgentCommand                    Write Low  call AgentCommandArgs<'a> => Option<Text<'a>>;
    4 ConnectDomainMonitorEventRegister     Write High call MonitorEventRegisterArgs<'a> => i32;
    5 ConnectDomainMonitorEventDeregister   Write High call i32 => ();
    6 DomainMonitorEvent                    Event Low  sent(MonitorEvent<'a>);
    7 DomainMonitorCommandWithFiles         Write Low  call MonitorCommandArgs<'a> => Text<'a>;
}

records! {
    /// A command of QEMU's monitor: a line of text when `flags` has 1, else JSON.
    MonitorCommandArgs<'a> { dom: Domain<'a>, cmd: Text<'a>, flags: u32 }
    /// A command of the guest's agent. `timeout` is in seconds; -2 waits, -1 takes the default, 0 does not wait.
    AgentCommandArgs<'a> { dom: Domain<'a>, cmd: Text<'a>, timeout: i32, flags: u32 }
    /// `None` for every domain, and for every event.
    MonitorEventRegisterArgs<'a> { dom: Option<Domain<'a>>, event: Option<Text<'a>>, flags: u32 }
    /// An event of QEMU's monitor; `details` is JSON.
    MonitorEvent<'a> {
        callback_id: i32,
        dom: Domain<'a>,
        event: Text<'a>,
        seconds: i64,
        micros: u32,
        details: Option<Text<'a>>,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::xdr::Writer;
    use crate::xdr::sample::Entropy;

    use super::{Call, Event, Procedure, Reply};

    #[test]
    fn numbers_are_without_gap() {
        for (number, procedure) in (1..).zip(Procedure::ALL) {
            assert_eq!((procedure.number(), Procedure::from_number(number)), (number, Some(*procedure)));
        }
        assert_eq!(Procedure::ALL.len(), 7);
    }

    proptest! {
        #[test]
        fn every_type_survives_the_wire(entropy in proptest::collection::vec(any::<u8>(), 0..200)) {
            for procedure in Procedure::ALL {
                let entropy = || Entropy::new(&entropy);
                let [mut call, mut reply, mut event] = [Writer::new(), Writer::new(), Writer::new()];
                let sent = Call::sample(*procedure, &mut entropy());
                let answered = Reply::sample(*procedure, &mut entropy());
                let told = Event::sample(*procedure, &mut entropy());
                sent.iter().try_for_each(|value| value.write(&mut call)).unwrap();
                answered.iter().try_for_each(|value| value.write(&mut reply)).unwrap();
                told.iter().try_for_each(|value| value.write(&mut event)).unwrap();
                let [call, reply, event] = [call, reply, event].map(Writer::into_bytes);
                prop_assert_eq!(Call::decode(*procedure, &call).unwrap(), sent);
                prop_assert_eq!(Reply::decode(*procedure, &reply).unwrap(), answered);
                prop_assert_eq!(Event::decode(*procedure, &event).unwrap(), told);
            }
        }
    }
}
