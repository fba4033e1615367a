//! Reading: what is understood, and what is reported where.

use expect_test::{Expect, expect};

use crate::{
    Document,
    model::{
        Domain, ProblemKind, Switch, devices::VirtioModel, launch_security::LaunchSecurity, memory::Kib,
    },
};

fn read(text: &str) -> (Domain, String) {
    let document = Document::parse(text).unwrap();
    let (domain, problems) = Domain::read(&document);
    let mut list = String::new();
    for problem in problems {
        let at = document.position(problem.span.start);
        let what = problem.span.of(text);
        list += &format!("{at} {:?} {problem} [{what}]\n", problem.kind);
    }
    (domain, list)
}

/// Reads a domain that has `inside` beside what every domain needs.
#[track_caller]
fn check(inside: &str, problems: &Expect) -> Domain {
    let text = format!(
        "<domain type='kvm'><name>a</name><memory>1024</memory><os><type>hvm</type></os>\n{inside}\n</domain>"
    );
    let (domain, found) = read(&text);
    problems.assert_eq(&found);
    domain
}

#[test]
fn the_q35_example_has_no_problem() {
    let (domain, problems) = read(include_str!("../../../test_data/q35.xml"));
    expect![""].assert_eq(&problems);
    assert_eq!(domain.memory, Kib(4194304));
    assert!(domain.memory_backing.locked);
    assert_eq!(domain.vcpu.count, 4);
    let Some(LaunchSecurity::Sev(sev)) = &domain.launch_security else { panic!("no SEV") };
    assert_eq!((sev.cbitpos, sev.reduced_phys_bits, sev.policy), (Some(47), Some(1), Some(3)));
    assert!(!sev.is_es());
    assert_eq!(domain.devices.rngs[0].backend, None);
    assert_eq!(domain.devices.rngs[0].virtio.iommu, Some(Switch::On));
}

#[test]
fn the_i440fx_example_has_no_problem() {
    let (domain, problems) = read(include_str!("../../../test_data/i440fx.xml"));
    expect![""].assert_eq(&problems);
    assert_eq!(domain.memtune.hard_limit, Some(Kib(5242880)));
    assert_eq!(domain.devices.rngs[0].model, VirtioModel::NonTransitional);
}

