//! The codec as a client of libvirt's own daemon: a private `libvirtd` in a mount namespace, spoken to over its socket.
//!
//! Needs root, `unshare` and `libvirtd`; where one is missing the tests say so and pass.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not talk to its daemon has failed"
)]

use std::collections::BTreeMap;

use rpc::error::Code;
use rpc::remote::common::{DomFlags, ListAll};
use rpc::remote::connect::{DomainCapabilitiesArgs, OpenArgs, feature};
use rpc::remote::domain::EventArgs;
use rpc::remote::{Event, Procedure, procedure as call};
use rpc::xdr::Text;
use rpc::{Access, RemoteError};

use daemon::{Connection, Daemon};

mod daemon;

const DEMO: &str = "<domain type='qemu'><name>demo</name>
    <uuid>6e3c2f51-8a4d-4b0e-9f27-1c5d0a7b3e42</uuid><memory unit='MiB'>64</memory>
    <os><type arch='x86_64'>hvm</type></os></domain>";

/// A connection on which the calls have been made that virsh makes first.
fn open(connection: &mut Connection, flags: u32) {
    assert_eq!(&*connection.call::<call::AuthList, _>(&(), |types| types.to_vec()).unwrap(), [0]);
    let supported = |connection: &mut Connection, feature: i32| {
        connection.call::<call::ConnectSupportsFeature, _>(&feature, |supported| supported).unwrap()
    };
    assert_eq!(supported(connection, feature::PROGRAM_KEEPALIVE), 1);
    let name = Some(Text::from("qemu:///system"));
    connection.call::<call::ConnectOpen, _>(&OpenArgs { name, flags }, |()| ()).unwrap();
    assert_eq!(supported(connection, feature::REMOTE_EVENT_CALLBACK), 1);
    assert_eq!(supported(connection, feature::REMOTE_CLOSE_CALLBACK), 1);
}

#[test]
fn libvirtd_is_spoken_to() {
    let Some(daemon) = Daemon::start() else { return };
    it_lists_defines_and_tells(&daemon);
    it_refuses_as_we_do(&daemon);
    the_table_is_its(&daemon);
}

fn it_lists_defines_and_tells(daemon: &Daemon) {
    let mut connection = daemon.connect("libvirt-sock");
    open(&mut connection, 0);
    connection.call::<call::ConnectRegisterCloseCallback, _>(&(), |()| ()).unwrap();

    assert_eq!(connection.call::<call::ConnectGetType, _>(&(), |text| text.into_owned()).unwrap(), "QEMU");
    let all = ListAll { need_results: 1, flags: 0 };
    let listed = |connection: &mut Connection| {
        connection
            .call::<call::ConnectListAllDomains, _>(&all, |reply| {
                assert_eq!(usize::try_from(reply.ret).unwrap(), reply.domains.len());
                reply.domains.iter().map(|dom| (dom.name.clone().into_owned(), dom.id)).collect::<Vec<_>>()
            })
            .unwrap()
    };
    assert_eq!(listed(&mut connection), []);

    let callback = connection
        .call::<call::ConnectDomainEventCallbackRegisterAny, _>(&EventArgs { event_id: 0, dom: None }, |id| {
            id
        })
        .unwrap();
    let uuid = connection.call::<call::DomainDefineXml, _>(&Text::from(DEMO), |dom| dom.uuid).unwrap();
    assert_eq!(uuid.to_string(), "6e3c2f51-8a4d-4b0e-9f27-1c5d0a7b3e42");
    let (procedure, event) = connection.event();
    let Some(Event::DomainEventCallbackLifecycle(event)) = Event::decode(procedure, event.payload()).unwrap()
    else {
        panic!("{procedure}")
    };
    assert_eq!((event.callback_id, &*event.dom.name, event.event, event.detail), (callback, "demo", 0, 0));
    assert_eq!(listed(&mut connection), [("demo".to_owned(), -1)]);

    let dom = rpc::remote::object::Domain::inactive("demo", uuid);
    let about = DomFlags { dom, flags: 0 };
    let xml = connection.call::<call::DomainGetXmlDesc, _>(&about, |text| text.into_owned()).unwrap();
    assert!(xml.starts_with("<domain type='qemu'>"), "{xml}");
    assert_eq!(connection.call::<call::DomainGetState, _>(&about, |state| state.state).unwrap(), 5);

    let ours =
        DomainCapabilitiesArgs { emulatorbin: None, arch: None, machine: None, virttype: None, flags: 0 };
    let capabilities =
        connection.call::<call::ConnectGetDomainCapabilities, _>(&ours, |text| text.into_owned()).unwrap();
    assert!(capabilities.contains("<launchSecurity"), "{capabilities}");

    connection.call::<call::DomainUndefine, _>(&about.dom, |()| ()).unwrap();
    let gone = connection.call::<call::DomainLookupByName, _>(&Text::from("demo"), |_| ()).unwrap_err();
    assert_eq!(*gone, RemoteError::no_domain_named("demo"), "the same error, field by field");
    connection.call::<call::ConnectClose, _>(&(), |()| ()).unwrap();
}

