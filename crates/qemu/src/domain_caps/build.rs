//! The document from what QEMU answered.

use std::collections::BTreeSet;

use domain::model::DomainKind;

use super::{
    CpuModes, CustomModel, DomainCaps, DomainCapsError, Enum, Here, HostModel, Os, Section, Sev, TpmVersion,
    Usable, Wanted, models,
};
use crate::Caps;
use crate::argv::cpu;
use crate::caps::Extent;
use crate::qmp::command::{CpuDefinition, Machine};
use crate::technology::Technology;

/// libvirt's names of what Hyper-V offers its guests, in libvirt's order; QEMU writes them with hyphens.
const ENLIGHTENMENTS: [&str; 17] = [
    "relaxed",
    "vapic",
    "spinlocks",
    "vpindex",
    "runtime",
    "synic",
    "stimer",
    "reset",
    "vendor_id",
    "frequencies",
    "reenlightenment",
    "tlbflush",
    "ipi",
    "evmcs",
    "avic",
    "emsr_bitmap",
    "xmm_input",
];

impl DomainCaps {
    /// The document about the guests that are `wanted`. `caps` holds [`Part::Extent`](crate::caps::Part::Extent), and
    /// was asked for with the accelerator that is wanted.
    pub fn new(caps: &Caps, wanted: &Wanted<'_>, here: &Here) -> Result<Self, DomainCapsError> {
        let emulator = || here.emulator.clone();
        let extent =
            caps.extent.as_ref().ok_or_else(|| DomainCapsError::NotAsked { emulator: emulator() })?;
        let target = if caps.target == "i386" { "i686" } else { &caps.target };
        let arch = wanted.arch.unwrap_or(target);
        // An emulator of 64 bits runs guests of 32, too.
        if arch != target && (target, arch) != ("x86_64", "i686") {
            let (target, arch) = (caps.target.clone(), arch.to_owned());
            return Err(DomainCapsError::Arch { emulator: emulator(), target, arch });
        }
        let kind = wanted.kind.unwrap_or(if caps.kvm.enabled { DomainKind::Kvm } else { DomainKind::Qemu });
        if kind == DomainKind::Kvm && !caps.kvm.enabled {
            return Err(DomainCapsError::NoKvm { emulator: emulator() });
        }
        let machine = machine(caps, wanted.machine).ok_or_else(|| DomainCapsError::Machine {
            emulator: emulator(),
            machine: wanted.machine.unwrap_or("(its own choice)").to_owned(),
            newest: newest(caps),
        })?;
        let vcpus = here.kvm_vcpus.filter(|_| kind == DomainKind::Kvm);
        Ok(Self {
            emulator: emulator(),
            kind,
            machine: machine.name.clone(),
            arch: arch.to_owned(),
            max_vcpus: vcpus.map_or(machine.cpu_max, |vcpus| vcpus.min(machine.cpu_max)),
            os: os(here, arch, &machine.name),
            cpu: cpu_modes(caps, extent, kind, here),
            memory_backing: supported(
                "memoryBacking",
                vec![of(
                    "sourceType",
                    &[("file", true), ("anonymous", true), ("memfd", caps.has("memory-backend-memfd"))],
                )],
            ),
            devices: devices(caps, extent, &machine.name, here),
            features: vec![
                ("gic", false),
                ("vmcoreinfo", caps.has("vmcoreinfo")),
                ("genid", caps.has("vmgenid")),
                ("backingStoreInput", true),
                ("backup", true),
                ("async-teardown", extent.async_teardown),
                ("ps2", extent.i8042 && is_pc(&machine.name)),
            ],
            sev: sev(caps, here),
            sgx: extent.sgx.clone().filter(|_| caps.has("sgx-epc")),
            hyperv: extent.hyperv.as_ref().map(hyperv),
            launch_security: launch_security(caps, here),
        })
    }
}

fn machine<'c>(caps: &'c Caps, wanted: Option<&str>) -> Option<&'c Machine> {
    match wanted {
        Some(name) => caps.machine(name),
        None => caps.machines.iter().find(|machine| machine.is_default),
    }
}

/// The machine types that have a short name, with it.
fn newest(caps: &Caps) -> String {
    let named = caps.machines.iter().filter_map(|machine| {
        let alias = machine.alias.as_ref()?;
        Some(format!("{} ({alias})", machine.name))
    });
    named.collect::<Vec<_>>().join(", ")
}

fn is_q35(machine: &str) -> bool {
    machine == "q35" || machine.starts_with("pc-q35-")
}

fn is_i440fx(machine: &str) -> bool {
    ["pc-i440fx-", "pc-0.", "pc-1."].iter().any(|prefix| machine.starts_with(prefix)) || machine == "pc"
}

fn is_pc(machine: &str) -> bool {
    is_q35(machine) || is_i440fx(machine) || machine == "isapc" || machine.starts_with("xenfv")
}

/// The values that hold.
fn of(name: &'static str, values: &[(&'static str, bool)]) -> Enum {
    Enum { name, values: values.iter().filter(|(_, holds)| *holds).map(|(value, _)| *value).collect() }
}

