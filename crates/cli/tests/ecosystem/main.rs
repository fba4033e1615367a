//! Programs of libvirt's ecosystem, unmodified, against `sevirt daemon`: virt-install, virt-xml, virt-clone, the Python
//! bindings. Guests are emulated, so that this runs everywhere. And the daemon in front of a real libvirtd that serves
//! networks and storage.
//!
//! Needs what `scripts/setup.sh --peers` installs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed step is a failed test; what cannot be run is said"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use expect_test::{Expect, expect};

mod engines;
mod guest;
mod units;

const SEVIRT: &str = env!("CARGO_BIN_EXE_sevirt");
/// Debian's own, which has libvirt's bindings.
const PYTHON: &str = "/usr/bin/python3";

/// A daemon with a directory of its own.
struct Daemon {
    child: Child,
    directory: tempfile::TempDir,
}

impl Daemon {
    /// Returns when it listens.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(SEVIRT)
            .args(["daemon", "--state-dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the daemon ended");
        }
        // What it says later is nobody's, but must not be held up.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, directory }
    }

    fn uri(&self) -> String {
        format!("qemu:///system?socket={}", self.path("run/sevirt-sock").display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a program prints that must succeed.
    #[track_caller]
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("HOME", self.path("home"))
            .env("XDG_CACHE_HOME", self.path("home/cache"))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup.sh --peers installs it"));
        let (said, failed) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {arguments:?}\n{said}\n{failed}");
        said.into_owned()
    }

    #[track_caller]
    fn virsh(&self, arguments: &[&str]) -> String {
        self.run("virsh", &[&["-q", "-c", &self.uri()], arguments].concat())
    }

    #[track_caller]
    fn virt_install(&self, name: &str, arguments: &[&str]) -> String {
        let uri = self.uri();
        let common =
            ["--connect", &uri, "--name", name, "--memory", "64", "--vcpus", "1", "--virt-type", "qemu"];
        let more = ["--osinfo", "generic", "--graphics", "none", "--noautoconsole"];
        self.run("virt-install", &[&common[..], &more, arguments].concat())
    }

    /// The lines of what a guest is that hold one of some words, without what changes from run to run.
    #[track_caller]
    fn lines(&self, domain: &str, words: &[&str], expect: &Expect) {
        let text = self.virsh(&["dumpxml", domain, "--inactive"]);
        let place = self.directory.path().to_str().unwrap();
        let found = text.lines().filter(|line| words.iter().any(|word| line.contains(word)));
        let found: String = found.map(|line| line.trim().replace(place, "PLACE") + "\n").collect();
        expect.assert_eq(&found);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let uri = self.uri();
        let names = Command::new("virsh").args(["-q", "-c", &uri, "list", "--name"]).output();
        for name in
            names.map(|names| String::from_utf8_lossy(&names.stdout).into_owned()).unwrap_or_default().lines()
        {
            if !name.is_empty() {
                let _ = Command::new("virsh").args(["-q", "-c", &uri, "destroy", name]).output();
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn virt_install_makes_a_guest_with_a_disk() {
    let daemon = Daemon::start();
    daemon.virt_install("with", &["--disk", "size=0.1", "--import"]);
    assert_eq!(daemon.virsh(&["domstate", "with"]).trim(), "running");
    daemon.lines(
        "with",
        &["<source", "<driver", "<interface"],
        &expect![[r#"
            <driver name='qemu' type='qcow2' discard='unmap'/>
            <source file='PLACE/lib/images/with.qcow2'/>
            <interface type='network'>
            <source network='default'/>
        "#]],
    );
    let volume = daemon.virsh(&["vol-info", "with.qcow2", "default"]);
    assert!(volume.contains("Capacity:       102.40 MiB"), "{volume}");
    daemon.virsh(&["destroy", "with"]);
    daemon.virsh(&["undefine", "with", "--remove-all-storage"]);
    assert_eq!(daemon.virsh(&["vol-list", "default"]).trim(), "");
}

#[test]
fn virt_install_makes_a_guest_without_a_disk() {
    let daemon = Daemon::start();
    let xml = daemon.virt_install("none", &["--disk", "none", "--import", "--print-xml"]);
    assert!(xml.contains("<name>none</name>"), "{xml}");
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).trim(), "");
    daemon.virt_install("without", &["--disk", "none", "--network", "none", "--import"]);
    assert_eq!(daemon.virsh(&["domstate", "without"]).trim(), "running");
    daemon.lines("without", &["<disk", "<interface"], &expect![[""]]);
}

#[test]
fn virt_xml_edits_and_virt_clone_copies() {
    let daemon = Daemon::start();
    let uri = daemon.uri();
    daemon.virt_install("one", &["--disk", "size=0.02,bus=virtio", "--import", "--noreboot"]);
    daemon.run("virt-xml", &["--connect", &uri, "one", "--edit", "--memory", "96,maxMemory=96"]);
    daemon.run("virt-xml", &["--connect", &uri, "one", "--edit", "target=vda", "--disk", "cache=none"]);
    daemon.run("virt-xml", &["--connect", &uri, "one", "--add-device", "--disk", "size=0.01,bus=virtio"]);
    daemon.run("virt-xml", &["--connect", &uri, "one", "--remove-device", "--network", "all"]);
    daemon.lines(
        "one",
        &["<memory unit", "<source", "<driver", "<interface"],
        &expect![[r#"
            <memory unit='KiB'>98304</memory>
            <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
            <source file='PLACE/lib/images/one.qcow2'/>
            <driver name='qemu' type='qcow2' discard='unmap'/>
            <source file='PLACE/lib/images/one-1.qcow2'/>
        "#]],
    );
    daemon.run("virt-clone", &["--connect", &uri, "--original", "one", "--name", "two", "--auto-clone"]);
    daemon.lines(
        "two",
        &["<source", "<name>"],
        &expect![[r#"
            <name>two</name>
            <source file='PLACE/lib/images/two.qcow2'/>
            <source file='PLACE/lib/images/one-1-clone.qcow2'/>
        "#]],
    );
    daemon.virsh(&["start", "two"]);
}

#[test]
fn a_python_script_sees_events_in_their_order() {
    let daemon = Daemon::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/ecosystem/events.py");
    let place = daemon.directory.path().to_str().unwrap();
    let said = daemon.run(PYTHON, &[script.to_str().unwrap(), &daemon.uri(), place]);
    // Exactly what libvirtd 11.3 makes of the same script.
    expect![[r#"
        state 3 1
        state 1 5
        by-python 0 0
        by-python 2 0
        by-python 3 0
        by-python 4 0
        by-python 6 2
        by-python 5 1
        by-python 1 0
        volume 0 1048576 1048576
        pool 0 0
        pool 4 0
        pool 2 0
        pool 3 0
        pool 5 0
        pool 1 0
    "#]]
    .assert_eq(&said);
}

/// Whether namespaces can be made here, which takes root's rights.
fn can_be_alone() -> bool {
    let tried = Command::new("unshare").args(["--net", "--mount", "--pid", "--fork", "true"]).output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        eprintln!("not run in front of a libvirtd: no namespaces can be made here");
    }
    can
}

#[test]
fn calls_are_forwarded_to_a_libvirtd() {
    if !can_be_alone() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    fs::create_dir(&place).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = here.join("test_data/ecosystem");
    let output = Command::new("timeout")
        .args(["--kill-after", "5", "300", "unshare", "--net", "--kill-child", "--fork", "--"])
        .arg(here.join("../../scripts/private_libvirt.sh"))
        .arg("sh")
        .arg(data.join("forward.sh"))
        .arg(SEVIRT)
        .arg(&place)
        .arg(data.join("events.py"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // Shown where the test fails.
    eprint!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    let said: String =
        said.lines().filter(|line| !line.is_empty()).map(|line| line.trim_end().to_owned() + "\n").collect();
    expect![[r#"
         isolated   active   no   yes
         isolated   active   no   yes
        Bridge:         virbr9
        error: failed to get network 'nothing'
        error: Network not found: no network with matching name 'nothing'
        the bytes are the same
         a.img   PLACE/images/a.img
        error: failed to get vol 'nothing.img'
        error: Storage volume not found: no storage vol with matching path 'nothing.img'
        error: cannot upload to volume a.img
        error: argument unsupported: flags 0x1: holes in streams (--sparse) are not passed on
        state 3 1
        state 1 5
        volume 0 1048576 1048576
        pool 0 0
        pool 4 0
        pool 2 0
        pool 3 0
        pool 5 0
        pool 1 0
        a device of the bridge: vnet
        error: Failed to create domain from PLACE/guest.xml
        error: Requested operation is not valid: network 'isolated' is not active
        error: Failed to list networks
        error: the network daemon that sevirtd.toml names cannot be used: `/run/libvirt/libvirt-sock`: connect: Connection refused (os error 111)
    "#]]
    .assert_eq(&said);
}