fn it_refuses_as_we_do(daemon: &Daemon) {
    let mut connection = daemon.connect("libvirt-sock");
    let (remote, other) = (rpc::remote::PROGRAM, rpc::Program { number: 0x0690_0690, version: 1 });
    let theirs = connection.raw(remote, 9999, &[]).unwrap_err();
    assert_eq!(*theirs, RemoteError::unknown_procedure(9999, None));
    let theirs = connection.raw(other, 1, &[]).unwrap_err();
    assert_eq!((theirs.code, theirs.domain), (Code::RPC, RemoteError::unknown_program(1, 1).domain));
    assert_eq!(theirs.message, RemoteError::unknown_program(other.number, 1).message);

    open(&mut connection, 0);
    let theirs =
        connection.raw(remote, Procedure::DomainLookupByName.number(), b"\0\0\0\x04dem").unwrap_err();
    assert_eq!(theirs.code, Code::RPC, "{theirs}");
}

/// Every typed procedure is called on a read-only connection with arguments that are all zero: the daemon understands
/// them, refuses what changes something, and gives results that decode.
fn the_table_is_its(daemon: &Daemon) {
    let mut connection = daemon.connect("libvirt-sock-ro");
    open(&mut connection, 1);
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for procedure in Procedure::ALL {
        // These end what the others need; and libvirtd 11.3 without an interface driver hangs up on the last.
        if matches!(
            procedure,
            Procedure::ConnectClose
                | Procedure::ConnectOpen
                | Procedure::AuthPolkit
                | Procedure::InterfaceIsActive
        ) {
            continue;
        }
        let zeros = [0; 512];
        let arguments = (0..=zeros.len()).step_by(4).find_map(|length| {
            let payload = &zeros[..length];
            rpc::remote::Call::decode(*procedure, payload).ok().flatten().map(|_| payload)
        });
        let Some(arguments) = arguments else { continue };
        let outcome = match connection.raw(rpc::remote::PROGRAM, procedure.number(), arguments) {
            Ok(message) => match rpc::remote::Reply::decode(*procedure, message.payload()) {
                Ok(_) => "results",
                Err(error) => {
                    faults.push(format!("{procedure}: results: {error}"));
                    "faults"
                }
            },
            Err(error) if error.to_string().contains("decode") => {
                faults.push(format!("{procedure}: arguments: {error}"));
                "faults"
            }
            Err(error) if error.code == Code::OPERATION_DENIED => "denied",
            Err(_) => "error",
        };
        *outcomes.entry(outcome).or_default() += 1;
        match (procedure.access(), outcome) {
            (Access::Read | Access::Anyone, "denied") => faults.push(format!("{procedure}: is denied")),
            // libvirt lets anybody say who they are, and believes only its own daemons. Here nobody else may say it.
            (Access::Write, "results") if *procedure == Procedure::ConnectSetIdentity => {}
            (Access::Write, "results") => faults.push(format!("{procedure}: is not denied")),
            _ => {}
        }
    }
    eprintln!("libvirtd on a read-only connection: {outcomes:?}");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(outcomes["denied"] > 100, "{outcomes:?}");
}
