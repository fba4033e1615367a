//! Scripts of virsh lines, typed against sevirt and against libvirtd with the same bare `virsh`: what the two answer is
//! compared line by line, and every difference is a row of a table that says why.
//!
//! All scripts of `test_data/virsh` are typed in the lab: `commands.virsh`, `options.virsh`, and `sev.virsh`, libvirt's page
//! on launch security. The first two are typed outside as well, where libvirt may be started for itself (as root, in
//! namespaces of its own): that is sooner known, and the machine has more processors than the lab. Rows are written by people.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod differences;
#[path = "../lab/firmware.rs"]
mod firmware;
mod in_lab;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use answers::{Answer, Expected};
use differences::Table;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test_data/virsh");

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// In the order in which they are typed in the lab.
const SCRIPTS: [&str; 3] = ["commands.virsh", "options.virsh", "sev.virsh"];

/// Two daemons at the same time are enough for a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A daemon's answers to a script.
struct Typed {
    answers: Vec<Answer>,
    /// How the daemon itself ended after SIGTERM, by its exit code.
    end: i32,
}

/// Types `script` against `daemon`, where both find a libvirt of their own.
fn typed(daemon: &Path, script: &str, directory: &Path) -> Typed {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A loopback of its own as well: displays listen there, at the first port that is free.
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", "busybox ip link set lo up && exec \"$@\"", "sh"])
        .arg(root.join("scripts/private_libvirt.sh"))
        .arg("sh")
        .arg(format!("{DATA}/type.sh"))
        .arg(daemon)
        .arg(format!("{DATA}/{script}"))
        .arg(directory)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Typed::read(&Typed::printed(daemon, &output), directory)
}

impl Typed {
    /// What `type.sh` has printed, if it ran well.
    fn printed(daemon: &Path, output: &Output) -> String {
        let told = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {}\n{told}\n{printed}", daemon.display(), output.status);
        printed.into_owned()
    }

    /// What it has printed of a script that was typed in `directory`.
    fn read(printed: &str, directory: &Path) -> Self {
        let (answers, end) = answers::parse(printed, directory.to_str().unwrap());
        Self { answers, end }
    }
}

/// Directories whose paths are equally long, so that tables of both runs have the same columns.
fn directories() -> [tempfile::TempDir; 2] {
    ["libvirt", "sevirt-"]
        .map(|name| tempfile::Builder::new().prefix(name).rand_bytes(6).tempdir_in("/tmp").unwrap())
}

fn sevirt() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sevirt"))
}

/// What the two daemons answer to `script` on this machine.
fn typed_by_both(script: &str) -> (Typed, Typed) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let [theirs, ours] = directories();
    std::thread::scope(|scope| {
        let libvirtd = scope.spawn(|| typed(Path::new("libvirtd"), script, theirs.path()));
        let sevirt = typed(&sevirt(), script, ours.path());
        (libvirtd.join().unwrap(), sevirt)
    })
}

#[test]
fn every_command_answers_as_libvirts_daemon_does_but_for_what_the_table_says() {
    let (libvirtd, sevirt) = typed_by_both("commands.virsh");
    let mut table = Table::load();
    let mut faults = faults(&mut table, "commands.virsh", &libvirtd, &sevirt);
    faults.extend(table.unused("native"));
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
}

/// What commands.virsh leaves out. Here every answer is libvirt's, so that no row of the table is needed.
#[test]
fn options_and_devices_answer_as_with_libvirts_daemon() {
    let (libvirtd, sevirt) = typed_by_both("options.virsh");
    let faults = faults(&mut Table::load(), "options.virsh", &libvirtd, &sevirt);
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
}

/// The page's Q35 and i440fx domains are defined, started, report SEV, are shut down and undefined, by both daemons.
#[test]
fn in_the_lab_both_daemons_run_the_guests_of_libvirts_page_and_answer_alike() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = in_lab::Bench::new();
    let [theirs, ours] = directories();
    let (libvirtd, sevirt) = std::thread::scope(|scope| {
        let libvirtd = scope.spawn(|| bench.typed(Path::new("libvirtd"), theirs.path()));
        let ours = || bench.typed(&sevirt(), ours.path());
        if in_lab::Bench::has_room_for_two() {
            let sevirt = ours();
            (libvirtd.join().unwrap(), sevirt)
        } else {
            (libvirtd.join().unwrap(), ours())
        }
    });
    let mut table = Table::load();
    let both = SCRIPTS.into_iter().zip(libvirtd.iter().zip(&sevirt));
    let mut faults: Vec<String> =
        both.flat_map(|(script, (libvirtd, sevirt))| faults(&mut table, script, libvirtd, sevirt)).collect();
    faults.extend(table.unused("lab"));
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
    // That both say the same is not enough.
    for guest in ["sev-dummy", "sev-dummy-seabios"] {
        for daemon in [&libvirtd, &sevirt] {
            let said = daemon.iter().flat_map(|typed| &typed.answers);
            let mut said = said.filter(|answer| answer.command.ends_with(&format!("/{guest}.qcow2")));
            let report = said.next().unwrap();
            assert!(report.output.contains("Memory Encryption Features active: AMD SEV"), "{report}");
        }
    }
}

/// What is wrong with two daemons' answers to `script`.
fn faults(table: &mut Table, script: &str, libvirtd: &Typed, sevirt: &Typed) -> Vec<String> {
    let lines = answers::script(&std::fs::read_to_string(format!("{DATA}/{script}")).unwrap());
    let mut faults = unexpected(&lines, libvirtd);
    faults.extend(table.compare(&libvirtd.answers, &sevirt.answers));
    if sevirt.end != 0 {
        faults.push(format!("{script}: the daemon ended with {}", sevirt.end));
    }
    faults
}

/// Lines of the script that did not do with libvirtd what the script says they do: such a line would compare nothing.
fn unexpected(lines: &[(u32, Expected)], typed: &Typed) -> Vec<String> {
    let mut faults = Vec::new();
    let mut answered = typed.answers.iter().peekable();
    for (number, expected) in lines {
        let answer = answered.next_if(|answer| answer.line == *number);
        let fault = match (expected, answer) {
            (Expected::Prepares, None) | (Expected::Depends, Some(_)) => continue,
            (Expected::Succeeds, Some(answer)) if answer.exit == 0 => continue,
            (Expected::Fails, Some(answer)) if answer.exit != 0 => continue,
            (_, Some(answer)) => format!("libvirtd: {answer}"),
            (_, None) => format!("libvirtd: line {number} was not answered"),
        };
        faults.push(fault);
    }
    faults
}
