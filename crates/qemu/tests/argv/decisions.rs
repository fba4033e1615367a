//! What a plan decides beside the command line: launch inputs, files, notes, refusals.

use std::{collections::BTreeMap, fs, path::Path};

use domain::{
    Domain,
    model::{
        LifecycleAction,
        chardev::{ChannelTarget, CharKind, SocketMode},
        cpu::CpuFeature,
        interface::{InterfaceSource, LinkState},
        launch_security::LaunchSecurity,
        memory::Kib,
        os::Nvram,
        sysinfo::{Smbios, SmbiosMode, Sysinfo, SystemEntry},
    },
};
use qemu::{
    Caps, Technology,
    caps::CpuSignature,
    plan::{
        DeviceKind, Network, Placement, Plan, PlanError, SevParams, Surroundings, TapFd, TapFds, Vhost,
        wanted_taps,
    },
};

use crate::host;

fn defined(case: &str) -> (Domain, Caps) {
    let caps = host::caps();
    let domain = host::define(&fs::read_to_string(host::data(case)).unwrap(), &caps);
    (domain, caps)
}

#[track_caller]
fn plan(case: &str, change: impl Fn(&mut Domain, &mut Caps, &mut Surroundings)) -> Result<Plan, PlanError> {
    let (mut domain, mut caps) = defined(case);
    let mut here = host::surroundings();
    change(&mut domain, &mut caps, &mut here);
    Plan::new(&domain, &caps, &here)
}

#[track_caller]
fn refusal(case: &str, change: impl Fn(&mut Domain, &mut Caps, &mut Surroundings)) -> String {
    plan(case, change).unwrap_err().to_string()
}

#[test]
fn the_launch_inputs_are_those_of_the_guest() {
    let es = plan("sev-es-direct-boot.xml", |_, _, _| {}).unwrap();
    let inputs = es.launch_inputs().unwrap();
    assert_eq!((inputs.technology, inputs.policy, inputs.vcpus), (Technology::SevEs, 7, 2));
    assert_eq!(inputs.firmware.as_deref(), Some(Path::new("/usr/share/edk2/ovmf/OVMF.amdsev.fd")));
    assert!(inputs.kernel_hashes);
    assert_eq!(inputs.boot.as_ref().unwrap().cmdline.as_deref(), Some("console=ttyS0 root=/dev/vda, quiet"));
    assert_eq!(inputs.vcpu_signature, Some(CpuSignature { family: 25, model: 1, stepping: 1 }));

    let snp = plan("snp.xml", |_, _, _| {}).unwrap();
    let inputs = snp.launch_inputs().unwrap();
    assert_eq!((inputs.technology, inputs.policy, inputs.vcpus), (Technology::SevSnp, 0x30000, 1));
    assert_eq!(inputs.cpu_model, "EPYC-Milan-v1");
    assert!(plan("minimal.xml", |_, _, _| {}).unwrap().launch_inputs().is_none());
}

#[test]
fn the_owners_blobs_become_files_and_stay_out_of_debug_output() {
    let plan = plan("sev-es-direct-boot.xml", |_, _, _| {}).unwrap();
    let files: Vec<_> =
        plan.files().iter().map(|file| (file.path.to_str().unwrap(), file.contents.as_slice())).collect();
    assert_eq!(
        files,
        [
            ("/run/sevirt/guest/dh_cert.base64", b"AQAAAAAOAAAA".as_slice()),
            ("/run/sevirt/guest/session.base64", b"AgAAAAAOAAAA".as_slice()),
        ]
    );
    assert!(!format!("{:?}", plan.files()).contains("65, 81"));
}

#[test]
fn an_snp_guests_firmware_goes_to_memory() {
    let plan = plan("snp.xml", |_, _, _| {}).unwrap();
    assert_eq!(plan.firmware().code.as_ref().unwrap().placement, Placement::Rom);
    assert_eq!(plan.firmware().variables, None);
    assert_eq!(plan.notes().len(), 2);
}

