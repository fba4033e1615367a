//! What holds for every domain: reading and printing lose nothing that is modelled, completing is idempotent,
//! no two devices get one place, and nothing panics.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use domain::{
    Document, Domain,
    model::{PrintForm, Surroundings, address::Address},
};
use proptest::prelude::*;

/// Pieces of a domain, right and wrong, with `#` for a number and `@` for a text.
const PIECES: &[&str] = &[
    "<uuid>1ccfd97d-5eb4-478a-bbe6-88d254c16db#</uuid>",
    "<title>@</title><description>@</description>",
    "<metadata><x:y xmlns:x='u' a='@'/></metadata>",
    "<currentMemory unit='KiB'>#</currentMemory>",
    "<maxMemory slots='#' unit='MiB'>4#</maxMemory>",
    "<memtune><hard_limit unit='GiB'>#</hard_limit><soft_limit>@</soft_limit></memtune>",
    "<memoryBacking><hugepages><page size='#' unit='M'/></hugepages><locked/><source type='memfd'/></memoryBacking>",
    "<vcpu placement='static' current='#'>#</vcpu>",
    "<cputune><shares>#</shares><quota>-#</quota><vcpupin vcpu='#' cpuset='@'/></cputune>",
    "<cpu mode='host-passthrough'><topology sockets='1' cores='#' threads='2'/><feature name='@'/></cpu>",
    "<cpu><model fallback='forbid'>@</model><cache mode='passthrough'/><maxphysaddr mode='emulate' bits='#'/></cpu>",
    "<clock offset='variable' adjustment='-#' basis='utc'><timer name='rtc' tickpolicy='catchup'/></clock>",
    "<clock offset='@'/>",
    "<features><acpi/><smm state='on'><tseg unit='KiB'>1024#</tseg></smm><hyperv><stimer state='on'/></hyperv></features>",
    "<pm><suspend-to-mem enabled='no'/></pm>",
    "<genid/>",
    "<launchSecurity type='sev' kernelHashes='yes'><cbitpos>#</cbitpos><policy>0x#</policy><session>@</session></launchSecurity>",
    "<launchSecurity type='sev-snp' vcek='no'><policy>3#000</policy><idBlock>@</idBlock></launchSecurity>",
];

