//! The sums of `qemu::memory` against real QEMUs, started paused: the list of memory blocks, what `<locked/>` locks, and
//! what the control group was charged for. What this machine cannot measure is said, and the rest is.
//!
//! Each case runs as it is planned, under emulation and, where the machine has it, under KVM; launch security alone is
//! left out. Firmware need hold nothing for a guest that does not run, so that images of OVMF's sizes stand for it.

#![expect(clippy::print_stdout, reason = "what was measured, and what could not be, is told")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use domain::{
    Domain,
    model::{
        DomainKind,
        cpu::CpuMode,
        disk::{DiskFormat, DiskSource},
        os::{FirmwareFormat, Loader, LoaderKind, Nvram},
    },
};
use qemu::{
    memory::{Sizes, Sums},
    plan::{CpuChoice, Plan},
};
use serde_json::json;

use crate::{
    accepted::{empty, newest_kernel},
    host,
    paused::Paused,
};

/// Sizes of OVMF's images as Debian builds them.
const CODE: u64 = 3_653_632;
const VARIABLES: u64 = 540_672;

const MIB: u64 = 1 << 20;

/// Domains that differ from each other in one thing.
const VARIANTS: &[(&str, &str, u32, &str)] = &[
    // Name, machine, vCPUs, devices.
    ("no devices", "q35", 1, ""),
    ("no devices, i440fx", "pc", 2, ""),
    ("standard VGA, VNC", "q35", 2, "<graphics type='vnc'/><video><model type='vga' vram='65536'/></video>"),
    ("virtio VGA, VNC", "q35", 2, "<graphics type='vnc'/><video><model type='virtio'/></video>"),
    ("Bochs display", "q35", 1, "<graphics type='vnc'/><video><model type='bochs' vram='24576'/></video>"),
    ("Cirrus, i440fx 3.0", "pc-i440fx-3.0", 1, "<graphics type='vnc'/>"),
    ("VMware", "pc", 1, "<graphics type='vnc'/><video><model type='vmvga'/></video>"),
    (
        "two QXL cards, Spice",
        "q35",
        2,
        "<graphics type='spice'><listen type='socket'/></graphics>\
         <video><model type='qxl' ram='131072' vram='32768' vgamem='65536'/></video>\
         <video><model type='qxl' vram64='262144'/></video>",
    ),
    (
        "five network cards",
        "q35",
        2,
        "<interface type='user'><model type='virtio'/></interface>\
         <interface type='user'><model type='e1000'/></interface>\
         <interface type='user'><model type='e1000e'/></interface>\
         <interface type='user'><model type='rtl8139'/></interface>\
         <interface type='user'><model type='virtio'/><rom enabled='no'/></interface>",
    ),
    (
        "three disks",
        "q35",
        2,
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/b'/><target dev='vdb' bus='virtio'/></disk>\
         <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/c'/><target dev='sda' bus='scsi'/></disk>\
         <controller type='scsi' model='virtio-scsi'/>",
    ),
    ("16 vCPUs", "q35", 16, ""),
    ("64 vCPUs", "q35", 64, ""),
];

fn variant(machine: &str, vcpus: u32, memory: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm'><name>variant</name><memory unit='MiB'>1024</memory>{memory}<vcpu>{vcpus}</vcpu>\
         <os><type arch='x86_64' machine='{machine}'>hvm</type>\
         <loader readonly='yes' type='pflash'>/code.fd</loader><nvram>/vars.fd</nvram></os>\
         <features><acpi/></features>\
         <devices><memballoon model='none'/>{devices}</devices></domain>"
    )
}

/// The domains whose sums are held against QEMU.
fn cases() -> Vec<(String, String)> {
    let mut files = host::cases();
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/direct.xml"));
    let mut cases: Vec<(String, String)> = files
        .into_iter()
        .map(|file| {
            let parts: Vec<_> = file.components().rev().take(2).collect();
            let name = format!("{}", parts[0].as_os_str().display());
            (name, fs::read_to_string(&file).unwrap())
        })
        .collect();
    for (name, machine, vcpus, devices) in VARIANTS {
        cases.push((format!("1 GiB: {name}"), variant(machine, *vcpus, "", devices)));
    }
    let with = |memory| variant("q35", 2, memory, "");
    let shared = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
    let room = "<maxMemory slots='4' unit='MiB'>4096</maxMemory>";
    cases.push(("1 GiB: memfd, shared".into(), with(shared)));
    cases.push(("1 GiB: maxMemory".into(), with(room)));
    cases.push(("1 GiB: no ACPI".into(), with("").replace("<features><acpi/></features>", "")));
    cases
}

/// What was measured of a case, in bytes.
struct Measured {
    blocks: u64,
    locked: Option<u64>,
    peak: Option<u64>,
}