#[test]
fn chosen_firmware_can_do_what_the_guest_needs() {
    let code = |plan: &Plan| plan.firmware().code.as_ref().unwrap().path.to_str().unwrap().to_owned();
    let case = "sev-chosen-firmware.xml";
    let sev = plan(case, |_, _, _| {}).unwrap();
    assert_eq!(code(&sev), "/fw/CODE.fd");
    let variables = sev.firmware().variables.as_ref().unwrap();
    assert_eq!(variables.path, Path::new("/var/lib/sevirt/nvram/chosen_VARS.fd"));
    assert_eq!(variables.template.as_deref(), Some(Path::new("/fw/VARS.fd")));

    let plain = plan(case, |domain, _, _| domain.launch_security = None).unwrap();
    assert_eq!(code(&plain), "/fw/CODE.secboot.fd");
    assert!(plain.firmware().secure);

    let snp = plan(case, |domain, _, _| {
        domain.launch_security = Some(LaunchSecurity::SevSnp(Box::default()));
        let Some(LaunchSecurity::SevSnp(snp)) = &mut domain.launch_security else { unreachable!() };
        snp.policy = Some(0x30000);
    })
    .unwrap();
    assert_eq!(code(&snp), "/fw/AMDSEV.fd");
    assert_eq!(
        refusal(case, |_, _, here| here.firmware.clear()),
        "no firmware descriptor for efi fits: amd-sev, machine pc-q35-10.0"
    );
}

#[test]
fn variables_of_a_known_image_have_its_template() {
    let plan = plan("snp.xml", |domain, _, _| {
        domain.launch_security = None;
        domain.os.loader.as_mut().unwrap().path = Some("/fw/CODE.fd".to_owned());
        domain.os.nvram = Some(Nvram::default());
    })
    .unwrap();
    let variables = plan.firmware().variables.as_ref().unwrap();
    assert_eq!(variables.path, Path::new("/var/lib/sevirt/nvram/snp_VARS.fd"));
    assert_eq!(variables.template.as_deref(), Some(Path::new("/fw/VARS.fd")));
}

