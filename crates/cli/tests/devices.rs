//! A guest's devices by unmodified virsh and libvirt's Python: console, figures, tuning, media, what is plugged in and out.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use regex::Regex;

const SEVIRT: &str = env!("CARGO_BIN_EXE_sevirt");
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test_data/devices");

/// A boot sector that says a line on the first serial port and echoes what comes in there.
const ECHO: [u8; 66] = *b"\xfc\x31\xc0\x8e\xd8\xbe\x32\x7c\xac\x84\xc0\x74\x05\xe8\x13\x00\xeb\xf6\
    \xba\xfd\x03\xec\xa8\x01\x74\xf8\xba\xf8\x03\xec\xe8\x02\x00\xeb\xef\
    \x50\xba\xfd\x03\xec\xa8\x20\x74\xf8\x58\xba\xf8\x03\xee\xc3sevirt echoes\r\n\0";

/// Devices to plug in, by file.
const FRAGMENTS: [(&str, &str); 7] = [
    (
        "interface",
        "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/></interface>",
    ),
    (
        "interface-down",
        "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/><link state='down'/></interface>",
    ),
    ("channel", "<channel type='unix'><target type='virtio' name='org.test.0'/></channel>"),
    ("rng", "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"),
    (
        "hostdev",
        "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='25' function='0'/></source>\
         </hostdev>",
    ),
    ("serial", "<serial type='pty'><target type='isa-serial' port='1'/></serial>"),
    ("nonsense", "<nonsense/>"),
];

struct Daemon {
    directory: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("dev").tempdir_in("/tmp").unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let state = directory.path().join("state");
        let child = Command::new(SEVIRT)
            .args(["daemon", "--state-dir"])
            .arg(&state)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Self { directory, child };
        let answers = (0..100).any(|_| {
            let (exit, _) = daemon.virsh(&["-q", "uri"]);
            exit == 0 || Command::new("sleep").arg("0.1").status().is_err()
        });
        assert!(answers, "{}", daemon.log());
        daemon
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }

    fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.path().join("state/run/sevirt-sock").display())
    }

    /// The exit code, and all that was printed.
    fn virsh(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new("virsh").args(["-c", &self.uri()]).args(arguments).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let (exit, printed) = self.virsh(arguments);
        assert_eq!(exit, 0, "{arguments:?}: {printed}\n{}", self.log());
        printed
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.virsh(&["destroy", "devices"]);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files that the guest and the commands name.
fn files(directory: &Path) -> PathBuf {
    let mut boot = vec![0u8; 1 << 20];
    boot[..ECHO.len()].copy_from_slice(&ECHO);
    boot[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(directory.join("boot.raw"), boot).unwrap();
    for (name, size) in [("one.iso", 1), ("two.iso", 2), ("extra.raw", 4), ("other.raw", 4)] {
        fs::write(directory.join(name), vec![0u8; size << 20]).unwrap();
    }
    fs::write(directory.join("secret"), "c2VjcmV0").unwrap();
    for (name, xml) in FRAGMENTS {
        fs::write(directory.join(name).with_extension("xml"), xml).unwrap();
    }
    let xml = fs::read_to_string(Path::new(DATA).join("guest.xml")).unwrap();
    let path = directory.join("guest.xml");
    fs::write(&path, xml.replace("@DIR@", &directory.display().to_string())).unwrap();
    path
}

/// Commands with their exit codes, and the lines that must be in their output.
fn calls(text: &str) -> Vec<(i32, Vec<String>, Vec<String>)> {
    let mut calls: Vec<(i32, Vec<String>, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(expected) => calls.last_mut().unwrap().2.push(expected.to_owned()),
            None => {
                let (exit, command) = line.split_once(' ').unwrap();
                let words = match command.split_once(" --hmp ") {
                    // The line of the old monitor is one word.
                    Some((before, line)) => {
                        before.split(' ').chain(["--hmp", line]).map(str::to_owned).collect()
                    }
                    None => command.split(' ').map(str::to_owned).collect(),
                };
                calls.push((exit.parse().unwrap(), words, Vec::new()));
            }
        }
    }
    calls
}

fn has_line(printed: &str, expected: &str) -> bool {
    let mut lines = printed.lines().map(str::trim);
    match expected.trim().strip_prefix('~') {
        Some(pattern) => {
            let pattern = Regex::new(&format!("^(?:{})$", pattern.trim())).unwrap();
            lines.any(|line| pattern.is_match(line))
        }
        None => lines.any(|line| line == expected.trim()),
    }
}

#[test]
fn virsh_and_python_have_their_way_with_devices() {
    let daemon = Daemon::start();
    let xml = files(daemon.path());
    daemon.succeeds(&["define", xml.to_str().unwrap()]);
    daemon.succeeds(&["start", "devices"]);

    // The balloon is told what the domain says, and no password is shown.
    let live = daemon.succeeds(&["dumpxml", "devices"]);
    assert!(!live.contains("quiet"), "{live}");
    assert!(
        live.contains("<target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/>"),
        "{live}"
    );
    let script = Path::new(DATA).join("console.py");
    let console = Command::new("/usr/bin/python3").arg(script).arg(daemon.uri()).output().unwrap();
    let printed = String::from_utf8(console.stdout).unwrap();
    assert!(
        printed.contains("operation failed: Active console session exists for this domain")
            && printed.contains("39 38 stream had I/O failure")
            && printed.contains("internal error: cannot find character device nope")
            && printed.ends_with("done\n"),
        "{printed}\n{}\n{}",
        String::from_utf8_lossy(&console.stderr),
        daemon.log()
    );

    let directory = daemon.path().display().to_string();
    let text = fs::read_to_string(Path::new(DATA).join("calls.txt")).unwrap().replace("@DIR@", &directory);
    let mut wrong = String::new();
    for (exit, words, expected) in calls(&text) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, printed) = daemon.virsh(&words);
        let missing: Vec<&String> = expected.iter().filter(|line| !has_line(&printed, line)).collect();
        if code != exit || !missing.is_empty() {
            wrong.push_str(&format!(
                "$ virsh {}\n[{code}, not {exit}] {missing:?}\n{printed}\n",
                words.join(" ")
            ));
        }
    }
    assert_eq!(wrong, "", "{}", daemon.log());
    assert!(fs::read(daemon.path().join("shot.png")).unwrap().starts_with(b"\x89PNG"));
    let left: Vec<_> = walk(&daemon.path().join("state/run"))
        .into_iter()
        .filter(|name| name.contains("screenshot"))
        .collect();
    assert_eq!(left, Vec::<String>::new());

    // What was plugged in is known to a daemon that finds the guest.
    let before = daemon.succeeds(&["domiflist", "devices"]);
    assert!(before.contains("52:54:00:00:00:02"), "{before}");
}

/// The names of all files below a directory.
fn walk(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path()));
        }
    }
    names
}
