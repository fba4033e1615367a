//! The host that libvirt's tests pretend to be on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use domain::{
    Domain,
    model::{
        Surroundings as Definition,
        interface::{InterfaceModel, InterfaceSource},
    },
};
use qemu::{
    Caps,
    firmware::Descriptor,
    plan::{Displays, HostClock, InheritedFds, MemoryDirs, Network, Surroundings, TapFd, TapFds},
};

use crate::host_cpu;

/// Every character device and TPM that a case could have.
const NUMBERS: std::ops::Range<usize> = 0..40;

pub(crate) fn surroundings(case: &str, domain: &Domain, firmware: &[Descriptor]) -> Surroundings {
    let short_name: String = domain.name.chars().take(20).collect();
    let run = format!("-1-{short_name}");
    let domain_dir = PathBuf::from(format!("/var/lib/libvirt/qemu/domain-{run}"));
    let numbered = |kind: &'static str| NUMBERS.map(move |number| format!("{kind}{number}"));
    let sockets =
        ["serial", "channel", "console", "video"].into_iter().flat_map(numbered).map(|id| (id, 1729));
    let files = numbered("serial").map(|id| (format!("{id}-source"), 1750));
    let tpm = [("tpm0-tpm".to_owned(), 1730), ("tpm0-cancel".to_owned(), 1731)];
    let huge = |mount: &str| PathBuf::from(format!("/dev/{mount}/libvirt/qemu/{run}"));
    Surroundings {
        nvram_dir: "/var/lib/libvirt/qemu/nvram".into(),
        master_key: Some(domain_dir.join("master-key.aes")),
        fds: InheritedFds {
            monitor: 1729,
            sockets: sockets.collect(),
            files: files.chain(tpm).collect(),
            taps: taps(domain),
            vsocks: BTreeMap::from([("vsock0".to_owned(), 6789)]),
        },
        firmware: firmware.to_vec(),
        networks: networks(domain),
        memory_dirs: MemoryDirs {
            files: format!("/var/lib/libvirt/qemu/ram/{run}").into(),
            huge_pages: BTreeMap::from([(2048, huge("hugepages2M")), (1 << 20, huge("hugepages1G"))]),
            default_huge_page_kib: Some(2048),
        },
        cdrom_drives: BTreeSet::from(["/dev/cdrom".to_owned()]),
        tpm_sockets: BTreeMap::from([("tpm0".to_owned(), "/dev/test".into())]),
        passt_sockets: numbered("net")
            .map(|id| {
                let socket = format!("/var/run/libvirt/qemu/passt/{run}-{id}.socket");
                (id, socket.into())
            })
            .collect(),
        displays: Displays {
            spice_tls_dir: Some("/etc/pki/libvirt-spice".into()),
            spice_password: true,
            pipewire_dir: Some("/run/user/1000".into()),
            // Both cases set an option of the daemon's configuration.
            prefer_unix_sockets: case.ends_with("-auto-socket-cfg"),
            dbus_address: Some(format!("unix:path=/var/run/libvirt/qemu/dbus/{run}-dbus.sock")),
            ..Displays::default()
        },
        chardev_tls_dir: case.starts_with("serial-tcp-tls").then(|| "/etc/pki/libvirt-chardev".into()),
        host_features: Some(BTreeSet::from(["tm".to_owned()])),
        host_model: host_cpu::model(case, domain),
        generation_id: Some("00010203-0405-4607-8809-0a0b0c0d0e0f".to_owned()),
        vsock_cid: Some(42),
        clock: Some(HostClock { unix_seconds: 1_234_567_890, utc_offset_seconds: -1800 }),
        user: "test".to_owned(),
        path: "/bin".to_owned(),
        emulator: Some("/usr/bin/qemu-system-x86_64".into()),
        domain_dir,
        ..Surroundings::default()
    }
}

/// What libvirt fills in when a domain is defined. Its tests keep aliases of machines.
pub(crate) fn definition<'r>(
    domain: &Domain,
    caps: &Caps,
    random: &'r mut dyn FnMut() -> [u8; 16],
) -> Definition<'r> {
    let machine = domain.os.machine.as_deref().and_then(|name| caps.machine(name));
    let cpu = machine.and_then(|machine| machine.default_cpu_type.as_deref()).unwrap_or("qemu64-x86_64-cpu");
    Definition {
        machine: None,
        cpu_model: cpu.trim_end_matches("-x86_64-cpu").to_owned(),
        emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
        random,
    }
}

fn taps(domain: &Domain) -> BTreeMap<String, TapFds> {
    let mut taps = BTreeMap::new();
    let mut number = 0;
    for interface in &domain.devices.interfaces {
        let id = interface.info.alias.clone().unwrap_or_else(|| {
            number += 1;
            format!("net{}", number - 1)
        });
        let fd = if interface.source == InterfaceSource::Ethernet { 3 } else { 102 };
        let virtio = matches!(interface.model, Some(InterfaceModel::Virtio(_)));
        taps.insert(
            id,
            TapFds {
                tap: vec![TapFd::Number(fd)],
                vhost: if virtio { vec![TapFd::Number(44)] } else { Vec::new() },
            },
        );
    }
    taps
}

fn networks(domain: &Domain) -> BTreeMap<String, Network> {
    let interfaces = domain.devices.interfaces.iter();
    let names = interfaces.filter_map(|interface| match &interface.source {
        InterfaceSource::Network { network, .. } => Some(network.clone()),
        _ => None,
    });
    names.map(|name| (name, Network::Bridge("virbr0".to_owned()))).collect()
}

/// The descriptors of a host: those of the administrator hide the distribution's of the same name, and an empty one
/// hides without taking its place.
pub(crate) fn descriptors(root: &Path) -> Vec<Descriptor> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for directory in ["usr/share/qemu/firmware", "etc/qemu/firmware"] {
        for entry in fs::read_dir(root.join(directory)).unwrap() {
            let entry = entry.unwrap();
            files.insert(entry.file_name().into_string().unwrap(), entry.path());
        }
    }
    let texts = files.values().map(|path| fs::read_to_string(path).unwrap());
    texts.filter_map(|text| Descriptor::parse(&text).ok()).collect()
}