fn supported(name: &'static str, choices: Vec<Enum>) -> Section {
    Section { name, choices: Some(choices) }
}

fn os(here: &Here, arch: &str, machine: &str) -> Os {
    let fit: Vec<_> = here.firmware.iter().filter(|found| found.descriptor.is_for(arch, machine)).collect();
    let has_interface =
        |name: &str| fit.iter().any(|found| found.descriptor.interface_types.iter().any(|one| one == name));
    let mut loaders: Vec<String> = Vec::new();
    for found in fit.iter().filter(|found| found.exists) {
        let path = found.descriptor.executable();
        if !loaders.iter().any(|known| known == path) {
            loaders.push(path.to_owned());
        }
    }
    let secure = fit.iter().any(|found| found.descriptor.has("requires-smm"));
    Os {
        firmware: of("firmware", &[("bios", has_interface("bios")), ("efi", has_interface("uefi"))]),
        loaders,
        choices: vec![
            of("type", &[("rom", true), ("pflash", true)]),
            of("readonly", &[("yes", true), ("no", true)]),
            of("secure", &[("yes", secure), ("no", true)]),
        ],
    }
}

fn cpu_modes(caps: &Caps, extent: &Extent, kind: DomainKind, here: &Here) -> CpuModes {
    let kvm = kind == DomainKind::Kvm;
    let passthrough = of("hostPassthroughMigratable", &[("on", extent.migratable), ("off", true)]);
    let maximum = of("maximumMigratable", &[("on", true), ("off", true)]);
    CpuModes {
        host_passthrough: kvm.then_some(passthrough),
        maximum: caps.cpu_model("max").map(|_| maximum),
        host_model: host_model(caps, here.address_bits.filter(|_| kvm)),
        custom: caps.cpu_models.iter().filter_map(custom).collect(),
    }
}

fn host_model(caps: &Caps, address_bits: Option<u32>) -> Option<HostModel> {
    let choice = cpu::host_model(caps)?;
    let features = choice.features.iter().map(|(name, on)| (models::feature(name), *on)).collect();
    let vendor = models::vendor(&choice.model)?;
    Some(HostModel { model: choice.model, vendor, address_bits, features })
}

fn custom(model: &CpuDefinition) -> Option<CustomModel> {
    let canonical = model.alias_of.clone().filter(|name| !name.is_empty());
    let vendor = models::vendor(canonical.as_deref().unwrap_or(&model.name))?;
    let usable = match model.unavailable_features.as_deref() {
        None => Usable::Unknown,
        Some([]) => Usable::Yes,
        Some(missing) => {
            let mut names: Vec<String> = missing.iter().map(|name| models::feature(name)).collect();
            names.sort_unstable();
            Usable::No(names)
        }
    };
    Some(CustomModel { name: model.name.clone(), vendor, canonical, deprecated: model.deprecated, usable })
}

fn devices(caps: &Caps, extent: &Extent, machine: &str, here: &Here) -> Vec<Section> {
    let has = |name: &str| caps.has(name);
    let transitional = ["blk", "net", "scsi", "rng", "balloon", "serial"].iter().any(|device| {
        has(&format!("virtio-{device}-pci-transitional"))
            || has(&format!("virtio-{device}-pci-non-transitional"))
    });
    let virtio_models = |name: &'static str, virtio: bool| {
        of(
            name,
            &[
                ("virtio", virtio),
                ("virtio-transitional", virtio && transitional),
                ("virtio-non-transitional", virtio && transitional),
            ],
        )
    };
    let disk = vec![
        of("diskDevice", &[("disk", true), ("cdrom", true), ("floppy", true), ("lun", true)]),
        of(
            "bus",
            &[
                ("ide", is_i440fx(machine)),
                ("fdc", true),
                ("scsi", true),
                ("virtio", true),
                ("usb", has("usb-storage")),
                ("sata", has("ich9-ahci")),
            ],
        ),
        virtio_models("model", true),
    ];
    let shown_by = |name: &str| extent.displays.contains(name);
    let graphics = of(
        "type",
        &[
            ("sdl", shown_by("sdl")),
            ("vnc", extent.vnc),
            ("rdp", shown_by("dbus") && here.rdp),
            ("spice", extent.spice),
            ("egl-headless", shown_by("egl-headless")),
            ("dbus", shown_by("dbus")),
        ],
    );
    let video = of(
        "modelType",
        &[
            ("vga", has("VGA")),
            ("cirrus", has("cirrus-vga")),
            ("vmvga", has("vmware-svga")),
            ("qxl", has("qxl")),
            ("virtio", has("virtio-gpu-pci") || has("virtio-gpu-device")),
            ("none", true),
            ("bochs", has("bochs-display")),
            ("ramfb", has("ramfb")),
        ],
    );
    let rng = vec![
        virtio_models("model", has("virtio-rng-pci") || has("virtio-rng-device")),
        of(
            "backendModel",
            &[("random", has("rng-random")), ("egd", has("rng-egd")), ("builtin", has("rng-builtin"))],
        ),
    ];
    let filesystem =
        of("driverType", &[("path", true), ("handle", true), ("virtiofs", has("vhost-user-fs-device"))]);
    let redirection =
        Section { name: "redirdev", choices: has("usb-redir").then(|| vec![of("bus", &[("usb", true)])]) };
    let channel = of("type", &[("pty", true), ("unix", true), ("spicevmc", extent.spice)]);
    let crypto = vec![
        of("model", &[("virtio", has("virtio-crypto-pci") || has("virtio-crypto-device"))]),
        of("type", &[("qemu", true)]),
        of("backendModel", &[("builtin", true), ("lkcf", has("cryptodev-backend-lkcf"))]),
    ];
    let netdev = |name: &str| extent.netdevs.contains(name);
    let backends = of("backendType", &[("default", netdev("user")), ("passt", netdev("stream"))]);
    let panic = of(
        "model",
        &[("isa", has("pvpanic")), ("hyperv", caps.target == "x86_64"), ("pvpanic", has("pvpanic-pci"))],
    );
    vec![
        supported("disk", disk),
        supported("graphics", vec![graphics]),
        supported("video", vec![video]),
        hostdev(caps, here),
        supported("rng", rng),
        supported("filesystem", vec![filesystem]),
        tpm(extent, here),
        redirection,
        supported("channel", vec![channel]),
        supported("crypto", crypto),
        supported("interface", vec![backends]),
        unless_empty("panic", panic),
    ]
}

