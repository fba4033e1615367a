//! Files of a host that were made to do harm, or are damaged: what cannot be read is unreadable, and nothing panics,
//! hangs or takes memory without bound.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use expect_test::expect;
use host::{AclEntry, AclTag, Fact, Facts, Root};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What is looked at, of each kind.
const FILES: [&str; 28] = [
    "proc/cpuinfo",
    "proc/cmdline",
    "proc/sys/kernel/osrelease",
    "proc/meminfo",
    "proc/stat",
    "sys/module/kvm_amd/parameters/sev",
    "sys/module/apparmor/parameters/enabled",
    "sys/fs/cgroup/misc.capacity",
    "sys/fs/cgroup/machine.slice/memory.max",
    "sys/fs/selinux/enforce",
    "sys/class/iommu/ivhd0",
    "etc/apparmor.d/abstractions/libvirt-qemu",
    "etc/passwd",
    "etc/group",
    "etc/systemd/system/machine.slice.d/50.conf",
    "etc/default/grub",
    "etc/modprobe.d/kvm.conf",
    "boot/grub2/grub.cfg",
    "boot/grub2/grubenv",
    "boot/loader/entries/a.conf",
    "usr/share/qemu/firmware/50.json",
    "usr/sbin/libvirtd",
    "usr/lib64/libvirt.so.0",
    "usr/bin/qemu-system-x86_64",
    "var/cache/libvirt/qemu/capabilities/a.xml",
    "run/sevirt/simulated",
    "dev/kvm",
    "dev/sev",
];

#[derive(Debug, Clone)]
enum Content {
    Bytes(Vec<u8>),
    /// More than any such file has.
    Huge,
    Directory,
    LinkToItself,
    Link(String),
    /// Opening one for reading waits for a writer.
    Pipe,
}

impl Content {
    /// Makes what is not there yet, and writes through no link: some of them lead out of the tree.
    fn put(&self, tree: &Path, path: &str) {
        let path = tree.join(path);
        let directory = path.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        assert_eq!(
            fs::canonicalize(directory).unwrap(),
            fs::canonicalize(tree).unwrap().join(directory.strip_prefix(tree).unwrap())
        );
        let write = |bytes: &[u8]| {
            // Exclusive: a link that stands there is not followed.
            if let Ok(mut file) = fs::OpenOptions::new().write(true).create_new(true).open(&path) {
                file.write_all(bytes).unwrap();
            }
        };
        match self {
            Self::Bytes(bytes) => write(bytes),
            Self::Huge => write(&vec![b'a'; (1 << 20) + 1]),
            Self::Directory => drop(fs::create_dir(&path)),
            Self::LinkToItself => drop(symlink(path.file_name().unwrap(), &path)),
            Self::Link(target) => drop(symlink(target, &path)),
            Self::Pipe => drop(mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0)),
        }
    }
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Content::Bytes),
        4 => "[ -~\n]{0,200}".prop_map(|text| Content::Bytes(text.into_bytes())),
        1 => Just(Content::Huge),
        1 => Just(Content::Directory),
        1 => Just(Content::LinkToItself),
        2 => prop::sample::select(FILES.to_vec()).prop_map(|path| Content::Link(format!("/{path}"))),
        1 => Just(Content::Link("../../../../../etc".to_owned())),
        1 => Just(Content::Pipe),
    ]
}

/// A file of a fixture, cut short or with a byte changed.
fn damaged() -> impl Strategy<Value = (&'static str, Content)> {
    let genoa = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/hosts/ubuntu-genoa-snp/root");
    let whole: Vec<(&'static str, Vec<u8>)> =
        FILES.into_iter().filter_map(|path| Some((path, fs::read(genoa.join(path)).ok()?))).collect();
    assert!(whole.len() > 8);
    (prop::sample::select(whole), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |((path, mut bytes), at, byte)| {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                if byte & 1 == 0 {
                    bytes.truncate(at);
                } else {
                    bytes[at] = byte;
                }
            }
            (path, Content::Bytes(bytes))
        },
    )
}

/// All that can be asked of what was gathered from anywhere.
fn hold(facts: &Facts) {
    let json = facts.to_json();
    let text = serde_json::to_string(&json).unwrap();
    assert_eq!(&serde_json::from_str::<Facts>(&text).unwrap(), facts);
    assert!(text.len() < 32 << 20, "{} bytes of facts", text.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_tree_does_harm(
        files in prop::collection::vec((prop::sample::select(FILES.to_vec()), content()), 0..12),
        damaged in prop::collection::vec(damaged(), 0..4),
    ) {
        let tree = tempfile::tempdir().unwrap();
        for (path, content) in files.iter().chain(&damaged) {
            content.put(tree.path(), path);
        }
        hold(&host::probe(&Root::open(tree.path()).unwrap()));
    }

    #[test]
    fn no_description_does_harm(cut in any::<prop::sample::Index>(), change in any::<(prop::sample::Index, u8)>(), name in 0usize..12) {
        let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/hosts");
        let mut names: Vec<_> = fs::read_dir(&hosts).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        let mut bytes = fs::read(names[name].join("host.toml")).unwrap();
        let at = change.0.index(bytes.len());
        bytes[at] = change.1;
        bytes.truncate(cut.index(bytes.len()).max(1));
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("host.toml"), &bytes).unwrap();
        match Root::open(host.path()) {
            Ok(root) => hold(&host::probe(&root)),
            Err(error) => prop_assert!(error.to_string().contains("host.toml"), "{error}"),
        }
    }

    #[test]
    fn no_image_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>()) {
        let tree = tempfile::tempdir().unwrap();
        let genoa = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/hosts/ubuntu-genoa-snp/root");
        let mut image = fs::read(genoa.join("usr/share/ovmf/OVMF.amdsev.fd")).unwrap();
        let start = at.index(image.len());
        for (place, byte) in image[start..].iter_mut().zip(bytes) {
            *place = byte;
        }
        fs::write(tree.path().join("fw.fd"), image).unwrap();
        let root = Root::at(tree.path().to_owned());
        prop_assert!(root.firmware_image(Path::new("/fw.fd")).known().is_some());
    }
}

