//! `sevirt host enable` and `disable` as an administrator meets them, on a copy of a system's files.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("etc/default/grub", "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"kvm_amd.sev=0\" # ours\n");
    put("boot/grub/grub.cfg", "### BEGIN /etc/grub.d/10_linux ###\n");
    put("usr/sbin/update-grub", "#!/bin/sh\nexit 1\n");
    put("proc/cmdline", "root=/dev/sda1 kvm_amd.sev=0\n");
    tree
}

#[track_caller]
fn check(tree: &Path, arguments: &[&str], expected: &Expect) {
    let output = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .arg("host")
        .args(arguments)
        .args(["--root", tree.to_str().unwrap()])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    expected.assert_eq(&format!(
        "{}{}exit {}\n",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap()
    ));
}

#[test]
fn a_diff_is_shown_and_written_and_taken_back() {
    let tree = tree();
    let before = fs::read(tree.path().join("etc/default/grub")).unwrap();
    check(
        tree.path(),
        &["enable"],
        &expect![[r#"
        --- a/etc/default/grub
        +++ b/etc/default/grub
        @@ -1,2 +1,2 @@
         GRUB_DEFAULT=0
        -GRUB_CMDLINE_LINUX="kvm_amd.sev=0" # ours
        +GRUB_CMDLINE_LINUX="kvm_amd.sev=1 mem_encrypt=on" # ours
        --- a/etc/modprobe.d/sevirt.conf
        +++ b/etc/modprobe.d/sevirt.conf
        @@ -0,0 +1,2 @@
        +# Written by `sevirt host enable`; `sevirt host disable` takes it away.
        +options kvm_amd sev=1
        note: `/boot/grub/grub.cfg` has to be made anew by `/usr/sbin/update-grub` on that system; no program is run here
        note: nothing was changed; `--apply` does it
        note: a reboot is needed for mem_encrypt=on
        note: a reboot is needed for kvm_amd.sev=1: the running kernel's command line says otherwise
        exit 0
    "#]],
    );
    assert_eq!(fs::read(tree.path().join("etc/default/grub")).unwrap(), before);
    check(
        tree.path(),
        &["enable", "--tech", "sev-es", "--apply"],
        &expect![[r#"
        --- a/etc/default/grub
        +++ b/etc/default/grub
        @@ -1,2 +1,2 @@
         GRUB_DEFAULT=0
        -GRUB_CMDLINE_LINUX="kvm_amd.sev=0" # ours
        +GRUB_CMDLINE_LINUX="kvm_amd.sev=1 mem_encrypt=on kvm_amd.sev_es=1" # ours
        --- a/etc/modprobe.d/sevirt.conf
        +++ b/etc/modprobe.d/sevirt.conf
        @@ -0,0 +1,2 @@
        +# Written by `sevirt host enable`; `sevirt host disable` takes it away.
        +options kvm_amd sev=1 sev_es=1
        note: `/boot/grub/grub.cfg` has to be made anew by `/usr/sbin/update-grub` on that system; no program is run here
        note: a reboot is needed for mem_encrypt=on
        note: a reboot is needed for kvm_amd.sev=1, kvm_amd.sev_es=1: the running kernel's command line says otherwise
        exit 0
    "#]],
    );
    check(
        tree.path(),
        &["enable", "--tech", "sev-es", "--apply"],
        &expect![[r#"
        note: everything is as it has to be; nothing to do
        note: a reboot is needed for mem_encrypt=on
        note: a reboot is needed for kvm_amd.sev=1, kvm_amd.sev_es=1: the running kernel's command line says otherwise
        exit 0
    "#]],
    );
    check(
        tree.path(),
        &["disable", "--apply"],
        &expect![[r#"
        --- a/etc/default/grub
        +++ b/etc/default/grub
        @@ -1,2 +1,2 @@
         GRUB_DEFAULT=0
        -GRUB_CMDLINE_LINUX="kvm_amd.sev=1 mem_encrypt=on kvm_amd.sev_es=1" # ours
        +GRUB_CMDLINE_LINUX="kvm_amd.sev=0" # ours
        --- a/etc/modprobe.d/sevirt.conf
        +++ b/etc/modprobe.d/sevirt.conf
        @@ -1,2 +0,0 @@
        -# Written by `sevirt host enable`; `sevirt host disable` takes it away.
        -options kvm_amd sev=1 sev_es=1
        note: `/boot/grub/grub.cfg` has to be made anew by `/usr/sbin/update-grub` on that system; no program is run here
        note: a reboot is needed before it is so
        exit 0
    "#]],
    );
    assert_eq!(fs::read(tree.path().join("etc/default/grub")).unwrap(), before);
    assert!(!tree.path().join("etc/modprobe.d").exists());
    check(
        tree.path(),
        &["disable"],
        &expect![[r#"
        note: `sevirt host enable` has written nothing here; nothing to do
        exit 0
    "#]],
    );
}

#[test]
fn what_can_not_be_told_is_an_error() {
    let tree = tree();
    fs::write(tree.path().join("etc/default/grub"), "GRUB_CMDLINE_LINUX=\"$(cat /etc/words)\"\n").unwrap();
    check(
        tree.path(),
        &["enable"],
        &expect![[r#"
        error: `/etc/default/grub`, line 1: a part of it can not be told without running it; add the words to the kernel's command line by hand
        exit 2
    "#]],
    );
    fs::write(tree.path().join("etc/default/grub"), "GRUB_CMDLINE_LINUX=\"quiet\n").unwrap();
    check(
        tree.path(),
        &["enable"],
        &expect![[r#"
        error: read the shell's assignments: `/etc/default/grub` is not a shell script that can be sourced: line 1: a double quote is not closed
        exit 2
    "#]],
    );
}

/// All files below a directory, with what is in them.
fn files(directory: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_described_host_is_changed_below_its_tree_and_back() {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/test_data/hosts");
    for name in ["fedora-naples-good", "sev-off-in-kernel", "mem-encrypt-missing", "lost-at-next-boot"] {
        let copy = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-R").arg(hosts.join(name).join(".")).arg(copy.path()).status();
        assert!(copied.unwrap().success());
        let run = |action: &str| {
            let output = Command::new(env!("CARGO_BIN_EXE_sevirt"))
                .args(["host", action, "--apply", "--root"])
                .arg(copy.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {output:?}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let before = files(copy.path());
        let told = run("enable");
        assert!(!told.contains("no boot loader's configuration was found"), "{name}: {told}");
        let after = files(copy.path());
        for path in after.keys().filter(|path| after.get(*path) != before.get(*path)) {
            assert!(path.starts_with(copy.path().join("root")), "{name}: {}", path.display());
        }
        run("disable");
        assert_eq!(files(copy.path()), before, "{name}");
    }
}

#[test]
fn a_tree_that_is_not_there_is_not_made() {
    let place = tempfile::tempdir().unwrap();
    let gone = place.path().join("gone");
    for action in [&["enable"][..], &["enable", "--apply"], &["disable"], &["limits", "--apply"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_sevirt"))
            .arg("host")
            .args(action)
            .arg("--root")
            .arg(&gone)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("gone`: No such file"), "{output:?}");
        assert!(!gone.exists());
    }
}
