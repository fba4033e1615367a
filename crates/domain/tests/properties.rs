//! What holds for every domain: reading and printing lose nothing that is modelled, completing is idempotent,
//! no two devices get one place, and nothing panics.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use domain::{
    Document, Domain,
    model::{PrintForm, ProblemKind, Surroundings, address::Address},
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
    "<cputune><iothread_quota>100#</iothread_quota><iothreadpin iothread='#' cpuset='@'/></cputune>",
    "<iothreads>#</iothreads><iothreadids><iothread id='#' thread_pool_max='#'><poll max='#'/></iothread><iothread id='@'/></iothreadids>",
    "<iothreads>#</iothreads><defaultiothread thread_pool_min='#'/>",
    "<sysinfo type='smbios'><system><entry name='serial'>@</entry><entry name='uuid'>1ccfd97d-5eb4-478a-bbe6-88d254c16db#</entry></system><baseBoard/><baseBoard><entry name='asset'>@</entry><entry name='@'>@</entry></baseBoard></sysinfo>",
    "<sysinfo type='smbios'><oemStrings><entry>@</entry><entry/></oemStrings><bios><entry name='date'>#/1/20#</entry></bios></sysinfo>",
    "<sysinfo type='fwcfg'><entry name='opt/@'>@</entry><entry name='@' file='/@'/></sysinfo>",
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
    "<disk type='file'><driver name='qemu' iothread='#'><iothreads><iothread id='#'><queue id='#'/></iothread></iothreads></driver><source file='/@'/><target dev='vd@'/></disk>",
    "<controller type='scsi' index='#' model='virtio-scsi'><driver iothread='#'/></controller>",
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

/// Places for something unknown in a text: behind a start tag's name, and behind a start tag.
fn strewn(text: &str, places: &[prop::sample::Index], elements: bool) -> (String, usize) {
    let document = roxmltree::Document::parse(text).unwrap();
    // What an application keeps is not the model's, and kept anyway.
    let is_modelled = |node: &roxmltree::Node<'_, '_>| {
        node.is_element() && !node.ancestors().any(|node| node.has_tag_name("metadata"))
    };
    let all: Vec<roxmltree::Node<'_, '_>> = document.descendants().filter(is_modelled).collect();
    let chosen: BTreeSet<usize> = places.iter().map(|place| place.index(all.len())).collect();
    let mut inserts: Vec<(usize, String)> = Vec::new();
    for (number, node) in chosen.iter().map(|at| (at, all[*at])) {
        let start = node.range().start;
        let name_end = start + 1 + node.tag_name().name().len();
        if !elements {
            inserts.push((name_end, format!(" unknown='{number}'")));
        } else if !text[node.range()].ends_with("/>") {
            let tag_end = start + text[node.range()].find('>').unwrap() + 1;
            inserts.push((tag_end, format!("<unknown n='{number}'><x a='1'/></unknown>")));
        }
    }
    let count = inserts.len();
    let mut out = text.to_owned();
    for (at, insert) in inserts.into_iter().rev() {
        out.insert_str(at, &insert);
    }
    (out, count)
}

/// The unknown parts of a text, each with the names of the elements that it is in.
fn unknowns(text: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(text).unwrap();
    let path = |node: roxmltree::Node<'_, '_>| -> String {
        let names: Vec<&str> = node.ancestors().map(|node| node.tag_name().name()).collect();
        names.join("<")
    };
    let mut found = Vec::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        if let Some(value) = node.attribute("unknown") {
            found.push(format!("{value} of {}", path(node)));
        }
        if node.has_tag_name("unknown") {
            found.push(format!("{} in {}", &text[node.range()], path(node)));
        }
    }
    found.sort();
    found
}

/// The elements that have something unknown, by what tells them from others of their kind.
fn owners(text: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(text).unwrap();
    let mut found = Vec::new();
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let Some(device) = node.ancestors().find(|node| node.has_tag_name("disk")) else { continue };
        let target = device.children().find(|child| child.has_tag_name("target"));
        let dev = target.and_then(|target| target.attribute("dev")).unwrap_or_default();
        let number = node
            .attribute("unknown")
            .or_else(|| node.attribute("n").filter(|_| node.has_tag_name("unknown")));
        found.extend(number.map(|number| format!("{number} at {dev}")));
    }
    found.sort();
    found
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
        // The format of a drive without a medium is not told of a running domain, as with libvirt.
        for disk in domain.devices.disks.iter_mut().filter(|disk| disk.source.is_none()) {
            disk.driver.format = None;
        }
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

    #[test]
    fn what_is_not_known_stays_where_it_is(
        text in domains(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        elements in any::<bool>(),
    ) {
        let (text, _) = strewn(&text, &places, elements);
        let mut domain = read(&text);
        if domain.devices.count() > 0 && complete(&mut domain) {
            let once = domain.print();
            let problems = Domain::read(&Document::parse(&text).unwrap()).1;
            if problems.iter().all(|problem| problem.kind == ProblemKind::NotModelled) {
                prop_assert_eq!(unknowns(&once), unknowns(&text), "{}", once);
                prop_assert_eq!(owners(&once), owners(&text), "{}", once);
                let mut again = read(&once);
                prop_assert!(complete(&mut again));
                prop_assert_eq!(again.print(), once);
            }
        }
    }
}

#[test]
fn what_is_not_known_of_a_board_stays_there_beside_an_empty_board() {
    let board = "<baseBoard><entry name='asset' a='1'>x</entry><entry name='other'>y</entry></baseBoard>";
    let text = format!(
        "<domain type='kvm'><name>a</name><memory>65536</memory><os><type>hvm</type></os>\
         <sysinfo type='smbios'><baseBoard/>{board}</sysinfo></domain>"
    );
    let once = read(&text).print();
    let entries = "<entry name='asset' a='1'>x</entry>\n      <entry name='other'>y</entry>";
    assert!(once.contains(entries), "{once}");
    assert_eq!(read(&once).print(), once);
}
