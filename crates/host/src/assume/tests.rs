//! What is assumed is there, and what cannot be assumed is told why.

use expect_test::expect;

use super::presets::HOSTS;
use super::*;
use crate::facts::{Area, Count, Device, PlatformState};

fn assumed(texts: &[&str]) -> Facts {
    let mut facts = Facts::default();
    for text in texts {
        facts.assume(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    facts
}

#[test]
fn paths_reach_what_is_absent_and_what_is_in_lists() {
    let facts = assumed(&[
        "cpu.memory_encryption.cbitpos=51",
        "sev_device.mode=0660",
        "sev_device.uid=0",
        "asids.sev_es.capacity=0x10",
        "kernel_command_line=console=ttyS0,115200 mem_encrypt=on",
        "cpu.kernel_flags=sme+sev",
        "locked_memory.soft=none",
        "emulators.0.path=/usr/bin/qemu-kvm",
        "emulators.0.version=5.2",
        "emulators.0.sev_refusal=SEV is not enabled in KVM",
        "cgroup.version=hybrid",
        "selinux.svirt_may_use_sev=no",
        "kvm=absent",
        "memory=unreadable",
    ]);
    assert_eq!(facts.cpu.memory_encryption.known().unwrap().cbitpos, 51);
    let Device { uid, mode, .. } = facts.sev_device.known().unwrap();
    assert_eq!((*uid, *mode), (0, 0o660));
    assert_eq!(facts.asids.known().unwrap().sev_es, Count { capacity: 16, used: 0 });
    assert_eq!(facts.kernel_command_line.known().unwrap(), "console=ttyS0,115200 mem_encrypt=on");
    assert_eq!(facts.cpu.kernel_flags.known().unwrap(), &["sme", "sev"]);
    let emulator = &facts.emulators[0];
    assert_eq!(emulator.version, Fact::Known("5.2.0".to_owned()));
    assert_eq!(emulator.sev_refusal.as_deref(), Some("SEV is not enabled in KVM"));
    assert_eq!(facts.selinux.known().unwrap().svirt_may_use_sev, Fact::Known(false));
    assert_eq!(facts.kvm, Fact::Absent);
    assert!(matches!(facts.memory, Fact::Unreadable { .. }));
}

#[test]
fn objects_are_taken_whole() {
    let facts = assumed(&[
        r#"platform={"api_major": 1, "api_minor": 55, "build": 21, "state": "working", "externally_owned": true, "es": true, "guests": 2}"#,
        "platform.state=initialised",
        r#"firmware=[{"path": "/d.json", "descriptor": {"interface-types": ["uefi"], "targets": [], "features": ["amd-sev"], "mapping": {"device": "memory", "filename": "/fw.fd"}}, "image": "absent"}]"#,
        r#"firmware.0.image={"size": 4096, "tables": {"Ok": {"sev_es_reset": null, "hash_table": "empty", "secret_area": "absent", "snp_metadata": false}}, "code_bits": 64}"#,
        r#"firmware.0.image.tables.Ok.secret_area={"at": {"base": 8388608, "size": 4096}}"#,
    ]);
    let platform = facts.platform.known().unwrap();
    assert_eq!((platform.state, platform.guests), (PlatformState::Initialised, 2));
    let tables = facts.firmware[0].image.known().unwrap().tables.as_ref().unwrap();
    assert_eq!(tables.secret_area, Area::At { base: 8388608, size: 4096 });
}

#[test]
fn short_names_set_what_they_say() {
    let facts =
        assumed(&["qemu=6.2", "kernel=5.10.0-20-amd64", "guest_kernel=4.19", "libvirt=5.0.0", "cbitpos=47"]);
    assert_eq!(facts.emulators[0].version, Fact::Known("6.2.0".to_owned()));
    assert_eq!(facts.kernel_release, Fact::Known("5.10.0-20-amd64".to_owned()));
    assert_eq!(facts.guest_kernel, Fact::Known("4.19".to_owned()));
    assert_eq!(facts.libvirt.known().unwrap().version, Fact::Known("5.0.0".to_owned()));
    assert_eq!(facts.cpu.memory_encryption.known().unwrap().cbitpos, 47);

    let snp = assumed(&["sev_snp=yes"]);
    let (cpu, module) = (snp.cpu.memory_encryption.known().unwrap(), snp.kvm_amd.known().unwrap());
    assert!(cpu.sev && cpu.sev_es && cpu.sev_snp);
    assert_eq!((module.sev, module.sev_es, module.sev_snp), (Some(true), Some(true), Some(true)));
    let off = assumed(&["host=genoa", "sev_es=no"]);
    assert!(off.cpu.memory_encryption.known().unwrap().sev_es);
    assert_eq!(off.kvm_amd.known().unwrap().sev_es, Some(false));
}

#[test]
fn a_later_assumption_wins_and_all_can_be_said_again() {
    let texts = ["host=naples", "cbitpos=51", "qemu=10.0.2"];
    let mut facts = assumed(&texts);
    assert_eq!(facts.cpu.memory_encryption.known().unwrap().cbitpos, 51);
    assert_eq!(facts.emulators[0].version, Fact::Known("10.0.2".to_owned()));
    let once = facts.clone();
    for text in texts {
        facts.assume(text).unwrap();
    }
    assert_eq!(facts, once);
}

#[test]
fn hosts_are_of_their_generation() {
    for name in HOSTS {
        let facts = assumed(&[&format!("host={name}")]);
        let leaf = facts.cpu.memory_encryption.known().unwrap();
        // The emulated processor is of no generation.
        assert_eq!(facts.cpu.generation(), Some(name).filter(|name| *name != "lab"));
        assert_eq!(leaf.sev_snp, facts.kvm_amd.known().unwrap().sev_snp == Some(true), "{name}");
        assert_eq!(facts.simulated.is_some(), name == "lab");
        assert!(facts.sev_device.known().unwrap().opens_for(facts.qemu_user.known().unwrap()), "{name}");
        let asids = facts.asids.known().unwrap();
        assert_eq!(asids.sev.capacity + asids.sev_es.capacity, u64::from(leaf.asids), "{name}");
    }
    assert_eq!(assumed(&["host=naples"]).cpu.memory_encryption.known().unwrap().cbitpos, 47);
    assert_eq!(assumed(&["host=milan"]).cpu.memory_encryption.known().unwrap().cbitpos, 51);
}

#[test]
fn what_cannot_be_assumed_is_told_why() {
    let wrong = [
        "cbitpos",
        "cbitpos=high",
        "cbitpos=-1",
        "cbitpos=99999999999",
        "cbit=51",
        "cpu.memory_encription.sev=true",
        "kvm_amd.sev-es=1",
        "kernel_relase=6.1",
        "zebra=1",
        "sev_es=perhaps",
        "qemu=newest",
        "libvirt=five",
        "host=bergamo",
        "cpu.generation=milan",
        "emulators.version=5.2.0",
        "emulators.3.version=5.2.0",
        "sev_device.mode=rw-rw----",
        "cgroup.version=v3",
        "kvm={\"uid\": 0}",
        "platform.state=asleep",
        "cpu.family.x=1",
        "=1",
    ];
    let mut told = String::new();
    for text in wrong {
        let mut facts = Facts::default();
        let error = facts.assume(text).expect_err(text);
        assert_eq!(facts, Facts::default(), "{text}");
        told.push_str(&format!("{error}\n"));
    }
    expect![[r#"
        `cbitpos` is not of the form KEY=VALUE
        `high` is no value of `cpu.memory_encryption.cbitpos`: expected a whole number, decimal or 0x…
        `-1` is no value of `cpu.memory_encryption.cbitpos`: expected a whole number, decimal or 0x… (invalid value: integer `-1`, expected u32)
        `99999999999` is no value of `cpu.memory_encryption.cbitpos`: expected a whole number, decimal or 0x… (invalid value: integer `99999999999`, expected u32)
        no fact is called `cbit`; the nearest names are cbitpos, cpu.memory_encryption.cbitpos, boot
        no fact is called `cpu.memory_encription.sev`; the nearest names are cpu.memory_encryption.sev, asids.sev, asids.sev_es
        no fact is called `kvm_amd.sev-es`; the nearest names are kvm_amd.sev_es, asids.sev_es, cpu.memory_encryption.sev_es
        no fact is called `kernel_relase`; the nearest names are kernel_release
        no fact is called `zebra`; docs/facts.md names them all
        `perhaps` is no value of `sev_es`: expected true or false
        `newest` is no value of `qemu`: expected a version, such as 8.2.0
        `five` is no value of `libvirt.version`: expected a version, such as 8.2.0, or absent
        `bergamo` is no value of `host`: expected naples, rome, milan, genoa, turin or lab
        `cpu.generation` follows from other facts; assume those, or host=…
        `emulators.version` is of a list: name the element by its number, such as `emulators.0.version`
        `emulators.3.version` has 0 elements
        `rw-rw----` is no value of `sev_device.mode`: expected permission bits in octal, such as 0660
        `v3` is no value of `cgroup.version`: expected v1 or v2 or hybrid
        `{"uid": 0}` is no value of `kvm`: expected a JSON object (missing field `gid`)
        `asleep` is no value of `platform.state`: expected "uninitialised", "initialised", "working" or {"unknown": N} (unknown variant `asleep`, expected one of `uninitialised`, `initialised`, `working`, `unknown`)
        no fact is called `cpu.family.x`; the nearest names are cpu.family
        no fact is called ``; docs/facts.md names them all
    "#]].assert_eq(&told);
}

#[test]
fn commas_separate_only_what_is_named() {
    assert_eq!(assumptions("qemu=5.2,cbitpos=47"), ["qemu=5.2", "cbitpos=47"]);
    let line = "kernel_command_line=console=ttyS0,115200 mem_encrypt=on";
    assert_eq!(assumptions(&format!("{line},qemu=6")), [line, "qemu=6"]);
    assert_eq!(assumptions(r#"asids={"sev": 1, "sev_es": 2}"#), [r#"asids={"sev": 1, "sev_es": 2}"#]);
    assert_eq!(assumptions(""), [""]);
}
