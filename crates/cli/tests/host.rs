//! `sevirt host check` as a program: its exit codes, its formats, and virt-host-validate beside it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "what is not compared is said")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::{expect, expect_file};

fn rules(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/test_data").join(path)
}

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sevirt")).args(["host", "check"]).args(arguments).output().unwrap()
}

fn check_good_host(arguments: &[&str]) -> (String, Option<i32>) {
    let facts = rules("good-host.json");
    let output = check(&[&["--facts", facts.to_str().unwrap()], arguments].concat());
    assert!(output.stderr.is_empty(), "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn the_exit_code_is_that_of_the_worst_technology() {
    let code = |arguments: &[&str]| check_good_host(arguments).1;
    assert_eq!(code(&[]), Some(0));
    assert_eq!(code(&["--tech", "sev,sev-snp"]), Some(0));
    assert_eq!(code(&["--tech", "sev-es"]), Some(2));
    assert_eq!(code(&["--tech", "sev", "--tech", "sev-es"]), Some(2));
    assert_eq!(code(&["--assume", "kvm_amd.sev=false"]), Some(1));
    assert_eq!(code(&["--assume", "kvm_amd.sev_snp=false", "--tech", "sev-snp,sev-es"]), Some(1));
    assert_eq!(check(&["--facts", "/no/such/file"]).status.code(), Some(2));
}

#[test]
fn people_are_told_the_verdicts_the_reasons_and_what_to_type() {
    let (text, _) =
        check_good_host(&["--assume", "kvm_amd.sev_snp=false,boot.command_line=kvm_amd.sev_snp=1"]);
    expect![[r#"
        AuthenticAMD (milan), Linux 6.12.41+deb13-amd64, QEMU 10.0.2

                  now             after a reboot    first thing to do
        SEV       can             can
        SEV-ES    can             can
        SEV-SNP   cannot          could not tell    sevirt host enable --tech sev-snp --apply

        cannot HOST009 the parameter `sev_snp` of kvm_amd is off, though the default of this kernel turns it on (SEV-SNP, now)
            found kvm_amd.sev_snp = N (/sys/module/kvm_amd/parameters/sev_snp)
            found kernel_release = 6.12.41+deb13-amd64 (/proc/sys/kernel/osrelease)
            help  when it stays off the kernel refuses it: its log says why
            type  sevirt host enable --tech sev-snp --apply
            type  systemctl reboot
            type  dmesg | grep -i -e sev -e ccp -e rmp -e snp

        unclear HOST009 whether the next boot turns it on cannot be told (SEV-SNP, after a reboot)
            found boot.command_line = kvm_amd.sev_snp=1 (/etc/default/grub)
            help  when it stays off the kernel refuses it: its log says why
            type  dmesg | grep -i -e sev -e ccp -e rmp -e snp
    "#]].assert_eq(&text);
}

#[test]
fn the_json_has_its_documented_shape() {
    let (text, _) = check_good_host(&["--format", "json", "--tech", "sev-es"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/host-check.md"))
            .unwrap();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(json, serde_json::from_str::<serde_json::Value>(example).unwrap(), "{text}");
}

/// The lines of virt-host-validate that are about encrypted guests.
fn secure_guest_lines(output: &str) -> String {
    let ours = |line: &&str| line.contains("secure guest support") || line.contains("AMD Secure Encrypted");
    output.lines().filter(ours).map(|line| format!("{line}\n")).collect()
}

/// Where virt-host-validate is not installed there is nothing to compare with; `crates/rules/src/host/libvirt/tests.rs`
/// has every branch as data.
fn validator() -> bool {
    let there = Command::new("virt-host-validate").arg("--version").output().is_ok();
    if !there {
        eprintln!("virt-host-validate is not installed: nothing to compare with");
    }
    there
}

#[test]
fn the_libvirt_format_is_what_virt_host_validate_prints_here() {
    if !validator() {
        return;
    }
    let theirs = Command::new("virt-host-validate").arg("qemu").env("LC_ALL", "C").output().unwrap();
    let theirs = secure_guest_lines(&String::from_utf8(theirs.stdout).unwrap());
    assert!(!theirs.is_empty());
    assert_eq!(String::from_utf8(check(&["--format", "libvirt"]).stdout).unwrap(), theirs);
}

/// Both programs on this machine, with another /proc/cpuinfo, /sys/module and /dev in a mount namespace of their own.
#[track_caller]
fn compare(flags: &str, sev: Option<&str>, device: bool) {
    let directory = tempfile::tempdir().unwrap();
    let sev = match sev {
        Some(value) => {
            format!("mkdir -p mod/kvm_amd/parameters; printf '{value}' > mod/kvm_amd/parameters/sev")
        }
        None => "mkdir mod".to_owned(),
    };
    let device = if device { "mknod dev/sev c 10 254" } else { "true" };
    let script = format!(
        "set -e; cd '{}'; sed 's/^flags\\t*:.*/& {flags}/' /proc/cpuinfo > cpuinfo; {sev}; mkdir dev; \
         mount --bind cpuinfo /proc/cpuinfo; mount --bind mod /sys/module; mount -t tmpfs none dev; \
         mknod -m 666 dev/null c 1 3; {device}; mount --bind dev /dev; \
         '{}' host check --format libvirt || true; echo --; LC_ALL=C virt-host-validate qemu || true",
        directory.path().display(),
        env!("CARGO_BIN_EXE_sevirt"),
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (ours, theirs) = text.split_once("--\n").unwrap_or_else(|| panic!("{output:?}"));
    let theirs = secure_guest_lines(theirs);
    assert!(!theirs.is_empty(), "{output:?}");
    assert_eq!(ours, theirs, "flags {flags:?}");
}

#[test]
fn the_libvirt_format_is_what_virt_host_validate_prints_on_other_hosts() {
    if !validator() {
        return;
    }
    let may =
        Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs none /sys/module"]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("no mount namespaces for this user: other hosts are not compared");
        return;
    }
    compare("", Some("Y\\n"), true);
    compare("svm sme sev", None, true);
    compare("svm sev", Some("N\\n"), true);
    compare("svm sev", Some("0\\n"), false);
    compare("svm sev", Some("Y\\n"), false);
    compare("svm sev", Some("1\\n"), true);
    compare("svm sme sev sev_es sev_snp", Some("Y\\n"), true);
}

/// Verdicts on the hosts of `crates/host/test_data/hosts`, as data and as people see them. A verdict file says of each
/// technology: now, after the next boot, the first rule against it, the first thing to type.
#[test]
fn every_host_gets_its_verdicts() {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/test_data/hosts");
    let mut names: Vec<String> = std::fs::read_dir(&hosts)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        let root = hosts.join(&name);
        let root = root.to_str().unwrap();
        let output = check(&["--root", root, "--format", "json"]);
        let json: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{name}: {output:?}"));
        let mut verdicts = String::from("{\n");
        for (number, judged) in json["technologies"].as_array().unwrap().iter().enumerate() {
            let comma = if number == 0 { "" } else { ",\n" };
            let first = &judged["first"];
            verdicts.push_str(&format!(
                "{comma} {}: {{\"now\": {}, \"next_boot\": {}, \"first\": {}, \"command\": {}}}",
                judged["technology"], judged["now"], judged["next_boot"], first["code"], first["command"]
            ));
        }
        verdicts.push_str("\n}\n");
        expect_file![rules(&format!("hosts/{name}.json"))].assert_eq(&verdicts);
        let text = String::from_utf8(check(&["--root", root]).stdout).unwrap().replace(root, "");
        expect_file![rules(&format!("hosts/{name}.txt"))].assert_eq(&text);
    }
}
