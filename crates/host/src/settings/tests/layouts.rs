//! The distributions' layouts.

use expect_test::{Expect, expect};

use super::*;

const DEBIAN: &[(&str, &str)] = &[
    (
        "/etc/default/grub",
        "# If you change this file, run 'update-grub' afterwards\nGRUB_DEFAULT=0\nGRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n",
    ),
    (
        "/boot/grub/grub.cfg",
        "### BEGIN /etc/grub.d/10_linux ###\nmenuentry 'Debian GNU/Linux' {\n\tlinux\t/vmlinuz root=UUID=1 ro  quiet\n}\n",
    ),
    ("/usr/sbin/update-grub", "#!/bin/sh\n"),
    ("/usr/sbin/grub-mkconfig", "#!/bin/sh\nfor x in ${sysconfdir}/default/grub.d/*.cfg ; do :; done\n"),
    ("/etc/modprobe.d/kvm.conf", "options kvm_amd nested=1\n"),
];

const SUSE: &[(&str, &str)] = &[
    (
        "/etc/default/grub",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"splash=silent mitigations=auto\"\nGRUB_CMDLINE_LINUX=\"\"\n",
    ),
    (
        "/boot/grub2/grub.cfg",
        "### BEGIN /etc/grub.d/10_linux ###\nmenuentry 'SLES' {\n\tlinux /boot/vmlinuz root=UUID=1 splash=silent\n}\n",
    ),
    ("/usr/sbin/grub2-mkconfig", "#!/bin/sh\n"),
];

const FEDORA: &[(&str, &str)] = &[
    ("/etc/default/grub", "GRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX=\"rhgb quiet\"\nGRUB_ENABLE_BLSCFG=true\n"),
    ("/boot/grub2/grub.cfg", "### BEGIN /etc/grub.d/10_linux ###\nblscfg\n"),
    (
        "/boot/loader/entries/m-6.10.3-200.fc40.x86_64.conf",
        "title Fedora (6.10.3)\nversion 6.10.3\nlinux /vmlinuz-6.10.3\noptions root=UUID=1 ro rhgb quiet\n",
    ),
    (
        "/boot/loader/entries/m-6.9.1-200.fc40.x86_64.conf",
        "title Fedora (6.9.1)\nversion 6.9.1\nlinux /vmlinuz-6.9.1\noptions root=UUID=1 ro kvm_amd.sev=0 \"x=a b\"\n",
    ),
    ("/etc/kernel/cmdline", "root=UUID=1 ro rhgb quiet\n"),
];

fn rhel8() -> Vec<(&'static str, String)> {
    let block = "# GRUB Environment Block\nsaved_entry=m-4.18.0-553.el8.x86_64\nkernelopts=root=/dev/mapper/r ro crashkernel=auto \n";
    vec![
        (
            "/etc/default/grub",
            "GRUB_CMDLINE_LINUX=\"crashkernel=auto\"\nGRUB_ENABLE_BLSCFG=true\n".to_owned(),
        ),
        ("/boot/grub2/grubenv", format!("{block:#<1024}")),
        (
            "/boot/loader/entries/m-4.18.0-553.el8.x86_64.conf",
            "title R\noptions $kernelopts $tuned_params\n".to_owned(),
        ),
        ("/boot/loader/entries/m-0-rescue.conf", "title R rescue\noptions $kernelopts\n".to_owned()),
    ]
}

/// What enabling changes, file by file; taking it back leaves the tree as it was.
#[track_caller]
fn check(tree: &Tree, technology: Technology, expected: &Expect) {
    let before = tree.snapshot();
    let plan = tree.enable(technology);
    let mut shown = String::new();
    for change in &plan.changes {
        let text = |content: &Option<Vec<u8>>| {
            String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned()
        };
        let (old, new) = (text(&change.before), text(&change.after));
        let new_lines = new.lines().filter(|line| !old.lines().any(|other| other == *line));
        // Not the padding of an environment block.
        let lines: Vec<&str> = new_lines.filter(|line| !line.starts_with("##")).collect();
        shown += &format!("{}: {}\n", change.path.display(), lines.join(" | "));
    }
    for regeneration in &plan.regenerations {
        shown += &format!("then {}\n", regeneration.shown().unwrap_or_else(|| "nothing".to_owned()));
    }
    expected.assert_eq(&shown);
    let again = enable(&tree.root(), technology).unwrap();
    assert!(again.changes.is_empty(), "enabling twice changes {:?}", changed(&again));
    let enabled = tree.snapshot();
    again.apply(&tree.root(), Direction::Enable).unwrap();
    assert_eq!(enabled, tree.snapshot());
    tree.disable();
    assert_eq!(before, tree.snapshot());
    let nothing = disable(&tree.root()).unwrap();
    assert!(nothing.is_empty(Direction::Disable));
}

