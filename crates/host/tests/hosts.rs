//! Described hosts: what is known of each, and that nothing of the machine that looks at them gets in.
//!
//! `test_data/hosts/NAME` is a host (`docs/facts.md`), `facts.json` in it what must be known of it; `UPDATE_EXPECT=1`
//! writes that anew.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use host::{Fact, Facts, Root};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/hosts")
}

fn hosts() -> Vec<PathBuf> {
    let mut hosts: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    hosts.sort();
    assert!(hosts.len() >= 12, "{hosts:?}");
    hosts
}

fn facts_of(host: &Path) -> Facts {
    host::probe(&Root::open(host).unwrap_or_else(|error| panic!("{}: {error:?}", host.display())))
}

fn named(name: &str) -> Facts {
    facts_of(&folder().join(name))
}

#[test]
fn each_host_is_known_as_recorded_and_its_facts_read_back() {
    for host in hosts() {
        let facts = facts_of(&host);
        let text = format!("{}\n", serde_json::to_string_pretty(&facts.to_json()).unwrap());
        expect_file![host.join("facts.json")].assert_eq(&text);
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts, "{}", host.display());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[test]
fn a_copy_of_a_host_somewhere_else_is_the_same_host() {
    for host in hosts() {
        let elsewhere = tempfile::tempdir().unwrap();
        copy(&host, elsewhere.path());
        assert_eq!(facts_of(elsewhere.path()), facts_of(&host), "{}", host.display());
    }
}

#[test]
fn nothing_of_this_machine_is_known_of_another() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("host.toml"), "").unwrap();
    assert_eq!(facts_of(host.path()), Facts::default());
    // Links that lead out of the tree lead to places in it: here to themselves.
    fs::create_dir_all(host.path().join("root")).unwrap();
    let up = "../../../../../../../../../../..";
    for name in ["proc", "sys", "etc", "dev"] {
        std::os::unix::fs::symlink(format!("/{name}"), host.path().join("root").join(name)).unwrap();
    }
    for name in ["usr", "run", "boot", "var"] {
        std::os::unix::fs::symlink(format!("{up}/{name}"), host.path().join("root").join(name)).unwrap();
    }
    let mut facts = facts_of(host.path());
    // That there is a boot loader whose configuration cannot be read is all that is known.
    assert_eq!(facts.boot.command_line.known(), None);
    facts.boot.loader = Fact::Absent;
    for (name, value) in serde_json::to_value(&facts).unwrap().as_object().unwrap() {
        assert!(!value.to_string().contains("\"known\""), "{name}: {value}");
    }
    assert!(facts.firmware.is_empty() && facts.emulators.is_empty() && facts.simulated.is_none());
}

#[test]
fn what_each_host_is_there_for_is_in_its_facts() {
    let sev = |facts: &Facts| facts.kvm_amd.known().and_then(|module| module.sev);
    let next_boot = |facts: &Facts| facts.boot.command_line.known().unwrap().clone();
    let good = named("fedora-naples-good");
    assert_eq!((good.cpu.generation(), sev(&good)), (Some("naples"), Some(true)));
    assert!(next_boot(&good).contains("kvm_amd.sev=1"));
    assert!(good.sev_device.known().unwrap().opens_for(good.qemu_user.known().unwrap()));

    assert_eq!(sev(&named("sev-off-in-kernel")), Some(false));
    let lost = named("lost-at-next-boot");
    assert_eq!(sev(&lost), Some(true));
    assert!(lost.kernel_command_line.known().unwrap().contains("kvm_amd.sev=1"));
    assert!(!next_boot(&lost).contains("kvm_amd.sev"));
    assert!(!next_boot(&named("mem-encrypt-missing")).contains("mem_encrypt"));

    let old = named("libvirt-5.0-dev-sev-root-only");
    let libvirt = old.libvirt.known().unwrap();
    assert_eq!(libvirt.version, Fact::Known("5.0.0".to_owned()));
    let older: Vec<_> =
        libvirt.caches[0].older_than.iter().map(|dependency| dependency.what.as_str()).collect();
    assert_eq!(older, ["kernel boot", "/dev/kvm", "/dev/sev"]);
    assert!(!old.sev_device.known().unwrap().opens_for(old.qemu_user.known().unwrap()));

    let selinux = named("selinux-policy-too-old").selinux;
    assert_eq!(selinux.known().unwrap().svirt_may_use_sev, Fact::Known(false));
    let asids = *named("es-asids-zero").asids.known().unwrap();
    assert_eq!((asids.sev.free(), asids.sev_es.capacity), (508, 0));
    assert!(!named("snp-without-rmp").snp_platform.known().unwrap().rmp_initialised);
    let genoa = named("ubuntu-genoa-snp");
    assert!(next_boot(&genoa).contains("kvm_amd.sev_snp=1"));
    assert!(genoa.firmware.iter().any(|loader| loader.offers("amd-sev-snp")));
    assert_eq!(named("intel").cpu.memory_encryption, Fact::Absent);
    assert_eq!(named("no-kvm").kvm, Fact::Absent);
    let hidden = named("sys-unreadable");
    assert!(matches!(hidden.kvm_amd, Fact::Unreadable { errno: 13, .. }));
    assert!(matches!(hidden.asids, Fact::Unreadable { errno: 13, .. }));
    assert!(matches!(hidden.platform, Fact::Unreadable { errno: 13, .. }));
}
