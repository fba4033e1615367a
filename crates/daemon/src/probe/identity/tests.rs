//! Each thing that answers depend on, changed by itself.

use std::os::unix::fs::symlink;

use super::*;

/// A host's files, with an emulator.
fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("usr/bin/qemu", "#!/bin/sh\n"),
        ("usr/lib/qemu/hw-display-qxl.so", ""),
        ("sys/devices/system/cpu/cpu0/microcode/version", "0xa0011d1\n"),
        ("sys/module/kvm/parameters/nested", "Y\n"),
        ("sys/module/kvm_amd/parameters/sev", "Y\n"),
        ("sys/module/kvm_amd/parameters/sev_es", "N\n"),
        ("dev/kvm", ""),
        ("dev/sev", ""),
        ("etc/passwd", "qemu:x:107:107::/:/bin/false\n"),
        ("etc/group", "kvm:x:36:\n"),
        ("run/sevirt/simulated", "a simulator\n"),
    ];
    for (path, text) in files {
        put(root.path(), path, text);
    }
    fs::set_permissions(root.path().join("usr/bin/qemu"), fs::Permissions::from_mode(0o755)).unwrap();
    root
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn of(root: &Path, machine: &Machine) -> Identity {
    Identity::under(root, &root.join("usr/bin/qemu"), machine.clone()).unwrap()
}

#[track_caller]
fn changes(what: &str, change: impl Fn(&Path)) {
    let root = tree();
    let machine = Machine::this();
    let before = of(root.path(), &machine);
    assert_eq!(of(root.path(), &machine), before, "{what}: not the same when nothing changed");
    change(root.path());
    assert_ne!(of(root.path(), &machine), before, "{what}: not seen");
}

#[test]
fn each_file_that_matters_is_looked_at() {
    let set_mode = |path: &'static str, mode: u32| {
        move |root: &Path| fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap()
    };
    let remove = |path: &'static str| move |root: &Path| fs::remove_file(root.join(path)).unwrap();
    changes("the binary's content", |root| put(root, "usr/bin/qemu", "#!/bin/sh\nexit\n"));
    changes("the binary's replacement by one of the same content", |root| {
        let (old, new) = (root.join("usr/bin/qemu"), root.join("usr/bin/new"));
        fs::copy(&old, &new).unwrap();
        fs::rename(new, old).unwrap();
    });
    changes("a module's coming", |root| put(root, "usr/lib/qemu/ui-spice-core.so", ""));
    changes("a module's going", remove("usr/lib/qemu/hw-display-qxl.so"));
    changes("a module directory's coming", |root| put(root, "usr/lib64/qemu/a.so", ""));
    changes("microcode", |root| put(root, "sys/devices/system/cpu/cpu0/microcode/version", "0xa0011d5\n"));
    changes("kvm_amd.sev", |root| put(root, "sys/module/kvm_amd/parameters/sev", "N\n"));
    changes("kvm_amd.sev_es", |root| put(root, "sys/module/kvm_amd/parameters/sev_es", "Y\n"));
    changes("kvm_amd.sev_snp's coming", |root| put(root, "sys/module/kvm_amd/parameters/sev_snp", "N\n"));
    changes("kvm.nested", |root| put(root, "sys/module/kvm/parameters/nested", "N\n"));
    changes("kvm_intel's coming", |root| put(root, "sys/module/kvm_intel/parameters/ept", "Y\n"));
    changes("kvm_amd's going", |root| fs::remove_dir_all(root.join("sys/module/kvm_amd")).unwrap());
    changes("/dev/sev's going", remove("dev/sev"));
    changes("/dev/sev's mode", set_mode("dev/sev", 0o600));
    changes("/dev/sev's replacement", |root| {
        // The old one is kept, so that its inode is not given to the new one.
        fs::rename(root.join("dev/sev"), root.join("dev/old")).unwrap();
        put(root, "dev/sev", "");
    });
    changes("/dev/kvm's going", remove("dev/kvm"));
    changes("/dev/kvm's mode", set_mode("dev/kvm", 0o666));
    changes("a user", |root| put(root, "etc/passwd", "qemu:x:108:107::/:/bin/false\n"));
    changes("a group", |root| put(root, "etc/group", "kvm:x:36:qemu\n"));
    changes("the simulator", |root| put(root, "run/sevirt/simulated", "another\n"));
    changes("the simulator's going", remove("run/sevirt/simulated"));
}