#[test]
fn the_sums_hold_for_real_qemus() {
    let mut failures = Vec::new();
    let kvm = starts_with(["-accel", "kvm"]);
    if !kvm {
        println!("memory under KVM not measured: there is no KVM to be had");
    }
    let may_lock = starts_with(["-overcommit", "mem-lock=on"]);
    if !may_lock {
        println!("VmLck not measured: this user may not lock memory");
    }
    // Locking is slow; it is done once for each case.
    let starts = [(DomainKind::Qemu, "TCG", may_lock && !kvm), (DomainKind::Kvm, "KVM", may_lock)];
    println!("| guest | under | pinned | block list | `<locked/>` | VmLck | charge | peak |");
    for (kind, accelerator, locked) in starts.into_iter().take(if kvm { 2 } else { 1 }) {
        for (name, xml) in cases() {
            let directory = tempfile::tempdir().unwrap();
            let plan = plan(&xml, kind, locked, directory.path());
            let sums = plan.memory(&sizes(&plan));
            // Whether one thread more or less reads an image is chance: of six starts one must be within bounds.
            let mut broken: Vec<Vec<String>> = Vec::new();
            while broken.len() < 6 && !broken.iter().any(Vec::is_empty) {
                let measured = measure(&plan, locked, directory.path()).unwrap_or_else(|reason| {
                    panic!("{name}, {accelerator}: {reason}\n{}", plan.to_shell());
                });
                println!("{}", row(&name, accelerator, locked, &sums, &measured));
                broken.push(wrong(&sums, &measured).collect());
            }
            let last = broken.pop().unwrap_or_default();
            failures.extend(last.into_iter().map(|what| format!("{name}, {accelerator}: {what}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is outside its bounds.
fn wrong(sums: &Sums, measured: &Measured) -> impl Iterator<Item = String> {
    let (pinned, space, charge) = (sums.pinned.total(), sums.address_space.total(), sums.charge.total());
    let blocks = pinned.abs_diff(measured.blocks) * 100 > measured.blocks;
    let few = measured.locked.is_some_and(|locked| space < locked);
    let many = measured.locked.is_some_and(|locked| space * 10 > locked * 11);
    let low = measured.peak.is_some_and(|peak| charge < peak);
    [
        blocks.then(|| {
            format!(
                "{pinned} bytes are to be pinned, QEMU's blocks have {}: {:#?}",
                measured.blocks, sums.pinned
            )
        }),
        few.then(|| {
            format!(
                "{space} bytes are less than what is locked, {:?}: {:#?}",
                measured.locked, sums.address_space
            )
        }),
        many.then(|| {
            format!(
                "{space} bytes are far more than what is locked, {:?}: {:#?}",
                measured.locked, sums.address_space
            )
        }),
        low.then(|| {
            format!("{charge} bytes are less than the peak, {:?}: {:#?}", measured.peak, sums.charge)
        }),
    ]
    .into_iter()
    .flatten()
}

/// A row of the table in docs/memory.md, in MiB.
fn row(name: &str, accelerator: &str, locked: bool, sums: &Sums, measured: &Measured) -> String {
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB as f64);
    let measured_mib = |bytes: Option<u64>| bytes.map_or_else(|| "–".to_owned(), mib);
    format!(
        "| {name} | {accelerator}{} | {} | {} | {} | {} | {} | {} |",
        if locked { ", locked" } else { "" },
        mib(sums.pinned.total()),
        mib(measured.blocks),
        if locked { mib(sums.address_space.total()) } else { "–".to_owned() },
        measured_mib(measured.locked),
        mib(sums.charge.total()),
        measured_mib(measured.peak),
    )
}

fn plan(xml: &str, kind: DomainKind, locked: bool, directory: &Path) -> Plan {
    let caps = host::caps();
    let mut domain = host::define(xml, &caps);
    fit_to_this_machine(&mut domain, kind, directory);
    domain.memory_backing.locked = locked;
    let mut here = host::surroundings();
    here.domain_dir = directory.into();
    here.fds.monitor = 0;
    here.host_model = Some(CpuChoice { model: "qemu64".into(), features: Vec::new() });
    here.displays.prefer_unix_sockets = true;
    Plan::new(&domain, &caps, &here).unwrap()
}

fn fit_to_this_machine(domain: &mut Domain, kind: DomainKind, directory: &Path) {
    domain.kind = kind;
    domain.launch_security = None;
    // Not every KVM has what Hyper-V has; none of it takes memory that is counted here.
    domain.features.hyperv = None;
    domain.devices.emulator = Some("qemu-system-x86_64".to_owned());
    if let Some(cpu) = &mut domain.cpu
        && matches!(cpu.mode, Some(CpuMode::HostPassthrough | CpuMode::Maximum))
    {
        // A KVM in a virtual machine may offer more than it takes; the model adds no memory.
        cpu.mode = Some(CpuMode::HostModel);
        cpu.migratable = None;
    }
    if domain.os.firmware.take().is_some() || domain.os.loader.is_some() {
        let chip = |name: &str, size: u64| {
            let path = directory.join(name);
            fs::write(&path, vec![1; size.try_into().unwrap()]).unwrap();
            path.display().to_string()
        };
        let stateless = domain.os.loader.as_ref().and_then(|loader| loader.stateless);
        domain.os.loader = Some(Loader {
            path: Some(chip("code.fd", CODE)),
            kind: Some(LoaderKind::Pflash),
            readonly: Some(domain::model::Switch::On),
            format: Some(FirmwareFormat::Raw),
            stateless,
            secure: None,
        });
        let variables = || Nvram { path: Some(chip("vars.fd", VARIABLES)), ..Nvram::default() };
        domain.os.nvram = stateless.is_none().then(variables);
    }
    if domain.os.kernel.is_some() {
        domain.os.kernel = Some(newest_kernel().display().to_string());
        domain.os.initrd = Some(empty(directory, "initrd", DiskFormat::Raw));
    }
    for disk in &mut domain.devices.disks {
        if let Some(DiskSource::File { path }) = &mut disk.source {
            *path = empty(directory, &disk.target.dev, disk.driver.format.unwrap_or(DiskFormat::Raw));
        }
    }
    for interface in &mut domain.devices.interfaces {
        if let Some(file) = interface.info.rom.as_mut().and_then(|rom| rom.file.as_mut()) {
            *file = empty(directory, "rom", DiskFormat::Raw);
        }
    }
    for channel in &mut domain.devices.channels {
        if let domain::model::chardev::CharKind::Unix { path, .. } = &mut channel.source.kind {
            *path = Some(directory.join("channel.sock").display().to_string());
        }
    }
}

fn sizes(plan: &Plan) -> Sizes {
    let size = |path: &Path| Some((path.to_owned(), fs::metadata(path).ok()?.len()));
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let total: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
    Sizes {
        files: plan.sized_files().filter_map(size).collect(),
        host_cpus: Some(std::thread::available_parallelism().unwrap().get().try_into().unwrap()),
        host_memory: Some(total * 1024),
    }
}

fn measure(plan: &Plan, locked: bool, directory: &Path) -> Result<Measured, String> {
    let group = Group::make();
    let enter =
        group.as_ref().map(|group| format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.path.display()));
    let wrapper = enter.as_ref().map_or_else(Vec::new, |enter| vec!["/bin/sh", "-c", enter.as_str(), "sh"]);
    let mut qemu = Paused::start(plan, directory, &wrapper)?;
    let list = qemu.ask("human-monitor-command", &json!({ "command-line": "info ramblock" }))?;
    let blocks = list.as_str().unwrap().lines().skip(1).map(block_size).sum();
    let status = fs::read_to_string(format!("/proc/{}/status", qemu.id())).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    let kib: u64 = kib.trim().trim_end_matches(" kB").parse().unwrap();
    qemu.quit()?;
    let peak = group.as_ref().map(Group::peak);
    Ok(Measured { blocks, locked: locked.then_some(kib * 1024), peak })
}

/// The largest size of a block, the last number but one of its line before the host's address.
fn block_size(line: &str) -> u64 {
    let numbers: Vec<&str> = line.split_whitespace().filter_map(|word| word.strip_prefix("0x")).collect();
    u64::from_str_radix(numbers[2], 16).unwrap()
}

/// Whether a QEMU with that option starts here.
fn starts_with(option: [&str; 2]) -> bool {
    let mut child = Command::new("qemu-system-x86_64")
        .args(option)
        .args(["-machine", "none", "-display", "none", "-S", "-monitor", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("qemu-system-x86_64: {error}"));
    // One that has refused the option takes nothing.
    let _ = child.stdin.take().unwrap().write_all(b"quit\n");
    child.wait().unwrap().success()
}

/// A control group of the test's own, which counts memory.
struct Group {
    path: PathBuf,
}

impl Group {
    /// `None`, and a line that says so, where none can be made.
    fn make() -> Option<Self> {
        let name = format!("sevirt-test-{}", std::process::id());
        let made = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"].into_iter().find_map(|base| {
            let path = Path::new(base).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self { path };
            group.counter().is_some().then_some(group)
        });
        if made.is_none() {
            println!("memory.peak not measured: no control group that counts memory can be made");
        }
        made
    }

    /// Version 2's file, or version 1's.
    fn counter(&self) -> Option<PathBuf> {
        let files = ["memory.peak", "memory.max_usage_in_bytes"].map(|name| self.path.join(name));
        files.into_iter().find(|path| path.exists())
    }

    fn peak(&self) -> u64 {
        fs::read_to_string(self.counter().unwrap()).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is left of it is empty.
        let _ = fs::remove_dir(&self.path);
    }
}
