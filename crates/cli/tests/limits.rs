//! `sevirt host limits` on a copied tree: the verdict, the ceiling as a change, and the ceiling made.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use expect_test::{Expect, expect};
use serde_json::Value;

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("proc/meminfo", "MemTotal:       16777216 kB\n");
    write("sys/fs/cgroup/misc.capacity", "sev 10\nsev_es 1\n");
    write("sys/fs/cgroup/misc.current", "sev 2\nsev_es 0\n");
    for (name, policy) in [("a", 1), ("b", 5)] {
        write(
            &format!("etc/libvirt/qemu/{name}.xml"),
            &format!(
                "<domain type='kvm'><name>{name}</name><memory unit='GiB'>4</memory>\n\
                 <memtune><hard_limit unit='GiB'>5</hard_limit></memtune>\n\
                 <os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os><features><acpi/></features>\n\
                 <launchSecurity type='sev'><policy>{policy:#x}</policy></launchSecurity></domain>\n"
            ),
        );
    }
    tree
}

fn limits(tree: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .args(["host", "limits", "--root"])
        .arg(tree)
        .args(options)
        .output()
        .unwrap()
}

#[track_caller]
fn check(output: &Output, exit: i32, stdout: &Expect, stderr: &str) {
    assert_eq!(output.status.code(), Some(exit), "{}", String::from_utf8_lossy(&output.stderr));
    stdout.assert_eq(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
}

const DROP_IN: &str = "etc/systemd/system/machine.slice.d/50-sevirt.conf";

#[test]
fn a_ceiling_is_shown_then_made_and_then_good() {
    let tree = tree();
    let first = expect![[r#"
         guest  technology  pins  locks  charged  needs  may take
         a      SEV         4099      –     4215   4215      5120
         b      SEV-ES      4099      –     4215   4215      5120
        (MiB; `needs` is the largest that applies, `may take` its limit)

         all guests
         need              8429 MiB  RAM: 16384 MiB
         may take         10240 MiB  machine.slice: no ceiling
         SEV                1 ASIDs  10 in all, 2 in use
         SEV-ES, SEV-SNP    1 ASIDs  1 in all, 0 in use

        all can run at once
        ceiling for machine.slice: 10240 MiB
        --- a/etc/systemd/system/machine.slice.d/50-sevirt.conf
        +++ b/etc/systemd/system/machine.slice.d/50-sevirt.conf
        @@ -0,0 +1,3 @@
        +# Written by `sevirt host limits --apply`.
        +[Slice]
        +MemoryMax=10737418240
    "#]];
    check(&limits(tree.path(), &[]), 0, &first, "note: nothing was changed; `--apply` does it\n");
    assert!(!tree.path().join(DROP_IN).exists());

    let applied = limits(tree.path(), &["--apply"]);
    assert!(applied.status.success());
    let written = fs::read_to_string(tree.path().join(DROP_IN)).unwrap();
    assert_eq!(written, "# Written by `sevirt host limits --apply`.\n[Slice]\nMemoryMax=10737418240\n");

    let again = limits(tree.path(), &["--apply"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(said, "note: the ceiling is as it has to be; nothing to do\n");
    assert_eq!(fs::read_to_string(tree.path().join(DROP_IN)).unwrap(), written);
}

#[test]
fn guests_that_do_not_fit_are_told_with_the_reason() {
    let tree = tree();
    let file = tree.path().join("etc/libvirt/qemu/b.xml");
    let file = file.to_str().unwrap();
    let output = limits(tree.path(), &["--json", file, file]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["fits"], false);
    let reason = "2 SEV-ES and SEV-SNP guests want an ASID each, the host has 1 for them";
    assert_eq!(json["reasons"], serde_json::json!([reason]));
    let guest = &json["guests"][0];
    assert_eq!((&guest["technology"], &guest["hard_limit"]), (&"sev-es".into(), &5_368_709_120_u64.into()));
    let items = guest["pinned"]["items"].as_array().unwrap();
    let total: u64 = items.iter().map(|item| item["bytes"].as_u64().unwrap()).sum();
    assert_eq!(guest["pinned"]["total"], total);
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let tree = tree();
    fs::write(tree.path().join("etc/libvirt/qemu/c.xml"), "<domain>").unwrap();
    let output = limits(tree.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("c.xml"));
    let missing = limits(tree.path(), &["--domains", "/nonexistent"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn domains_of_sevirt_and_of_libvirt_count_once() {
    let tree = tree();
    let domain = |name: &str, uuid: &str| {
        format!(
            "<domain type='kvm'><name>{name}</name>{uuid}<memory unit='GiB'>1</memory>\n\
                 <os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os></domain>\n"
        )
    };
    let uuid = |digits: &str| format!("<uuid>c7a5fdbd-edaf-9455-926a-d65c16db{digits}</uuid>");
    for (path, text) in [
        ("var/lib/sevirt/domains/imported.xml", domain("imported", &uuid("18AA"))),
        ("var/lib/sevirt/domains/own.xml", domain("own", &uuid("18bb"))),
        ("etc/libvirt/qemu/imported.xml", domain("imported", &uuid("18aa"))),
    ] {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let output = limits(tree.path(), &["--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> =
        answer["guests"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["imported", "own", "a", "b"]);
}

#[test]
fn nothing_is_applied_here_by_the_facts_of_another_host() {
    let output = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .args(["host", "limits", "--facts", "other.json", "--apply"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with '--"), "{output:?}");
}