fn unless_empty(name: &'static str, choice: Enum) -> Section {
    Section {
        name,
        choices: Some(choice).filter(|choice| !choice.values.is_empty()).map(|choice| vec![choice]),
    }
}

fn hostdev(caps: &Caps, here: &Here) -> Section {
    const USB_CONTROLLERS: [&str; 8] = [
        "piix3-usb-uhci",
        "piix4-usb-uhci",
        "usb-ehci",
        "ich9-usb-ehci1",
        "vt82c686b-usb-uhci",
        "pci-ohci",
        "nec-usb-xhci",
        "qemu-xhci",
    ];
    let usb = USB_CONTROLLERS.iter().any(|controller| caps.has(controller));
    let vfio = here.vfio && caps.has("vfio-pci");
    let policies = [("default", true), ("mandatory", true), ("requisite", true), ("optional", true)];
    supported(
        "hostdev",
        vec![
            of("mode", &[("subsystem", true)]),
            of("startupPolicy", &policies),
            of("subsysType", &[("usb", usb), ("pci", true), ("scsi", true)]),
            of("capsType", &[]),
            of("pciBackend", &[("default", vfio), ("vfio", vfio)]),
        ],
    )
}

fn tpm(extent: &Extent, here: &Here) -> Section {
    let model = |name: &'static str| (name, extent.tpm_models.contains(name));
    let models = of("model", &[model("tpm-tis"), model("tpm-crb")]);
    if models.values.is_empty() {
        return Section { name: "tpm", choices: None };
    }
    let emulator = here.swtpm.is_some() && extent.tpm_types.contains("emulator");
    let mut choices = vec![
        models,
        of(
            "backendModel",
            &[
                ("passthrough", extent.tpm_types.contains("passthrough")),
                ("emulator", emulator),
                ("external", emulator),
            ],
        ),
    ];
    let versions = here.swtpm.as_deref().unwrap_or_default();
    if !versions.is_empty() {
        let known = |version: TpmVersion| versions.contains(&version);
        choices.push(of("backendVersion", &[("1.2", known(TpmVersion::V1)), ("2.0", known(TpmVersion::V2))]));
    }
    supported("tpm", choices)
}

fn hyperv(names: &BTreeSet<String>) -> Section {
    let known = |name: &&&str| names.contains(**name) || names.contains(&name.replace('_', "-"));
    let values = ENLIGHTENMENTS.iter().filter(known).copied().collect();
    supported("hyperv", vec![Enum { name: "features", values }])
}

fn sev(caps: &Caps, here: &Here) -> Option<Sev> {
    let platform = caps.sev.as_ref().ok()?;
    if here.cannot.contains(&Technology::Sev) || !(caps.has("sev-guest") || caps.has("sev-snp-guest")) {
        return None;
    }
    let mut guests = here.guests;
    if here.cannot.contains(&Technology::SevEs) {
        // Tools take a number as leave to ask for encrypted registers.
        guests.sev_es = 0;
    }
    Some(Sev {
        cbitpos: platform.cbitpos,
        reduced_phys_bits: platform.reduced_phys_bits,
        guests,
        cpu0_id: platform.cpu0_id.clone(),
    })
}

fn launch_security(caps: &Caps, here: &Here) -> Section {
    let can = |object: &str, technology: Technology| {
        caps.sev.is_ok() && caps.has(object) && !here.cannot.contains(&technology)
    };
    let kinds =
        [("sev", can("sev-guest", Technology::Sev)), ("sev-snp", can("sev-snp-guest", Technology::SevSnp))];
    unless_empty("launchSecurity", of("sectype", &kinds))
}
