//! QEMU itself takes our command lines: each case is started under emulation and paused, and must answer its monitor.
//!
//! What this machine cannot have is replaced in the domain before it is planned: files by empty ones, hardware
//! virtualization by emulation, and launch security is left out. All else must stand as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use domain::{
    Domain,
    model::{
        DomainKind,
        chardev::CharKind,
        cpu::CpuMode,
        disk::{DiskFormat, DiskSource},
        memory::Kib,
        os::{FirmwareFormat, Loader, LoaderKind, Nvram},
    },
};
use qemu::plan::{CpuChoice, Plan};

use crate::{host, paused::Paused};

#[test]
fn qemu_accepts_every_case() {
    let caps = host::caps();
    for file in host::cases() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let mut domain = host::define(&fs::read_to_string(&file).unwrap(), &caps);
        let directory = tempfile::tempdir().unwrap();
        fit_to_this_machine(&mut domain, directory.path());
        let mut here = host::surroundings();
        here.domain_dir = directory.path().into();
        here.fds.monitor = 0;
        here.host_model = Some(CpuChoice { model: "qemu64".into(), features: Vec::new() });
        here.displays.prefer_unix_sockets = true;
        let plan = Plan::new(&domain, &caps, &here).unwrap();
        if let Err(reason) = Paused::start(&plan, directory.path(), &[]).and_then(Paused::quit) {
            panic!("{name}: {reason}\n{}", plan.to_shell());
        }
    }
}

fn fit_to_this_machine(domain: &mut Domain, directory: &Path) {
    domain.kind = DomainKind::Qemu;
    domain.launch_security = None;
    domain.memory = Kib(128 * 1024);
    domain.memory_backing.locked = false;
    domain.devices.emulator = Some("qemu-system-x86_64".to_owned());
    if let Some(cpu) = &mut domain.cpu
        && cpu.mode == Some(CpuMode::HostPassthrough)
    {
        cpu.mode = Some(CpuMode::Maximum);
    }
    if domain.os.firmware.take().is_some() || domain.os.loader.is_some() {
        use_empty_flash(domain, directory);
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
        if let CharKind::Unix { path, .. } = &mut channel.source.kind {
            *path = Some(directory.join("channel.sock").display().to_string());
        }
    }
}

/// Flash need hold nothing for a guest that does not run.
fn use_empty_flash(domain: &mut Domain, directory: &Path) {
    let chip = |name: &str| {
        let path = directory.join(name);
        fs::File::create(&path).unwrap().set_len(1 << 20).unwrap();
        path.display().to_string()
    };
    let stateless = domain.os.loader.as_ref().and_then(|loader| loader.stateless);
    domain.os.loader = Some(Loader {
        path: Some(chip("code.fd")),
        kind: Some(LoaderKind::Pflash),
        readonly: Some(domain::model::Switch::On),
        format: Some(FirmwareFormat::Raw),
        stateless,
        secure: None,
    });
    domain.os.nvram = stateless.is_none().then(|| Nvram { path: Some(chip("vars.fd")), ..Nvram::default() });
}

pub(crate) fn newest_kernel() -> PathBuf {
    let entries = fs::read_dir("/boot").unwrap().map(|entry| entry.unwrap().path());
    let kernels = entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("vmlinuz-"));
    kernels.max().unwrap_or_else(|| panic!("no kernel of the distribution in /boot"))
}

pub(crate) fn empty(directory: &Path, name: &str, format: DiskFormat) -> String {
    let path = directory.join(name);
    let status = Command::new("qemu-img")
        .args(["create", "-q", "-f", &format.to_string()])
        .arg(&path)
        .arg("1M")
        .status()
        .unwrap_or_else(|error| panic!("qemu-img: {error}"));
    assert!(status.success());
    path.display().to_string()
}
