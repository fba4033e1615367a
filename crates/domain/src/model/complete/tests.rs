//! Completing, on the examples, on full buses, and on what cannot be completed.

use expect_test::{Expect, expect, expect_file};

use crate::{
    Document,
    model::{CompleteError, Domain, PrintForm, Secrets, Surroundings},
};

fn try_complete(text: &str) -> Result<Domain, CompleteError> {
    let (mut domain, _) = Domain::read(&Document::parse(text).unwrap());
    let mut random = || [0x11; 16];
    domain.complete(&mut Surroundings {
        machine: None,
        cpu_model: "qemu64".to_owned(),
        emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
        random: &mut random,
    })?;
    Ok(domain)
}

fn domain(machine: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm'><name>a</name><memory>65536</memory><os><type arch='x86_64' \
         machine='{machine}'>hvm</type></os><devices>{devices}</devices></domain>"
    )
}

#[track_caller]
fn fails(machine: &str, devices: &str, error: &Expect) {
    error.assert_eq(&try_complete(&domain(machine, devices)).unwrap_err().to_string());
}

/// The lines of the printed domain that hold any of the words.
fn lines(domain: &Domain, words: &[&str]) -> String {
    let printed = domain.print();
    let lines = printed.lines().filter(|line| words.iter().any(|word| line.contains(word)));
    lines.map(|line| format!("{}\n", line.trim())).collect()
}

#[test]
fn the_q35_example() {
    let domain = try_complete(include_str!("../../../test_data/q35.xml")).unwrap();
    expect_file!["../../../test_data/q35.completed.xml"].assert_eq(&domain.print());
}

#[test]
fn the_i440fx_example() {
    let domain = try_complete(include_str!("../../../test_data/i440fx.xml")).unwrap();
    expect_file!["../../../test_data/i440fx.completed.xml"].assert_eq(&domain.print());
}