#[test]
fn what_cannot_be_read_is_unreadable_and_says_why() {
    let damages = [
        Content::Bytes(vec![b'a', 0xff]),
        Content::Huge,
        Content::Directory,
        Content::LinkToItself,
        Content::Pipe,
    ];
    let mut told = String::new();
    for damage in &damages {
        let tree = tempfile::tempdir().unwrap();
        damage.put(tree.path(), "proc/cmdline");
        let Fact::Unreadable { path, errno, why } =
            host::probe(&Root::at(tree.path().to_owned())).kernel_command_line
        else {
            panic!("{damage:?} was read");
        };
        told.push_str(&format!("{path}: {errno} {why}\n"));
    }
    expect![[r#"
        /proc/cmdline: 0 not UTF-8
        /proc/cmdline: 0 larger than 1 MiB
        /proc/cmdline: 0 is a directory
        /proc/cmdline: 40 Too many levels of symbolic links (os error 40)
        /proc/cmdline: 0 not a regular file
    "#]]
    .assert_eq(&told);
}

fn described(text: &str) -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("host.toml"), text).unwrap();
    host
}

#[test]
fn a_description_that_is_wrong_is_refused_and_the_place_told() {
    let mut told = String::new();
    for text in [
        "[uname\n",
        "uname = 3",
        "[qmq.\"/usr/bin/qemu-kvm\"]",
        "[cpuid.31]\neax = 1",
        "[cpuid.0x8000001f]\neax = -1",
        "[path.\"/dev/sev\"]\nowner = 0",
        "[ioctl]\nplatform_status = { api_major = 1 }",
        "[path.\"/dev/sev\"]\nkind = \"socket\"",
    ] {
        let host = described(text);
        let error = Root::open(host.path()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        let error = error.to_string().replace(&host.path().display().to_string(), "");
        told.push_str(&format!("{error}: {}\n", source.lines().last().unwrap()));
    }
    expect![[r#"
        understand `/host.toml`: unclosed table, expected `]`
        understand `/host.toml`: invalid type: integer `3`, expected struct Uname
        understand `/host.toml`: unknown field `qmq`, expected one of `uname`, `path`, `cpuid`, `ioctl`, `limits`, `selinux`, `qmp`
        understand `/host.toml`: `31` is no leaf such as 0x8000001f
        understand `/host.toml`: invalid value: integer `-1`, expected u32
        understand `/host.toml`: unknown field `owner`, expected one of `kind`, `mode`, `uid`, `gid`, `modified`, `changed`, `xattr`, `errno`
        understand `/host.toml`: data did not match any variant of untagged enum Answer
        understand `/host.toml`: unknown variant `socket`, expected one of `file`, `directory`, `character`, `block`
    "#]].assert_eq(&told);
    let nowhere = Root::open(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(nowhere.to_string(), "read `/nowhere/at/all`");
}

#[test]
fn attributes_are_as_getfattr_prints_them() {
    let with = |value: &str| {
        let host = described(&format!(
            "[path.\"/dev/sev\"]\nkind = \"character\"\nmode = 0o660\nuid = 0\ngid = 0\nxattr.\"system.posix_acl_access\" = \"{value}\""
        ));
        host::probe(&Root::open(host.path()).unwrap()).sev_device.known().unwrap().acl.clone()
    };
    let list = "0x0200000001000600ffffffff02000600 6b00000004000600ffffffff10000600ffffffff20000000ffffffff";
    let entry = |who, permissions| AclEntry { who, permissions };
    assert_eq!(
        with(&list.replace(' ', "")),
        Fact::Known(vec![
            entry(AclTag::Owner, 6),
            entry(AclTag::User(107), 6),
            entry(AclTag::OwningGroup, 6),
            entry(AclTag::Mask, 6),
            entry(AclTag::Other, 0),
        ])
    );
    for wrong in ["0x02", "0x0", "0xzz", "rw", "0x0300000001000600ffffffff"] {
        assert!(matches!(with(wrong), Fact::Unreadable { .. }), "{wrong}");
    }
}