#[test]
fn what_is_not_modelled_is_named_with_its_path() {
    check(
        "<devices><hostdev mode='subsystem'><source/></hostdev>\
         <disk type='network'><source protocol='rbd' name='x'/><target dev='vda' bus='virtio' odd='1'/></disk>\
         <controller type='xenbus' index='0'><x/></controller></devices>\
         <qemu:commandline xmlns:qemu='u'/>",
        &expect![[r#"
            2:10 NotModelled devices/hostdev: not supported [<hostdev mode='subsystem'>]
            2:76 NotModelled devices/disk/source: sources of the kind `network` are not supported [<source protocol='rbd' name='x'/>]
            2:140 NotModelled devices/disk/target@odd: not supported [odd='1']
            2:174 NotModelled devices/controller@type: `xenbus` is not supported, only `ide`, `fdc`, `scsi`, `sata`, `virtio-serial`, `ccid`, `usb`, `pci`, `isa` [xenbus]
            2:219 NotModelled qemu:commandline: not supported [<qemu:commandline xmlns:qemu='u'/>]
        "#]],
    );
}

#[test]
fn wrong_values_are_malformed_where_they_stand() {
    let domain = check(
        "<vcpu current='9'>x</vcpu><on_crash>sometimes</on_crash><devices><memballoon model='virtio'>\
         <driver iommu='yes'/><address type='pci' slot='0x20'/></memballoon><interface type='user'>\
         <mac address='1:2:3'/></interface></devices>\
         <launchSecurity type='sev'><cbitpos>-1</cbitpos></launchSecurity>",
        &expect![[r#"
            2:16 Malformed vcpu@current: not from 1 to 1 [9]
            2:19 Malformed vcpu: `x` is not a number of CPUs from 1 [x]
            2:37 Malformed on_crash: `sometimes` is not one of `destroy`, `restart`, `rename-restart`, `preserve`, `coredump-destroy`, `coredump-restart` [sometimes]
            2:108 Malformed devices/memballoon/driver@iommu: `yes` is not `on` or `off` [yes]
            2:140 Malformed devices/memballoon/address@slot: `0x20` is not a slot from 0 to 0x1f [0x20]
            2:197 Malformed devices/interface/mac@address: `1:2:3` is not a MAC address [1:2:3]
            2:227 Malformed launchSecurity: element `policy` is missing [<launchSecurity type='sev'>]
            2:263 Malformed launchSecurity/cbitpos: `-1` is not a number in range [-1]
        "#]],
    );
    assert_eq!(domain.vcpu.count, 1);
}

#[test]
fn rates_of_disks_come_back_in_libvirts_order() {
    let rates = "<total_bytes_sec>1000</total_bytes_sec><read_iops_sec_max>9</read_iops_sec_max>\
                 <size_iops_sec>4096</size_iops_sec><group_name>g</group_name>\
                 <read_iops_sec_max_length>5</read_iops_sec_max_length>";
    let disk = |rates: &str| {
        format!(
            "<devices><disk type='file'><source file='/x'/><target dev='vda'/><iotune>{rates}</iotune></disk></devices>"
        )
    };
    let domain = check(&disk(rates), &expect![""]);
    assert_eq!(
        domain.devices.disks[0].io_tune.as_ref().unwrap().named().filter(|(_, value)| *value > 0).count(),
        4
    );
    let printed: String = domain.print().lines().map(str::trim).collect();
    assert!(printed.contains(&format!("<iotune>{rates}</iotune>")), "{printed}");
    check(
        &disk("<total_iops_sec>1</total_iops_sec><write_iops_sec>2</write_iops_sec>"),
        &expect![[r#"
            2:66 Malformed devices/disk/iotune: total and read/write iops_sec cannot be set at the same time [<iotune><total_iops_sec>1</total_iops_sec><write_iops_sec>2</write_iops_sec></iotune>]
        "#]],
    );
}

#[test]
fn the_policy_is_hexadecimal_and_required() {
    for (text, policy) in [("0x0007", 7), ("10", 16), (" 0X30 ", 48)] {
        let security = format!("<launchSecurity type='sev'><policy>{text}</policy></launchSecurity>");
        let domain = check(&security, &expect![""]);
        let Some(LaunchSecurity::Sev(sev)) = domain.launch_security else { panic!("no SEV") };
        assert_eq!(sev.policy, Some(policy));
    }
    check(
        "<launchSecurity type='sev'/>",
        &expect![[r#"
        2:1 Malformed launchSecurity: element `policy` is missing [<launchSecurity type='sev'/>]
    "#]],
    );
    check(
        "<launchSecurity type='sev-snp'><policy>0x1ffffffffffffffff</policy></launchSecurity>",
        &expect![[r#"
        2:40 Malformed launchSecurity/policy: `0x1ffffffffffffffff` is not a hexadecimal number in range [0x1ffffffffffffffff]
    "#]],
    );
    check(
        "<launchSecurity type='tdx'><policy>0x10</policy></launchSecurity>",
        &expect![[r#"
        2:1 NotModelled launchSecurity: launch security of the kind `tdx` is not supported [<launchSecurity type='tdx'>]
    "#]],
    );
}

#[test]
fn what_a_running_domain_adds_is_no_problem() {
    check(
        "<devices><disk type='file' device='disk'><source file='/a' index='1'/><backingStore/>\
         <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>\
         <interface type='network'><source network='default' portid='x' bridge='virbr0'/><target dev='vnet0'/>\
         </interface><console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></console></devices>",
        &expect![""],
    );
}

#[test]
fn units_of_memory() {
    for (text, kib) in [
        ("<currentMemory>7</currentMemory>", 7),
        ("<currentMemory unit='b'>1025</currentMemory>", 2),
        ("<currentMemory unit='bytes'>1024</currentMemory>", 1),
        ("<currentMemory unit='KB'>1000</currentMemory>", 977),
        ("<currentMemory unit='k'>3</currentMemory>", 3),
        ("<currentMemory unit='MiB'>2</currentMemory>", 2048),
        ("<currentMemory unit='MB'>2</currentMemory>", 1954),
        ("<currentMemory unit='G'>1</currentMemory>", 1048576),
        ("<currentMemory unit='tib'> 1 </currentMemory>", 1073741824),
    ] {
        assert_eq!(check(text, &expect![""]).current_memory, Some(Kib(kib)), "{text}");
    }
    check(
        "<currentMemory unit='XiB'>7</currentMemory>",
        &expect![[r#"
        2:22 Malformed currentMemory@unit: `XiB` is not a unit such as KiB, MiB or GiB [XiB]
    "#]],
    );
    check(
        "<currentMemory unit='E'>18446744073709551615</currentMemory>",
        &expect![[r#"
        2:25 Malformed currentMemory: `18446744073709551615` is not an amount of memory [18446744073709551615]
    "#]],
    );
}

#[test]
fn another_root_element_is_malformed() {
    let (_, problems) = read("<network><name>x</name></network>");
    expect![[r#"
        1:2 Malformed network: the root element is not `domain` [network]
    "#]]
    .assert_eq(&problems);
}

#[test]
fn problems_are_bounded() {
    let many = format!("<domain type='kvm'>{}</domain>", "<x/>".repeat(5000));
    let document = Document::parse(&many).unwrap();
    let (_, problems) = Domain::read(&document);
    let of = |kind| problems.iter().filter(|problem| problem.kind == kind).count();
    assert_eq!((of(ProblemKind::Malformed), of(ProblemKind::NotModelled)), (3, 1000));
}

#[test]
fn a_computers_description_is_checked_as_libvirt_does() {
    let smbios = |inside: &str| format!("<sysinfo type='smbios'>{inside}</sysinfo>");
    let uuid = "<uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>";
    let system = |uuid: &str| smbios(&format!("<system><entry name='uuid'>{uuid}</entry></system>"));
    // A domain without a UUID has that of its tables.
    let domain = check(&system("c7a5fdbdedaf9455926ad65c16db1809"), &expect![""]);
    let own = domain.uuid.map(|uuid| uuid.to_string());
    assert_eq!(own.as_deref(), Some("c7a5fdbd-edaf-9455-926a-d65c16db1809"));
    check(&(uuid.to_owned() + &system("C7A5FDBD-edaf-9455-926a-d65c16db1809")), &expect![""]);
    check(
        &(uuid.to_owned() + &system("00000000-edaf-9455-926a-d65c16db1809")),
        &expect![[r#"
            2:100 Malformed sysinfo/system/entry: it is not the domain's own UUID, c7a5fdbd-edaf-9455-926a-d65c16db1809 [00000000-edaf-9455-926a-d65c16db1809]
        "#]],
    );
    check(
        &smbios(
            "<bios><entry name='date'>2024-02-01</entry></bios><system><entry name='uuid'>x</entry>\
             <entry name='serial'>1</entry><entry name='serial'>2</entry><entry name='colour'>red</entry></system>",
        ),
        &expect![[r#"
            2:49 Malformed sysinfo/bios/entry: `2024-02-01` is not a date such as 12/31/2024 [2024-02-01]
            2:101 Malformed sysinfo/system/entry: `x` is not a UUID [x]
            2:140 NotModelled sysinfo/system/entry: an entry of this name was given before [<entry name='serial'>]
            2:183 NotModelled sysinfo/system/entry@name: `colour` is not supported, only `manufacturer`, `product`, `version`, `serial`, `uuid`, `sku`, `family` [colour]
        "#]],
    );
    let long = "n".repeat(52);
    check(
        &format!(
            "<sysinfo type='fwcfg'><entry name='opt/a'>b</entry><entry name='b'>c</entry><entry name='opt/ovmf/x'>c</entry>\
             <entry name='opt/b'/><entry name='opt/{long}'>a</entry></sysinfo><sysinfo type='x'/>"
        ),
        &expect![[r#"
            2:65 Malformed sysinfo/entry@name: `b` is not below `opt/` [b]
            2:90 Malformed sysinfo/entry@name: `opt/ovmf/x` is reserved [opt/ovmf/x]
            2:111 Malformed sysinfo/entry: the entry's text, or attribute `file`, is missing [<entry name='opt/b'/>]
            2:145 Malformed sysinfo/entry@name: `opt/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn` is longer than 55 bytes [opt/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn]
            2:237 NotModelled sysinfo@type: `x` is not supported, only `smbios`, `fwcfg` [x]
        "#]],
    );
}

#[test]
fn io_threads_have_numbers_from_1_and_bounded_times() {
    let domain = check(
        "<iothreads>20000</iothreads><iothreadids><iothread id='0'/><iothread id='7'/><iothread id='7'/><iothread/>\
         </iothreadids><cputune><period>10</period><quota>10</quota><global_quota>-1</global_quota></cputune>",
        &expect![[r#"
            2:12 Malformed iothreads: `20000` is not a number of threads up to 16384 [20000]
            2:56 Malformed iothreadids/iothread@id: `0` is not a number from 1 [0]
            2:92 Malformed iothreadids/iothread@id: there is an I/O thread 7 already [7]
            2:96 Malformed iothreadids/iothread: attribute `id` is missing [<iothread/>]
            2:138 Malformed cputune/period: `10` is not a time from 1000 to 1000000 microseconds [10]
            2:156 Malformed cputune/quota: `10` is not a time from 1000 to 17592186044415 microseconds, or -1 [10]
        "#]],
    );
    assert_eq!(domain.iothreads.all().len(), 1);
    assert_eq!((domain.cputune.quota, domain.cputune.global_quota), (None, Some(-1)));
}
