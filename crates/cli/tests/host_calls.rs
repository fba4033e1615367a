//! What virsh is told of the host by `sevirt daemon`, beside what the host's own files say.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Daemon {
    directory: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sevirt"))
            .args(["daemon", "--state-dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It logs once it listens; nothing more is read, and a pipe holds more than it logs here.
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let daemon = Self { directory, child };
        let begin = Instant::now();
        while !daemon.directory.path().join("run/sevirt-sock").exists() {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the daemon ended");
            assert!(begin.elapsed() < Duration::from_secs(30), "the daemon does not listen");
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        daemon
    }

    fn run(&self, socket: &str, arguments: &[&str]) -> Output {
        let socket = self.directory.path().join("run").join(socket);
        let mut virsh = Command::new("virsh");
        virsh.env("LC_ALL", "C").arg("-c").arg(format!("qemu:///system?socket={}", socket.display()));
        virsh.args(arguments).output().unwrap()
    }

    #[track_caller]
    fn says(&self, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let output = self.run("sevirt-sock", &words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The last line of what it complains about.
    #[track_caller]
    fn refuses(&self, socket: &str, command: &str) -> String {
        let words: Vec<&str> = command.split(' ').collect();
        let output = self.run(socket, &words);
        assert!(!output.status.success(), "{command}");
        let error = String::from_utf8(output.stderr).unwrap();
        error.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The value of a line `KEY: VALUE`.
fn value<'t>(text: &'t str, key: &str) -> &'t str {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).unwrap_or_else(|| panic!("no {key} in {text}")).1.trim()
}

fn host(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_host_is_told_as_it_is() {
    let daemon = Daemon::start();
    let total = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = value(&total, "MemTotal").trim_end_matches(" kB").to_owned();
    let online = host("getconf", &["_NPROCESSORS_ONLN"]);

    let info = daemon.says("nodeinfo");
    assert_eq!(value(&info, "CPU(s)"), online);
    assert_eq!(value(&info, "Memory size"), format!("{total} KiB"));
    let number = |key| value(&info, key).parse::<u32>().unwrap();
    let threads = number("NUMA cell(s)")
        * number("CPU socket(s)")
        * number("Core(s) per socket")
        * number("Thread(s) per core");
    assert_eq!(threads.to_string(), online);
    assert_eq!(value(&daemon.says("nodecpumap"), "CPUs online"), online);
    assert_eq!(value(&daemon.says("nodememstats"), "total"), format!("{total} KiB"));
    for line in ["user", "system", "idle", "iowait"] {
        value(&daemon.says("nodecpustats"), line).parse::<u64>().unwrap();
    }
    assert!(daemon.says("freecell --all").contains("Total:"));
    assert!(daemon.says("freepages --all").contains("4KiB: "));
    assert!(daemon.says("hostname").trim().starts_with(&host("hostname", &[])));
    assert!(daemon.says("node-memory-tune").starts_with("Shared memory:"));

    let version = daemon.says("version --daemon");
    let qemu = host("/usr/bin/qemu-system-x86_64", &["--version"]);
    let qemu = qemu.split_ascii_whitespace().nth(3).unwrap();
    assert_eq!(value(&version, "Running hypervisor"), format!("QEMU {qemu}"));
    assert_eq!(value(&version, "Running against daemon"), "11.3.0");
}

#[test]
fn capabilities_are_those_of_the_host_and_its_emulators() {
    let daemon = Daemon::start();
    let text = daemon.says("capabilities");
    let document = domain::Document::parse(&text).unwrap();
    let find = |path: &[&str]| {
        path.iter().try_fold(document.root(), |element, name| element.child(name)).unwrap_or_else(|| {
            panic!("no {path:?} in {text}");
        })
    };
    assert_eq!(find(&["host", "cpu", "arch"]).text(), "x86_64");
    assert_eq!(find(&["host", "secmodel", "model"]).text(), "none");
    assert!(find(&["host", "topology", "cells", "cell", "cpus", "cpu"]).attribute("siblings").is_some());
    let guests = document.root().children().filter(|child| child.name() == "guest");
    let archs: Vec<String> = guests
        .map(|guest| {
            let arch = guest.child("arch").unwrap();
            let machines: Vec<_> = arch.children().filter(|child| child.name() == "machine").collect();
            assert!(machines.iter().any(|machine| machine.text() == "q35"), "{text}");
            assert!(arch.child("domain").unwrap().attribute("type").is_some());
            arch.attribute("name").unwrap().value().into_owned()
        })
        .collect();
    assert!(archs.iter().any(|arch| arch == "x86_64"), "{archs:?}");
}

#[test]
fn domain_capabilities_are_those_that_sevirt_prints() {
    let daemon = Daemon::start();
    for options in [&[][..], &["--machine", "q35"], &["--virttype", "qemu", "--machine", "pc"]] {
        let command = [&["domcapabilities"], options].concat().join(" ");
        let mut caps = Command::new(env!("CARGO_BIN_EXE_sevirt"));
        let printed =
            caps.arg("caps").args(options).env("XDG_CACHE_HOME", daemon.directory.path()).output().unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(daemon.says(&command).trim(), printed.trim(), "{options:?}");
    }
    for (command, error) in [
        ("--emulatorbin /nowhere/qemu", "Cannot check QEMU binary /nowhere/qemu: No such file or directory"),
        ("--emulatorbin /etc/passwd", "QEMU binary /etc/passwd is not executable: Permission denied"),
        ("--arch foo", "invalid argument: unknown architecture: foo"),
        (
            "--arch s390",
            "unsupported configuration: unable to find any emulator to serve 's390' architecture",
        ),
        (
            "--machine foo",
            "invalid argument: the machine 'foo' is not supported by emulator '/usr/bin/qemu-system-x86_64'",
        ),
        (
            "--virttype xen",
            "invalid argument: Emulator '/usr/bin/qemu-system-x86_64' does not support virt type 'xen'",
        ),
        ("--virttype bad", "invalid argument: unknown virttype: bad"),
    ] {
        let said = daemon.refuses("sevirt-sock", &format!("domcapabilities {command}"));
        assert_eq!(said, format!("error: {error}"), "{command}");
    }
}

#[test]
fn what_cannot_be_told_is_refused_in_libvirts_words() {
    let daemon = Daemon::start();
    let refuses = |command| daemon.refuses("sevirt-sock", command);
    assert_eq!(
        refuses("nodememstats --cell 99"),
        "error: cellNum in virHostMemGetStats must be less than or equal to 0"
    );
    assert_eq!(refuses("nodecpustats --cpu 4000"), "error: Invalid cpuNum in virHostCPUGetStatsLinux");
    assert_eq!(refuses("freecell 99"), "error: internal error: start cell 99 out of range (0-0)");
    assert_eq!(refuses("nodesuspend mem 60"), "error: argument unsupported: Suspend-to-RAM");
    assert_eq!(refuses("cpu-models foo"), "error: invalid argument: cannot find architecture foo");
    assert!(daemon.says("cpu-models x86_64").lines().any(|line| line == "EPYC-Milan"));
    // A host without SEV says why; a client that may only read is not told at all.
    if !std::path::Path::new("/dev/sev").exists() {
        let said = refuses("nodesevinfo");
        assert!(
            said.starts_with("error: Operation not supported: QEMU does not support SEV guest ("),
            "{said}"
        );
    }
    for (command, function) in
        [("nodesevinfo", "virNodeGetSEVInfo"), ("nodesuspend mem 60", "virNodeSuspendForDuration")]
    {
        let said = daemon.refuses("sevirt-sock-ro", &format!("--readonly {command}"));
        assert_eq!(said, format!("error: operation forbidden: read only access prevents {function}"));
    }
}
