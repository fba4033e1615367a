//! `sevirt host facts`, and `--root`, `--facts` and `--assume` of all commands, as a user meets them.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use expect_test::expect;
use serde_json::Value;

const HOSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/test_data/hosts");
const Q35: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/q35.xml");

fn sevirt(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sevirt")).args(arguments).output().unwrap()
}

/// Standard output of a command that succeeds.
fn told(arguments: &[&str]) -> String {
    let output = sevirt(arguments);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn host(name: &str) -> String {
    format!("{HOSTS}/{name}")
}

#[test]
fn the_json_is_what_is_recorded_and_is_taken_back() {
    for entry in fs::read_dir(HOSTS).unwrap() {
        let directory = entry.unwrap().path();
        let recorded = directory.join("facts.json");
        let text = fs::read_to_string(&recorded).unwrap();
        assert_eq!(told(&["host", "facts", "--json", "--root", directory.to_str().unwrap()]), text);
        assert_eq!(told(&["host", "facts", "--json", "--facts", recorded.to_str().unwrap()]), text);
    }
}

#[test]
fn people_read_a_table() {
    let shown = told(&["host", "facts", "--root", &host("libvirt-5.0-dev-sev-root-only")]);
    expect![[r#"
        Processor
          vendor                       AuthenticAMD
          family, model, stepping      0x17, 0x1, 2 (EPYC naples)
          microcode                    0x8001250
          flags of the kernel          sme sev
          CPUID 0x8000001f             SME SEV SEV-ES; C-bit 47, 5 physical bits less
          ASIDs                        15, those of SEV from 5

        Kernel
          release                      4.19.0-6-amd64
          command line                 BOOT_IMAGE=/boot/vmlinuz-4.19.0-6-amd64 root=UUID=0d1e2f3a-2222-4333-8444-555566667777 ro quiet mem_encrypt=on kvm_amd.sev=1
          kvm_amd                      sev=Y, no sev_es, no sev_snp
          IOMMUs                       ivhd0
          boot loader                  GRUB: /etc/default/grub makes /boot/grub/grub.cfg
          next boot's command line     root=UUID=0d1e2f3a-2222-4333-8444-555566667777 ro quiet mem_encrypt=on kvm_amd.sev=1

        Secure processor
          /dev/sev                     0600, user 0, group 0
          firmware                     API 0.17, build 22; initialised, self-owned, 0 guests
          initialised for SEV-ES       no
          SEV-SNP                      absent

        Resources
          memory                       62.8 GiB
          locked memory                soft 64 MiB, hard 64 MiB
          encrypted guests             absent
          control groups               version 1 with a tree of version 2
          machine.slice                MemoryHigh no limit, MemoryMax 48 GiB; not running

        Access
          /dev/kvm                     0660, user 0, group 104
          user of QEMU                 libvirt-qemu (64055), groups 104 64055
          SELinux                      absent
          AppArmor                     runs; libvirt's profiles name /dev/sev: yes

        Software
          /usr/bin/qemu-system-x86_64  3.1.0, 2 machine types, objects sev-guest; SEV can be used
          libvirt                      5.0.0
          its remembered answers       /usr/bin/qemu-system-x86_64: older than kernel boot, /dev/kvm, /dev/sev

        Firmware
          descriptor                   /usr/share/qemu/firmware/60-edk2-x86_64.json
            says                       acpi-s3 amd-sev verbose-dynamic
            image                      /usr/share/OVMF/OVMF_CODE.fd
            has                        8 KiB, code of 64 bits; the image does not end in a table of GUIDed entries, so it is no whole OVMF code image
    "#]].assert_eq(&shown);
    let hidden = told(&["host", "facts", "--root", &host("sys-unreadable")]);
    assert!(hidden.contains(
        "kvm_amd                      unreadable: /sys/module/kvm_amd/parameters: Permission denied"
    ));
}

#[test]
fn assumptions_come_last_and_may_be_many() {
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&told(&[&["host", "facts", "--json"], arguments].concat())).unwrap()
    };
    let naples = host("fedora-naples-good");
    let facts =
        json(&["--root", &naples, "--assume", "qemu=10.0.2,cbitpos=51", "--assume", "kvm_amd.sev=no"]);
    assert_eq!(facts["emulators"][0]["version"]["known"], "10.0.2");
    assert_eq!(facts["cpu"]["memory_encryption"]["known"]["cbitpos"], 51);
    assert_eq!(facts["kvm_amd"]["known"]["sev"], false);
    let recorded = format!("{naples}/facts.json");
    let facts = json(&["--facts", &recorded, "--assume", "host=genoa", "--assume", "sev_snp=off"]);
    assert_eq!(facts["cpu"]["generation"], "genoa");
    assert_eq!(facts["kvm_amd"]["known"]["sev_snp"], false);
    // What was not assumed stays.
    assert_eq!(facts["libvirt"]["known"]["version"]["known"], "9.7.0");
}

#[test]
fn a_domain_is_judged_on_the_host_that_is_assumed() {
    let lint = |arguments: &[&str]| -> Vec<String> {
        let output = sevirt(&[&["lint", "--format", "json", Q35], arguments].concat());
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        findings
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    };
    // The example's C-bit is that of a first EPYC, and its firmware Fedora's.
    let naples = host("fedora-naples-good");
    let codes = lint(&["--root", &naples]);
    assert!(!codes.iter().any(|code| code == "SEV004" || code == "FW003"), "{codes:?}");
    let elsewhere = lint(&["--root", &naples, "--assume", "host=milan"]);
    assert!(elsewhere.iter().any(|code| code == "SEV004"), "{elsewhere:?}");
    let off = lint(&["--root", &naples, "--assume", "kvm_amd.sev=off"]);
    assert!(off.len() > codes.len(), "{off:?}");
}

#[test]
fn what_cannot_be_understood_is_told_and_exits_with_2() {
    let fails = |arguments: &[&str]| {
        let output = sevirt(&[&["host", "facts"], arguments].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let naples = host("fedora-naples-good");
    expect![[r#"
        error: `high` is no value of `cpu.memory_encryption.cbitpos`: expected a whole number, decimal or 0x…
    "#]]
    .assert_eq(&fails(&["--root", &naples, "--assume", "cbitpos=high"]));
    expect![[r#"
        error: no fact is called `kernel_relase`; the nearest names are kernel_release
    "#]]
    .assert_eq(&fails(&["--root", &naples, "--assume", "kernel_relase=6.1"]));
    expect![[r#"
        error: read `/nowhere`: No such file or directory (os error 2)
    "#]]
    .assert_eq(&fails(&["--root", "/nowhere"]));
    fails(&["--root", &naples, "--facts", "host.json"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host.toml");
    fs::write(&path, "[path.\"/dev/sev\"]\nmode = 0o6").unwrap();
    fs::write(directory.path().join("facts.json"), "{\"memory\": 5}").unwrap();
    assert!(directory.path().join("root").symlink_metadata().is_err());
    told(&["host", "facts", "--root", directory.path().to_str().unwrap()]);
    fs::write(&path, "[path.\"/dev/sev\"]\nmode = ").unwrap();
    let wrong = fails(&["--root", directory.path().to_str().unwrap()]);
    assert!(wrong.contains("host.toml") && wrong.contains("line 2"), "{wrong}");
    let wrong = fails(&["--facts", directory.path().join("facts.json").to_str().unwrap()]);
    assert!(wrong.contains("understand facts file"), "{wrong}");
}

/// This machine has some of everything, and nothing of it may stop the command.
#[test]
fn this_machine_can_be_looked_at() {
    let facts: Value = serde_json::from_str(&told(&["host", "facts", "--json"])).unwrap();
    assert_eq!(
        facts["kernel_release"]["known"].as_str(),
        Some(fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim())
    );
    assert!(facts["memory"]["known"].as_u64().unwrap() > 0);
    for emulator in facts["emulators"].as_array().unwrap() {
        assert!(Path::new(emulator["path"].as_str().unwrap()).exists());
    }
    assert!(told(&["host", "facts"]).contains("Secure processor"));
}