#[test]
fn a_devices_times_do_not_matter() {
    let root = tree();
    let machine = Machine::this();
    let before = of(root.path(), &machine);
    fs::write(root.path().join("dev/sev"), "").unwrap();
    fs::File::open(root.path().join("dev/sev")).unwrap();
    assert_eq!(of(root.path(), &machine), before);
}

#[test]
fn access_lists_are_looked_at_where_the_file_system_has_them() {
    let root = tree();
    let machine = Machine::this();
    let before = of(root.path(), &machine);
    // Version 2: owner rw, user 107 rw, group -, mask rw, other -.
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let list = [
        2u32.to_le_bytes().to_vec(),
        entry(1, 6, u32::MAX),
        entry(2, 6, 107),
        entry(4, 0, u32::MAX),
        entry(0x10, 6, u32::MAX),
        entry(0x20, 0, u32::MAX),
    ]
    .concat();
    let path = root.path().join("dev/sev");
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(&path, "system.posix_acl_access", &list, flags) {
        Ok(()) => {
            let after = of(root.path(), &machine);
            assert_eq!(after.sev_device.as_ref().map(|device| device.access_list.len()), Some(list.len()));
            assert_ne!(after, before);
        }
        // A file system without access lists has nothing to look at.
        Err(error) => assert_eq!(error, rustix::io::Errno::OPNOTSUPP),
    }
}

#[test]
fn each_answer_of_the_system_that_matters_is_looked_at() {
    let root = tree();
    let machine = Machine {
        kernel: ("6.12.0".into(), "#1 SMP".into()),
        cpuid: vec![(0x8000_001f, 0, processor::Registers(0xf, 0x6f, 15, 5))],
        platform: Ok(Firmware { version: (1, 55, 21), externally_owned: false, es: false }),
        user: (0, 0, vec![36]),
        environment: BTreeMap::new(),
    };
    let before = of(root.path(), &machine);
    let owned = |externally_owned, es, build| Ok(Firmware { version: (1, 55, build), externally_owned, es });
    type Change<'c> = (&'c str, &'c dyn Fn(&mut Machine));
    let changes: [Change<'_>; 11] = [
        ("the kernel's release", &|machine| machine.kernel.0 = "6.12.1".into()),
        ("the kernel's version", &|machine| machine.kernel.1 = "#2 SMP".into()),
        ("a bit of CPUID", &|machine| machine.cpuid[0].2.0 = 0x1f),
        ("the split of ASIDs", &|machine| machine.cpuid[0].2.3 = 6),
        ("the platform's build", &|machine| machine.platform = owned(false, false, 22)),
        ("the platform's owner", &|machine| machine.platform = owned(true, false, 21)),
        ("the platform's SEV-ES", &|machine| machine.platform = owned(false, true, 21)),
        ("the platform's silence", &|machine| machine.platform = Err("absent".into())),
        ("who asks", &|machine| machine.user.0 = 1000),
        ("the groups of who asks", &|machine| machine.user.2.clear()),
        ("a preloaded library", &|machine| {
            machine.environment.insert("LD_PRELOAD".into(), "/lib/libsevsim.so".into());
        }),
    ];
    for (what, change) in changes {
        let mut changed = machine.clone();
        change(&mut changed);
        assert_ne!(of(root.path(), &changed), before, "{what}: not seen");
    }
}

#[test]
fn the_processor_says_the_same_whichever_thread_is_asked() {
    let first = processor::leaves();
    for _ in 0..1000 {
        std::thread::yield_now();
        assert_eq!(processor::leaves(), first);
    }
    assert!(cfg!(not(target_arch = "x86_64")) || !first.is_empty());
}

#[test]
fn what_cannot_be_run_is_refused() {
    let root = tree();
    let path = root.path().join("usr/bin/qemu");
    let of = |path: &Path| Identity::under(root.path(), path, Machine::this()).unwrap_err();
    assert!(matches!(of(&root.path().join("none")), ProbeError::Emulator { .. }));
    assert!(matches!(of(root.path()), ProbeError::NotExecutable { .. }));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(of(&path), ProbeError::NotExecutable { .. }));
}

#[test]
fn an_emulator_is_known_by_its_own_path() {
    let root = tree();
    let link = root.path().join("usr/bin/kvm");
    symlink(root.path().join("usr/bin/qemu"), &link).unwrap();
    let machine = Machine::this();
    assert_eq!(Identity::under(root.path(), &link, machine.clone()).unwrap(), of(root.path(), &machine));
}