#[test]
fn the_live_form_has_what_was_chosen_at_start() {
    let mut domain = try_complete(include_str!("../../../test_data/q35.xml")).unwrap();
    domain.id = Some(7);
    domain.devices.interfaces[0].target = Some("vnet0".to_owned());
    domain.assign_aliases();
    let live = domain.print_as(PrintForm::LIVE);
    let wanted = ["<domain ", "<alias", "vnet0"];
    let found: Vec<&str> =
        live.lines().filter(|line| wanted.iter().any(|word| line.contains(word))).map(str::trim).collect();
    expect![[r#"
        <domain type='kvm' id='7'>
        <alias name='scsi0-0-0-0'/>
        <alias name='virtio-serial0'/>
        <alias name='scsi0'/>
        <alias name='usb'/>
        <alias name='ide'/>
        <alias name='pcie.0'/>
        <alias name='pci.1'/>
        <alias name='pci.2'/>
        <alias name='pci.3'/>
        <alias name='pci.4'/>
        <alias name='pci.5'/>
        <alias name='pci.6'/>
        <alias name='pci.7'/>
        <target dev='vnet0'/>
        <alias name='net0'/>
        <alias name='input0'/>
        <alias name='input1'/>
        <alias name='video0'/>
        <alias name='watchdog0'/>
        <alias name='balloon0'/>
        <alias name='rng0'/>"#]]
    .assert_eq(&found.join("\n"));
    assert!(!domain.print().contains("alias") && !domain.print().contains("vnet0"));
}

#[test]
fn passwords_can_be_hidden() {
    let domain = try_complete(&domain("q35", "<graphics type='vnc' passwd='secret'/>")).unwrap();
    assert!(domain.print().contains("passwd='secret'"));
    assert!(!format!("{domain:?}").contains("secret"));
    let hidden = domain.print_as(PrintForm { secrets: Secrets::Hide, ..PrintForm::LIVE });
    assert!(!hidden.contains("secret"));
}

#[test]
fn a_full_root_bus_gets_a_bridge() {
    let interfaces = "<interface type='user'><model type='e1000'/></interface>".repeat(30);
    let domain = try_complete(&domain("pc", &interfaces)).unwrap();
    expect![[r#"
        <controller type='pci' index='1' model='pci-bridge'>
        <model name='pci-bridge'/>
        <address type='pci' domain='0x0000' bus='0x01' slot='0x01' function='0x0'/>
        <address type='pci' domain='0x0000' bus='0x01' slot='0x02' function='0x0'/>
    "#]]
    .assert_eq(&lines(&domain, &["'pci-bridge'", "bus='0x01'"]));
}

#[test]
fn root_ports_fill_slot_after_slot() {
    let interfaces = "<interface type='user'><model type='virtio'/></interface>".repeat(9);
    let domain = try_complete(&domain("q35", &interfaces)).unwrap();
    expect![[r#"
        <address type='pci' domain='0x0000' bus='0x00' slot='0x1f' function='0x2'/>
        <target chassis='1' port='0x8'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0' multifunction='on'/>
        <target chassis='2' port='0x9'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x1'/>
        <target chassis='3' port='0xa'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x2'/>
        <target chassis='4' port='0xb'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x3'/>
        <target chassis='5' port='0xc'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x4'/>
        <target chassis='6' port='0xd'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x5'/>
        <target chassis='7' port='0xe'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x6'/>
        <target chassis='8' port='0xf'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x7'/>
        <target chassis='9' port='0x10'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0' multifunction='on'/>
        <target chassis='10' port='0x11'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x1'/>
        <target chassis='11' port='0x12'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x2'/>
        <target chassis='12' port='0x13'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x3'/>
    "#]]
    .assert_eq(&lines(&domain, &["chassis=", "bus='0x00'"]));
}

#[test]
fn conventional_devices_on_q35_share_one_bridge() {
    let devices = "<interface type='user'><model type='rtl8139'/></interface>\
                   <interface type='user'><model type='virtio-transitional'/></interface>\
                   <watchdog model='i6300esb' action='reset'/>";
    let domain = try_complete(&domain("q35", devices)).unwrap();
    expect![[r#"
        <controller type='pci' index='0' model='pcie-root'/>
        <controller type='pci' index='1' model='pcie-root-port'>
        <model name='pcie-root-port'/>
        <controller type='pci' index='2' model='pcie-to-pci-bridge'>
        <model name='pcie-pci-bridge'/>
        <controller type='pci' index='3' model='pcie-root-port'>
        <model name='pcie-root-port'/>
        <controller type='pci' index='4' model='pcie-root-port'>
        <model name='pcie-root-port'/>
        <controller type='pci' index='5' model='pcie-root-port'>
        <model name='pcie-root-port'/>
        <address type='pci' domain='0x0000' bus='0x02' slot='0x01' function='0x0'/>
        <address type='pci' domain='0x0000' bus='0x02' slot='0x02' function='0x0'/>
        <address type='pci' domain='0x0000' bus='0x02' slot='0x03' function='0x0'/>
    "#]]
    .assert_eq(&lines(&domain, &["pcie-", "bus='0x02'"]));
}

#[test]
fn ports_run_out_and_are_added() {
    let channels = "<channel type='pty'><target type='virtio' name='x'/></channel>".repeat(32);
    let mice = "<input type='tablet' bus='usb'/>".repeat(5);
    let domain = try_complete(&domain("pc", &(channels + &mice))).unwrap();
    expect![[r#"
        <controller type='usb' index='0' model='piix3-uhci'>
        <controller type='virtio-serial' index='0'>
        <controller type='virtio-serial' index='1'>
        <address type='virtio-serial' controller='1' bus='0' port='1'/>
        <address type='virtio-serial' controller='1' bus='0' port='2'/>
        <address type='usb' bus='0' port='2'/>
        <address type='usb' bus='0' port='1.1'/>
        <address type='usb' bus='0' port='1.2'/>
        <address type='usb' bus='0' port='1.3'/>
        <address type='usb' bus='0' port='1.4'/>
        <hub type='usb'>
        <address type='usb' bus='0' port='1'/>
    "#]]
    .assert_eq(&lines(&domain, &["'virtio-serial' index", "port='31'", "controller='1'", "type='usb'"]));
}

#[test]
fn disks_go_where_their_names_say() {
    let domain = try_complete(&domain(
        "q35",
        "<disk device='cdrom'><target dev='sda' bus='sata'/></disk><disk><source file='/a'/><target dev='sdb' \
         bus='scsi'/></disk><controller type='scsi' model='virtio-scsi'/>",
    ))
    .unwrap();
    expect![[r#"
        <readonly/>
        <address type='drive' controller='0' bus='0' target='0' unit='0'/>
        <target dev='sdb' bus='scsi'/>
        <address type='drive' controller='0' bus='0' target='0' unit='1'/>
        <controller type='scsi' index='0' model='virtio-scsi'>
    "#]]
    .assert_eq(&lines(&domain, &["type='drive'", "'scsi'", "<readonly"]));
}

#[test]
fn what_cannot_be_placed_is_said() {
    let at = |bus, slot, function| {
        format!(
            "<interface type='user'><model type='e1000'/><address type='pci' bus='{bus}' slot='{slot}' \
             function='{function}'/></interface>"
        )
    };
    fails(
        "pc",
        &(at(0, 5, 0) + &at(0, 5, 0)),
        &expect!["the PCI address 0000:00:05.0 is given to two devices"],
    );
    fails(
        "pc",
        &at(0, 0, 0),
        &expect!["the PCI address 0000:00:00.0 does not exist: bus 0 is a pci-root with slots 0x1 to 0x1f"],
    );
    fails("q35", &at(0, 31, 0), &expect!["the PCI address 0000:00:1f.0 is given to two devices"]);
    fails(
        "q35",
        &(at(1, 3, 0)),
        &expect![
            "the PCI address 0000:01:03.0 does not exist: bus 1 is a pcie-root-port with slots 0x0 to 0x0"
        ],
    );
    fails(
        "pc",
        "<interface type='user'><address type='pci' domain='1' slot='3'/></interface>",
        &expect!["the PCI address 0001:00:03.0 is in a domain that this machine does not have"],
    );
    fails(
        "q35",
        "<controller type='sata' index='0'><address type='pci' slot='9'/></controller>",
        &expect![
            "the PCI address 0000:00:09.0 of the SATA controller is not the one it is built in at, 0000:00:1f.2"
        ],
    );
    fails(
        "pc",
        "<controller type='ide' index='0'/><controller type='ide' index='0'/>",
        &expect!["the controllers of the kind `ide` and index 0 are two"],
    );
    fails(
        "pc",
        "<controller type='pci' index='300' model='pci-bridge'/>",
        &expect!["the index 300 of a controller of the kind `pci` is beyond 255"],
    );
    fails(
        "pc",
        "<disk><target dev='nothing' bus='ide'/></disk>",
        &expect!["the name of the disk `nothing` does not say where it goes"],
    );
    fails(
        "pc",
        "<disk><target dev='sdzzz' bus='sata'/></disk>",
        &expect!["the index 3046 of a controller of the kind `sata` is beyond 255"],
    );
    fails(
        "pc",
        &"<channel type='pty'><target type='virtio'/><address type='virtio-serial' port='3'/></channel>"
            .repeat(2),
        &expect!["the virtio-serial port 3 of controller 0 is given twice, or is not there"],
    );
    fails(
        "pc",
        &"<input type='tablet' bus='usb'><address type='usb' bus='0' port='1'/></input>".repeat(2),
        &expect!["the USB port 1 of bus 0 is given to two devices, or is not there"],
    );
    fails(
        "q35",
        &"<rng model='virtio'/>".repeat(5000),
        &expect!["the domain has 5000 devices, more than 4096"],
    );
}

#[test]
fn the_root_bus_is_the_machines() {
    fails(
        "q35",
        "<controller type='pci' index='0' model='pci-root'/>",
        &expect![
            "the PCI controller with index 0 is a `pci-root`, but only that with index 0 is a root, and it is a `pcie-root`"
        ],
    );
    fails(
        "pc",
        "<controller type='pci' index='2' model='pci-root'/>",
        &expect![
            "the PCI controller with index 2 is a `pci-root`, but only that with index 0 is a root, and it is a `pci-root`"
        ],
    );
    let domain = try_complete(&domain("q35", "<controller type='pci' index='1'/>")).unwrap();
    expect![[r#"
        <controller type='pci' index='1' model='pcie-root-port'>
    "#]]
    .assert_eq(&lines(&domain, &["type='pci' index='1'"]));
}

#[test]
fn contradictions_are_refused() {
    let disk = "<disk><source file='/a'/><target dev='vda'/></disk>";
    fails("q35", &disk.repeat(2), &expect!["two disks are called `vda`"]);
    let card = "<interface type='user'><boot order='1'/></interface>";
    fails("q35", &card.repeat(2), &expect!["two devices are number 1 in the boot order"]);
    let with = |piece: &str, devices: &str| {
        domain("q35", devices).replace("<devices>", &format!("{piece}<devices>"))
    };
    let topology = "<vcpu>4</vcpu><cpu><topology sockets='1' cores='4294967295' threads='4294967295'/></cpu>";
    expect!["the topology makes 18446744065119617025 CPUs, but the guest has 4"]
        .assert_eq(&try_complete(&with(topology, "")).unwrap_err().to_string());
    let both = domain("q35", card).replace("</os>", "<boot dev='hd'/></os>");
    expect!["the boot order is given both in `os` and at the devices"]
        .assert_eq(&try_complete(&both).unwrap_err().to_string());
}

#[test]
fn nothing_goes_where_a_device_is_that_is_not_modelled() {
    let devices = "<sound model='ich6'><address type='pci' bus='0' slot='0x03' function='0'/></sound>\
                   <interface type='user'><model type='e1000'/></interface>";
    let domain = try_complete(&domain("pc", devices)).unwrap();
    expect![[r#"
        <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0'/>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
        <sound model='ich6'><address type='pci' bus='0' slot='0x03' function='0'/></sound>
    "#]]
    .assert_eq(&lines(&domain, &["slot='0x03'", "slot='0x04'", "slot='0x02'"]));
}

#[test]
fn too_many_buses_are_an_error() {
    let interfaces = "<interface type='user'><model type='virtio'/></interface>".repeat(400);
    fails("q35", &interfaces, &expect!["no PCI slot is free for a network interface"]);
}