/// Pieces of `<devices>`.
const DEVICES: &[&str] = &[
    "<emulator>/@</emulator>",
    "<disk type='file'><source file='/@'/><target dev='vd@'/></disk>",
    "<disk type='block' device='cdrom'><source dev='@'/><target dev='sda' bus='sata'/><boot order='#'/></disk>",
    "<disk><driver name='qemu' type='qcow2' cache='none' queues='#'/><target dev='sdb' bus='scsi' tray='open'/></disk>",
    "<disk device='floppy'><target dev='fda'/></disk>",
    "<disk><target dev='hd@' bus='usb'/></disk>",
    "<disk><source file='/a'/><backingStore type='block'><format type='raw'/><source dev='/@'/><backingStore/></backingStore><target dev='vda'/></disk>",
    "<controller type='pci' model='pcie-root-port'/>",
    "<controller type='pci' index='#' model='pci-bridge'/>",
    "<controller type='pci' model='dmi-to-pci-bridge'/>",
    "<controller type='usb' index='#' model='ich9-ehci1'/>",
    "<controller type='usb' model='ich9-uhci1'><master startport='#'/></controller>",
    "<controller type='usb' model='qemu-xhci' ports='#'/>",
    "<controller type='scsi' index='#' model='virtio-scsi'><driver iommu='on' queues='#'/></controller>",
    "<controller type='virtio-serial' ports='#'/>",
    "<interface type='user'><model type='virtio'/><rom enabled='no' file='@'/></interface>",
    "<interface type='bridge'><mac address='52:54:00:00:00:0#'/><source bridge='@'/></interface>",
    "<interface type='network'><source network='default'/><model type='virtio-transitional'/><driver iommu='on'><host gso='off'/></driver></interface>",
    "<interface type='network'><model type='e1000'/><address type='pci' bus='#' slot='#' function='#'/></interface>",
    "<interface type='ethernet'><target dev='@' managed='no'/><mtu size='#'/></interface>",
    "<serial type='pty'/>",
    "<serial type='file'><source path='@' append='on'/><log file='@'/><target type='usb-serial'/></serial>",
    "<serial type='tcp'><source mode='bind' host='@' service='#' tls='no'><reconnect enabled='yes' timeout='#'/></source><target type='pci-serial' port='#'/></serial>",
    "<serial type='udp'><source mode='bind' service='#'/><source mode='connect' host='@' service='#'/></serial>",
    "<console type='pty'/>",
    "<console type='unix'><source mode='connect' path='@'/><target type='virtio'/></console>",
    "<channel type='unix'><target type='virtio' name='@'/></channel>",
    "<channel type='spicevmc'><target type='virtio'/><address type='virtio-serial' controller='#' port='#'/></channel>",
    "<channel type='null'><target type='guestfwd' address='10.0.2.1' port='#'/></channel>",
    "<input type='tablet'/>",
    "<input type='keyboard' bus='virtio'><driver packed='on'/></input>",
    "<input type='mouse' bus='usb'><address type='usb' bus='#' port='1.#'/></input>",
    "<graphics type='spice'><listen type='address'/><channel name='main' mode='secure'/></graphics>",
    "<graphics type='vnc' port='59#' listen='@' passwd='@'/>",
    "<graphics type='vnc'><listen type='socket' socket='@'/></graphics>",
    "<video><model type='qxl' vram='#'/></video>",
    "<video><model type='virtio' primary='yes'><acceleration accel3d='no'/><resolution x='#' y='#'/></model></video>",
    "<video/>",
    "<memballoon model='virtio' autodeflate='on'><stats period='#'/><driver iommu='on'/></memballoon>",
    "<memballoon model='none'/>",
    "<rng model='virtio-non-transitional'><rate bytes='#' period='#'/><backend model='random'>/@</backend></rng>",
    "<rng model='virtio'><driver iommu='on'/></rng>",
    "<rng model='virtio'><backend model='egd' type='unix'><source mode='connect' path='@'/></backend></rng>",
    "<tpm><backend type='emulator'><active_pcr_banks><sha256/></active_pcr_banks></backend></tpm>",
    "<tpm model='tpm-crb'><backend type='external'><source type='unix' mode='connect' path='@'/></backend></tpm>",
    "<vsock><cid auto='no' address='1#'/></vsock>",
    "<iommu model='intel'><driver intremap='on' aw_bits='#'/></iommu>",
    "<iommu model='virtio'/>",
    "<watchdog model='i6300esb' action='poweroff'/>",
    "<panic/>",
    "<hub type='usb'/>",
    "<audio type='none'/>",
    "<hostdev mode='subsystem'/>",
    "<@/>",
];

fn fill(piece: &str, number: u32, text: &str) -> String {
    // A name of an element cannot be just any text.
    let text = if piece == "<@/>" { "x" } else { text };
    piece.replace('#', &number.to_string()).replace('@', text)
}

fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    let piece = (prop::sample::select(of), 0..40_u32, "([a-d ]|&lt;|&apos;|&#10;|é|/){0,4}")
        .prop_map(|(piece, number, text)| fill(piece, number, &text));
    prop::collection::vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

fn domains() -> impl Strategy<Value = String> {
    let machine = prop::sample::select(&["q35", "pc", "pc-q35-3.0", "microvm"][..]);
    (machine, pieces(PIECES, 8), pieces(DEVICES, 24)).prop_map(|(machine, pieces, devices)| {
        format!(
            "<domain type='kvm'><name>a</name><memory unit='MiB'>64</memory><os><type arch='x86_64' \
             machine='{machine}'>hvm</type></os>{pieces}<devices>{devices}</devices></domain>"
        )
    })
}