#[test]
fn debian() {
    check(
        &Tree::new(DEBIAN),
        Technology::Sev,
        &expect![[r#"
            /etc/default/grub: GRUB_CMDLINE_LINUX="mem_encrypt=on kvm_amd.sev=1"
            /etc/modprobe.d/sevirt.conf: # Written by `sevirt host enable`; `sevirt host disable` takes it away. | options kvm_amd sev=1
            then /usr/sbin/update-grub
        "#]],
    );
}

#[test]
fn suse() {
    check(
        &Tree::new(SUSE),
        Technology::SevEs,
        &expect![[r#"
            /etc/default/grub: GRUB_CMDLINE_LINUX="mem_encrypt=on kvm_amd.sev=1 kvm_amd.sev_es=1"
            /etc/modprobe.d/sevirt.conf: # Written by `sevirt host enable`; `sevirt host disable` takes it away. | options kvm_amd sev=1 sev_es=1
            then /usr/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg
        "#]],
    );
}

#[test]
fn fedora() {
    check(
        &Tree::new(FEDORA),
        Technology::SevSnp,
        &expect![[r#"
            /boot/loader/entries/m-6.10.3-200.fc40.x86_64.conf: options root=UUID=1 ro rhgb quiet mem_encrypt=on kvm_amd.sev=1 kvm_amd.sev_es=1 kvm_amd.sev_snp=1
            /boot/loader/entries/m-6.9.1-200.fc40.x86_64.conf: options root=UUID=1 ro kvm_amd.sev=1 "x=a b" mem_encrypt=on kvm_amd.sev_es=1 kvm_amd.sev_snp=1
            /etc/default/grub: GRUB_CMDLINE_LINUX="rhgb quiet mem_encrypt=on kvm_amd.sev=1 kvm_amd.sev_es=1 kvm_amd.sev_snp=1"
            /etc/kernel/cmdline: root=UUID=1 ro rhgb quiet mem_encrypt=on kvm_amd.sev=1 kvm_amd.sev_es=1 kvm_amd.sev_snp=1
            /etc/modprobe.d/sevirt.conf: # Written by `sevirt host enable`; `sevirt host disable` takes it away. | options kvm_amd sev=1 sev_es=1 sev_snp=1
        "#]],
    );
}

#[test]
fn rhel_8_keeps_the_words_in_grubs_environment() {
    let files = rhel8();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let tree = Tree::new(&files);
    check(
        &tree,
        Technology::Sev,
        &expect![[r#"
            /boot/grub2/grubenv: kernelopts=root=/dev/mapper/r ro crashkernel=auto  mem_encrypt=on kvm_amd.sev=1
            /etc/default/grub: GRUB_CMDLINE_LINUX="crashkernel=auto mem_encrypt=on kvm_amd.sev=1"
            /etc/modprobe.d/sevirt.conf: # Written by `sevirt host enable`; `sevirt host disable` takes it away. | options kvm_amd sev=1
        "#]],
    );
    tree.enable(Technology::Sev);
    assert_eq!(tree.text("/boot/grub2/grubenv").len(), 1024);
    // GRUB itself writes to the block at every boot.
    tree.put("/boot/grub2/grubenv", &tree.text("/boot/grub2/grubenv").replace("\n#", "\nboot_success=1\n#"));
    tree.disable();
    let block = tree.text("/boot/grub2/grubenv");
    assert!(
        block.contains("kernelopts=root=/dev/mapper/r ro crashkernel=auto \nboot_success=1\n#"),
        "{block}"
    );
}

#[test]
fn what_is_off_is_changed_and_not_doubled() {
    let tree = Tree::new(&[
        (
            "/etc/default/grub",
            "OFF='kvm-amd.sev=0'\nGRUB_CMDLINE_LINUX=\"mem_encrypt=off iommu=pt quiet $OFF\"\n",
        ),
        ("/boot/grub/x", ""),
        ("/etc/modprobe.d/a.conf", "options kvm-amd sev=0 nested=1\n"),
        ("/usr/lib/modprobe.d/zz.conf", "options kvm_amd sev_es=0\n"),
    ]);
    check(
        &tree,
        Technology::SevSnp,
        &expect![[r#"
            /etc/default/grub: OFF='kvm-amd.sev=1' | GRUB_CMDLINE_LINUX="mem_encrypt=on iommu=nopt quiet $OFF kvm_amd.sev_es=1 kvm_amd.sev_snp=1"
            /etc/modprobe.d/a.conf: options kvm-amd sev=1 nested=1
            /etc/modprobe.d/zz_sevirt.conf: # Written by `sevirt host enable`; `sevirt host disable` takes it away. | options kvm_amd sev_es=1 sev_snp=1
            then nothing
        "#]],
    );
}

#[test]
fn a_later_file_of_defaults_is_reckoned_with() {
    let tree = Tree::new(DEBIAN);
    tree.put(
        "/etc/default/grub.d/50-cloudimg.cfg",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"console=tty1 kvm_amd.sev=0\"\n",
    );
    tree.put("/etc/default/grub.d/60-more.cfg", "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n");
    check(
        &tree,
        Technology::Sev,
        &expect![[r#"
            /etc/default/grub.d/50-cloudimg.cfg: GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 kvm_amd.sev=1"
            /etc/default/grub.d/60-more.cfg: GRUB_CMDLINE_LINUX="console=ttyS0 mem_encrypt=on"
            /etc/modprobe.d/sevirt.conf: # Written by `sevirt host enable`; `sevirt host disable` takes it away. | options kvm_amd sev=1
            then /usr/sbin/update-grub
        "#]],
    );
}

#[test]
fn what_can_not_be_told_is_refused_by_its_line() {
    let tree = Tree::new(&[(
        "/etc/default/grub",
        "GRUB_CMDLINE_LINUX=quiet\nif [ -e /x ]; then\n  GRUB_CMDLINE_LINUX=a\nfi\n",
    )]);
    let error = enable(&tree.root(), Technology::Sev).unwrap_err();
    assert!(
        error.to_string().starts_with("`/etc/default/grub`, line 3: it is set here under a condition"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_edited_since_loses_only_what_was_written() {
    let tree = Tree::new(DEBIAN);
    tree.enable(Technology::Sev);
    let edited = tree.text("/etc/default/grub").replace("kvm_amd.sev=1", "kvm_amd.sev=1 nosmt");
    tree.put("/etc/default/grub", &format!("{edited}# mine\n"));
    tree.put(
        "/etc/modprobe.d/sevirt.conf",
        &format!("{}options kvm_amd nested=0\n", tree.text("/etc/modprobe.d/sevirt.conf")),
    );
    // Enabling more on top of that changes nothing in what is somebody else's.
    tree.enable(Technology::SevEs);
    tree.disable();
    assert!(tree.text("/etc/default/grub").ends_with("GRUB_CMDLINE_LINUX=\"nosmt\"\n# mine\n"));
    assert_eq!(tree.text("/etc/modprobe.d/sevirt.conf"), "options kvm_amd nested=0\n");
}

#[test]
fn links_and_modes_stay() {
    let tree = Tree::new(&[("/etc/real", "GRUB_CMDLINE_LINUX=quiet\n")]);
    fs::create_dir_all(tree.root().path("/etc/default")).unwrap();
    std::os::unix::fs::symlink("/etc/real", tree.root().path("/etc/default/grub")).unwrap();
    fs::set_permissions(tree.root().path("/etc/real"), fs::Permissions::from_mode(0o640)).unwrap();
    // The reader of facts follows links as the system does; this one stays below the root.
    let before = tree.snapshot();
    let mut draft = Draft::new(&Root::at("/".into())).changes();
    assert!(draft.pop().is_none());
    let root = tree.root();
    let disk = Disk::default();
    let place = place::resolve(&root, Path::new("/etc/default/grub")).unwrap();
    assert_eq!(place, root.path("/etc/real"));
    disk.put(&place, b"new", 0o600).unwrap();
    assert_eq!(fs::metadata(&place).unwrap().mode() & 0o7777, 0o640);
    disk.put(&place, b"GRUB_CMDLINE_LINUX=quiet\n", 0o600).unwrap();
    assert_eq!(before, tree.snapshot());
}

#[test]
fn extended_attributes_stay() {
    let tree = Tree::new(&[("/f", "old")]);
    let place = tree.root().path("/f");
    match rustix::fs::setxattr(&place, "user.sevirt", b"kept", rustix::fs::XattrFlags::empty()) {
        Ok(()) => {
            Disk::default().put(&place, b"new", 0o600).unwrap();
            let mut value = [0; 16];
            let length = rustix::fs::getxattr(&place, "user.sevirt", &mut value).unwrap();
            assert_eq!(&value[..length], b"kept");
        }
        Err(error) => assert_eq!(error, rustix::io::Errno::OPNOTSUPP, "this file system has none"),
    }
}