#[test]
fn the_host_fills_in_what_the_domain_leaves_out_of_sev() {
    let case = "sev-chosen-firmware.xml";
    let argument = |plan: &Plan| {
        let argv = plan.argv().into_iter().map(|word| word.into_string().unwrap());
        argv.filter(|word| word.contains("sev-guest")).collect::<String>()
    };
    let asked = plan(case, |_, _, _| {}).unwrap();
    assert!(argument(&asked).contains(r#""cbitpos":51,"reduced-phys-bits":1"#));
    let given = SevParams { cbitpos: 47, reduced_phys_bits: 5 };
    let given = plan(case, |_, _, here| here.sev = Some(given)).unwrap();
    assert!(argument(&given).contains(r#""cbitpos":47,"reduced-phys-bits":5"#));
    assert_eq!(
        refusal(case, |_, caps, _| caps.sev = Err("no".into())),
        "neither the domain nor the host tells the position of the C-bit"
    );
}

#[test]
fn what_cannot_be_given_is_refused_by_name() {
    assert_eq!(
        refusal("minimal.xml", |domain, _, _| {
            domain.launch_security = Some(LaunchSecurity::Other { kind: "tdx".into() });
        }),
        "launch security of type tdx is not supported"
    );
    assert_eq!(
        refusal("minimal.xml", |domain, _, _| domain.os.arch = Some("aarch64".into())),
        "guests of architecture aarch64 are not supported"
    );
    assert_eq!(
        refusal("minimal.xml", |domain, _, _| domain.vcpu.current = Some(2)),
        "2 virtual CPUs of at most 1"
    );
    assert_eq!(
        refusal("many-devices.xml", |domain, _, _| domain.devices.disks[0].info.address = None),
        "`virtio-disk0` has no address of the kind that its bus needs"
    );
    assert_eq!(
        refusal("snp.xml", |_, caps, _| caps.cpu_models.clear()),
        "none of QEMU's CPU models can be used on this host"
    );
}

#[test]
fn what_is_left_out_is_named() {
    let plan = plan("many-devices.xml", |domain, _, _| {
        domain.current_memory = Some(Kib(65_536));
        domain.on_reboot = Some(LifecycleAction::Destroy);
        domain.devices.disks[0].transient = true;
        domain.devices.interfaces[1].link = Some(LinkState::Down);
        domain.cputune.shares = Some(10);
    })
    .unwrap();
    assert_eq!(
        plan.unmodelled(),
        [
            "cputune: no shares, quotas or pinning",
            "currentMemory: the guest starts with all of its memory",
            "disk vda: changes are not discarded (<transient/>)",
            "interface net1: its link starts up, not down",
            "on_reboot: a guest that reboots is restarted",
        ]
    );
}

#[test]
fn taps_are_wanted_for_what_is_not_user_mode() {
    let (mut domain, caps) = defined("many-devices.xml");
    assert!(wanted_taps(&domain, &BTreeMap::new()).is_empty());
    domain.devices.interfaces[0].source = InterfaceSource::Bridge { bridge: "br0".into() };
    domain.devices.interfaces[0].driver.queues = Some(2);
    domain.devices.interfaces[1].source =
        InterfaceSource::Network { network: "default".into(), portgroup: None };
    let networks = BTreeMap::from([("default".to_owned(), Network::Bridge("virbr0".to_owned()))]);
    let taps = wanted_taps(&domain, &networks);
    let bridges: Vec<_> = taps.iter().map(|tap| (tap.id.as_str(), tap.bridge.as_deref())).collect();
    assert_eq!(bridges, [("net0", Some("br0")), ("net1", Some("virbr0"))]);
    assert_eq!((taps[0].queues, taps[0].vhost), (2, Vhost::Preferred));
    assert_eq!((taps[1].queues, taps[1].vhost), (1, Vhost::Never));

    let mut here = host::surroundings();
    here.networks = networks;
    let missing = Plan::new(&domain, &caps, &here).unwrap_err().to_string();
    assert_eq!(missing, "no file descriptor of a tap device was given for `net0`");
    here.fds.taps.insert(
        "net0".into(),
        TapFds { tap: [5, 6].map(TapFd::Number).into(), vhost: [7, 8].map(TapFd::Number).into() },
    );
    here.fds.taps.insert("net1".into(), TapFds { tap: vec![TapFd::Number(9)], vhost: vec![] });
    let text = Plan::new(&domain, &caps, &here).unwrap().to_shell();
    assert!(text.contains(r#"{"type":"tap","fds":"5:6","vhost":true,"vhostfds":"7:8","id":"hostnet0"}"#));
    assert!(text.contains(r#""mq":true,"vectors":6"#));
    assert!(text.contains(r#"{"type":"tap","fd":"9","id":"hostnet1"}"#));
}

#[test]
fn a_channel_without_a_path_has_a_socket_in_the_run_directory() {
    let plan = plan("many-devices.xml", |domain, _, _| {
        domain.devices.channels[0].source.kind =
            CharKind::Unix { mode: SocketMode::Bind, path: None, reconnect: None };
    })
    .unwrap();
    let wanted = "-chardev socket,id=charchannel0,path=/run/sevirt/guest/channel0.sock,server=on,wait=off ";
    assert!(plan.to_shell().contains(wanted));
}

#[test]
fn a_display_without_an_address_is_for_this_host_only() {
    let caps = host::caps();
    let seed = host::cases().into_iter().find(|path| path.ends_with("q35.xml")).unwrap();
    let domain = host::define(&fs::read_to_string(seed).unwrap(), &caps);
    let mut here = host::surroundings();
    here.displays.spice_port = Some(5901);
    let text = Plan::new(&domain, &caps, &here).unwrap().to_shell();
    assert!(text.contains("-spice port=5901,addr=127.0.0.1,disable-ticketing=on,"));
}

#[test]
fn names_cannot_smuggle_options() {
    let forward = |domain: &mut Domain, address: &str| {
        domain.devices.channels[0].target = ChannelTarget::Guestfwd { address: address.to_owned(), port: 80 };
    };
    assert_eq!(
        refusal("many-devices.xml", |domain, _, _| forward(domain, "10.0.2.1:1-cmd:id")),
        "`channel0` forwards `10.0.2.1:1-cmd:id`, which is not an IPv4 address"
    );
    assert!(plan("many-devices.xml", |domain, _, _| forward(domain, "10.0.2.1")).is_ok());
    assert_eq!(
        refusal("many-devices.xml", |domain, _, _| {
            let features = &mut domain.cpu.as_mut().unwrap().features;
            features.push(CpuFeature { name: "aes,enforce".into(), policy: None });
        }),
        "`aes,enforce` is not the name of a CPU model or feature"
    );
}

#[test]
fn devices_have_the_arguments_of_device_add() {
    let plan = plan("many-devices.xml", |_, _, _| {}).unwrap();
    let nic = plan.devices().find(|device| device.kind == DeviceKind::Interface).unwrap();
    let arguments = nic.device_add().unwrap();
    assert_eq!(arguments.get("driver").unwrap(), "virtio-net-pci-non-transitional");
    assert_eq!(arguments.get("id").unwrap(), nic.id.as_str());
}

#[test]
fn a_seed_guest_hears_what_was_decided_for_it() {
    let caps = host::caps();
    let seed = host::cases().into_iter().find(|path| path.ends_with("q35.xml")).unwrap();
    let domain = host::define(&fs::read_to_string(seed).unwrap(), &caps);
    let plan = Plan::new(&domain, &caps, &host::surroundings()).unwrap();
    assert_eq!(
        plan.notes(),
        [
            "rng0 has no backend; it reads /dev/urandom",
            "net0: network `default` is not known here; user-mode networking is used",
        ]
    );
    assert!(plan.unmodelled().is_empty(), "{:?}", plan.unmodelled());
}

#[test]
fn smbios_tables_are_the_domains_or_the_hosts() {
    let tables = |plan: &Plan| {
        let argv = plan.argv();
        let words = argv.windows(2).filter(|words| words[0] == "-smbios");
        words.map(|words| words[1].to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let case = "engines.xml";
    assert_eq!(tables(&plan(case, |_, _, _| {}).unwrap()).len(), 5);
    let emulated = plan(case, |domain, _, _| domain.os.smbios = None).unwrap();
    assert!(tables(&emulated).is_empty());
    assert_eq!(emulated.unmodelled().len(), 2, "{:?}", emulated.unmodelled());
    let tuned = plan(case, |domain, _, here| {
        domain.cputune.shares = None;
        here.is_tuned = true;
    });
    assert!(tuned.unwrap().unmodelled().is_empty(), "I/O threads are pinned");
    // The host's UUID stays the host's.
    let host = |domain: &mut Domain, here: &mut Surroundings| {
        domain.os.smbios = Some(SmbiosMode::Host);
        let mut smbios = Smbios::default();
        smbios.system.set(SystemEntry::Uuid, "c7a5fdbd-edaf-9455-926a-d65c16db1809".to_owned());
        smbios.system.set(SystemEntry::Product, "a,b".to_owned());
        here.host_smbios = Some(smbios);
    };
    let shown = plan(case, |domain, _, here| host(domain, here)).unwrap();
    assert_eq!(tables(&shown), ["type=1,product=a,,b"]);
    assert_eq!(
        refusal(case, |domain, _, _| domain.os.smbios = Some(SmbiosMode::Host)),
        "Host SMBIOS information is not available"
    );
    assert_eq!(
        refusal(case, |domain, _, _| domain.sysinfo.clear()),
        "Domain 'engines' sysinfo are not available"
    );
    assert_eq!(
        refusal(case, |domain, _, _| {
            let Some(Sysinfo::Smbios(smbios)) = domain.sysinfo.first_mut() else { unreachable!() };
            smbios.base_boards.extend(smbios.base_boards.clone());
        }),
        "qemu does not support more than one entry to Type 2 in SMBIOS table"
    );
}
