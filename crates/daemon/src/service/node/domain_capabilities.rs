//! `virsh domcapabilities`: which emulator is meant, and libvirt's errors; the document itself is `sevirt caps`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::host::Facts;
use domain::model::DomainKind;
use qemu::domain_caps::{DomainCapsError, Wanted};
use rpc::error::RemoteError;
use rpc::remote::connect::DomainCapabilitiesArgs;

use super::models::ARCHITECTURES;
use super::no_flags;
use crate::domain_caps::{PARTS, Question, QuestionError};
use crate::service::{Failure, Service, blocking, host};
use crate::start::DEFAULT_EMULATOR;

/// `VIR_CONNECT_GET_DOMAIN_CAPABILITIES_DISABLE_DEPRECATED_FEATURES`: no x86 CPU model has any that QEMU names.
const DISABLE_DEPRECATED_FEATURES: u32 = 1;

/// Domain types of libvirt that are other hypervisors' (`virDomainVirtType`).
const OTHER_TYPES: [&str; 13] = [
    "xen",
    "lxc",
    "uml",
    "openvz",
    "test",
    "vmware",
    "hyperv",
    "vbox",
    "phyp",
    "parallels",
    "bhyve",
    "vz",
    "hvf",
];

struct Choice {
    emulator: PathBuf,
    arch: Option<String>,
    machine: Option<String>,
    kind: Option<DomainKind>,
}

pub(in crate::service) async fn domain_capabilities(
    service: &Arc<Service>,
    args: DomainCapabilitiesArgs<'_>,
) -> Result<String, Failure> {
    no_flags(args.flags, DISABLE_DEPRECATED_FEATURES, "qemuConnectGetDomainCapabilities")?;
    let choice = choose(args)?;
    blocking(service, move |service| document(service, &choice)).await
}

fn choose(args: DomainCapabilitiesArgs<'_>) -> Result<Choice, Failure> {
    let arch = args.arch.map(std::borrow::Cow::into_owned);
    if let Some(arch) = arch.as_deref().filter(|arch| !ARCHITECTURES.contains(arch)) {
        return Err(Box::new(RemoteError::invalid_arg(format!("unknown architecture: {arch}"))));
    }
    let emulator = match (args.emulatorbin, arch.as_deref()) {
        (Some(path), _) => PathBuf::from(path.into_owned()),
        (None, arch) => emulator_for(arch.unwrap_or(std::env::consts::ARCH))?,
    };
    let kind = match args.virttype.as_deref() {
        None => None,
        Some("kvm") => Some(DomainKind::Kvm),
        Some("qemu") => Some(DomainKind::Qemu),
        Some(other) if OTHER_TYPES.contains(&other) => return Err(no_type(&emulator, other)),
        Some(other) => return Err(Box::new(RemoteError::invalid_arg(format!("unknown virttype: {other}")))),
    };
    Ok(Choice { emulator, arch, machine: args.machine.map(std::borrow::Cow::into_owned), kind })
}

/// The distribution's QEMU for guests of an architecture.
fn emulator_for(arch: &str) -> Result<PathBuf, Failure> {
    let path = match arch {
        "x86_64" => DEFAULT_EMULATOR.to_owned(),
        "i686" => "/usr/bin/qemu-system-i386".to_owned(),
        other => format!("/usr/bin/qemu-system-{other}"),
    };
    let path = PathBuf::from(path);
    if arch == "x86_64" || path.exists() {
        return Ok(path);
    }
    let words = format!("unable to find any emulator to serve '{arch}' architecture");
    Err(Box::new(RemoteError::config_unsupported(words)))
}

fn no_type(emulator: &Path, kind: &str) -> Failure {
    let emulator = emulator.display();
    Box::new(RemoteError::invalid_arg(format!("Emulator '{emulator}' does not support virt type '{kind}'")))
}

fn document(service: &Service, choice: &Choice) -> Result<String, Failure> {
    let programs = std::env::var_os("PATH");
    let question = Question {
        emulator: &choice.emulator,
        wanted: Wanted {
            machine: choice.machine.as_deref(),
            arch: choice.arch.as_deref(),
            kind: choice.kind,
        },
        cache: None,
        programs: programs.as_deref(),
    };
    let caps = service.host.caps_with(&choice.emulator, question.accelerator(), PARTS)?;
    let facts = Facts::clone(&service.host.facts());
    let answer = question.answer(&caps, facts).map_err(|error| failure(error, &choice.emulator))?;
    let mut text = answer.document.to_string();
    text.shrink_to_fit();
    Ok(text)
}

fn failure(error: QuestionError, emulator: &Path) -> Failure {
    let error = match error {
        QuestionError::Probe(error) => return host::failure(&error),
        QuestionError::Document(error) => error,
    };
    match &error {
        DomainCapsError::NoKvm { .. } => no_type(emulator, "kvm"),
        DomainCapsError::Machine { machine, .. } => Box::new(RemoteError::invalid_arg(format!(
            "the machine '{machine}' is not supported by emulator '{}'",
            emulator.display()
        ))),
        DomainCapsError::Arch { arch, target, .. } => Box::new(RemoteError::invalid_arg(format!(
            "architecture from emulator '{target}' doesn't match given architecture '{arch}'"
        ))),
        DomainCapsError::NotAsked { .. } => Box::new(RemoteError::internal(error.to_string())),
    }
}