/// One of the examples with a few attribute values replaced by what does not belong there.
fn mutated() -> impl Strategy<Value = String> {
    const EXAMPLES: [&str; 2] =
        [include_str!("../test_data/q35.completed.xml"), include_str!("../test_data/i440fx.completed.xml")];
    const VALUES: &[&str] = &[
        "",
        "-1",
        "0",
        "3",
        "31",
        "0x1f",
        "255",
        "256",
        "65536",
        "4294967295",
        "99999999999999999999",
        "on",
        "yes",
        "none",
        "1.1.1.1.1",
        "virtio",
        "pcie-root",
        "pci-bridge",
        "pcie-root-port",
        "scsi",
        "usb",
        "sata",
        "é",
    ];
    let change = (any::<prop::sample::Index>(), prop::sample::select(VALUES));
    (prop::sample::select(&EXAMPLES[..]), prop::collection::vec(change, 1..6)).prop_map(|(text, changes)| {
        let mut parts: Vec<&str> = text.split('\'').collect();
        for (at, value) in changes {
            let values = parts.len() / 2;
            parts[at.index(values) * 2 + 1] = value;
        }
        parts.join("'")
    })
}

fn read(text: &str) -> Domain {
    Domain::read(&Document::parse(text).unwrap()).0
}

fn complete(domain: &mut Domain) -> bool {
    let mut random = || [7; 16];
    let mut surroundings = Surroundings {
        machine: None,
        cpu_model: "qemu64".to_owned(),
        emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
        random: &mut random,
    };
    domain.complete(&mut surroundings).is_ok()
}

/// The places of all devices in the XML of a domain.
fn places(xml: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap();
    document
        .descendants()
        .filter(|node| node.has_tag_name("address"))
        .filter(|node| matches!(node.attribute("type"), Some("pci" | "usb" | "virtio-serial")))
        .map(|node| {
            let part = |name| node.attribute(name).unwrap_or_default();
            ["type", "controller", "domain", "bus", "slot", "function", "port"].map(part).join(" ")
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printing_and_reading_are_inverse(text in domains()) {
        let printed = read(&text).print();
        prop_assert_eq!(read(&printed).print(), printed);
    }

    #[test]
    fn spoiled_domains_are_read_and_completed_or_refused(text in mutated()) {
        let mut domain = read(&text);
        let printed = domain.print();
        prop_assert_eq!(read(&printed).print(), printed);
        if complete(&mut domain) {
            let once = domain.print();
            let mut again = read(&once);
            prop_assert!(complete(&mut again));
            prop_assert_eq!(again.print(), once);
        }
    }

    #[test]
    fn problems_stand_in_the_text_in_order(text in domains()) {
        let document = Document::parse(&text).unwrap();
        let (_, problems) = Domain::read(&document);
        prop_assert!(problems.is_sorted_by_key(|problem| problem.span.start));
        for problem in problems {
            prop_assert!(text.get(problem.span.start..problem.span.end).is_some(), "{}", problem);
            prop_assert!(!problem.path.is_empty() && !problem.message.is_empty());
        }
    }

    #[test]
    fn both_forms_can_be_read(text in domains()) {
        let mut domain = read(&text);
        complete(&mut domain);
        domain.id = Some(3);
        domain.assign_aliases();
        let live = domain.print_as(PrintForm::LIVE);
        let again = read(&live);
        prop_assert_eq!(again.print_as(PrintForm::LIVE), live);
        prop_assert_eq!(again.print(), domain.print());
    }

    #[test]
    fn completing_twice_is_completing_once(text in domains()) {
        let mut domain = read(&text);
        if complete(&mut domain) {
            let once = domain.print();
            let mut again = read(&once);
            prop_assert!(complete(&mut again));
            prop_assert_eq!(again.print(), once);
        }
    }

    #[test]
    fn no_two_devices_share_a_place(text in domains()) {
        let mut domain = read(&text);
        if complete(&mut domain) {
            let places = places(&domain.print());
            let distinct: BTreeSet<&String> = places.iter().collect();
            prop_assert_eq!(distinct.len(), places.len(), "{:?}", places);
        }
    }

    #[test]
    fn what_has_an_address_keeps_it(text in domains()) {
        let mut domain = read(&text);
        let before: Vec<Option<Address>> =
            domain.devices.interfaces.iter().map(|interface| interface.info.address.clone()).collect();
        if complete(&mut domain) {
            for (before, interface) in before.iter().zip(&domain.devices.interfaces) {
                let same = match (before, &interface.info.address) {
                    (Some(Address::Pci(before)), Some(Address::Pci(now))) => before.place() == now.place(),
                    (before, now) => before.is_none() || before == now,
                };
                prop_assert!(same);
            }
        }
    }
}
