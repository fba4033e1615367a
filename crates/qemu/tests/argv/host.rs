//! The host on which our own cases are planned, and the cases.

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::{Document, Domain, model::Surroundings as Definition};
use qemu::{
    Caps,
    firmware::Descriptor,
    plan::{InheritedFds, Surroundings},
};

/// Our cases: the seed's examples, and what lies in `test_data`.
pub(crate) fn cases() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(here.join("test_data")).unwrap().map(|entry| entry.unwrap().path());
    let ours = entries.filter(|path| path.extension().is_some_and(|extension| extension == "xml"));
    let seeds = ["q35.xml", "i440fx.xml"].map(|name| here.join("../../examples").join(name));
    let mut files: Vec<PathBuf> = ours.chain(seeds).collect();
    files.sort();
    assert!(files.len() >= 7, "some cases are missing");
    files
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data").join(name)
}

/// An EPYC of the Milan generation with SEV, under QEMU 10.0.2.
pub(crate) fn caps() -> Caps {
    serde_json::from_str(&fs::read_to_string(data("caps.json")).unwrap()).unwrap()
}

/// A domain as it is once defined. What is random is not, here.
pub(crate) fn define(xml: &str, caps: &Caps) -> Domain {
    let document = Document::parse(xml).unwrap();
    let (mut domain, problems) = Domain::read(&document);
    assert!(problems.is_empty(), "{problems:?}");
    let machine = domain.os.machine.as_deref().and_then(|name| caps.machine(name));
    domain
        .complete(&mut Definition {
            machine: machine.map(|machine| machine.name.clone()),
            cpu_model: "qemu64".to_owned(),
            emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
            random: &mut || [0x11; 16],
        })
        .unwrap();
    domain
}

pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        domain_dir: "/run/sevirt/guest".into(),
        nvram_dir: "/var/lib/sevirt/nvram".into(),
        fds: InheritedFds { monitor: 3, ..InheritedFds::default() },
        firmware: vec![secure_boot(), ovmf(), amd_sev()],
        user: "sevirt-qemu".to_owned(),
        path: "/usr/bin:/bin".to_owned(),
        ..Surroundings::default()
    }
}

fn descriptor(mapping: &str, features: &str) -> Descriptor {
    Descriptor::parse(&format!(
        r#"{{"interface-types": ["uefi"], "mapping": {mapping}, "features": [{features}],
            "targets": [{{"architecture": "x86_64", "machines": ["pc-q35-*"]}}]}}"#
    ))
    .unwrap()
}

fn secure_boot() -> Descriptor {
    let mapping = r#"{"device": "flash", "executable": {"filename": "/fw/CODE.secboot.fd", "format": "raw"},
        "nvram-template": {"filename": "/fw/VARS.secboot.fd", "format": "raw"}}"#;
    descriptor(mapping, r#""secure-boot", "enrolled-keys", "requires-smm""#)
}

fn ovmf() -> Descriptor {
    let mapping = r#"{"device": "flash", "executable": {"filename": "/fw/CODE.fd", "format": "raw"},
        "nvram-template": {"filename": "/fw/VARS.fd", "format": "raw"}}"#;
    descriptor(mapping, r#""amd-sev", "amd-sev-es""#)
}

fn amd_sev() -> Descriptor {
    let mapping = r#"{"device": "flash", "mode": "stateless",
        "executable": {"filename": "/fw/AMDSEV.fd", "format": "raw"}}"#;
    descriptor(mapping, r#""amd-sev", "amd-sev-es", "amd-sev-snp""#)
}
