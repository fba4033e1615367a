//! One script of virsh lines, typed against sevirt and against libvirtd with the same bare `virsh`: what the two answer is
//! compared line by line, and every difference is a row of a table that says why.
//!
//! `test_data/virsh/commands.virsh` runs on any machine where libvirt may be started for itself (as root, in namespaces of
//! its own). Rows are written by people.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod differences;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use answers::{Answer, Expected};
use differences::Table;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test_data/virsh");

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
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}\n{told}", daemon.display(), output.status);
    let (answers, end) =
        answers::parse(&String::from_utf8_lossy(&output.stdout), directory.to_str().unwrap());
    Typed { answers, end }
}

/// Directories whose paths are equally long, so that tables of both runs have the same columns.
fn directories() -> [tempfile::TempDir; 2] {
    ["libvirt", "sevirt-"]
        .map(|name| tempfile::Builder::new().prefix(name).rand_bytes(6).tempdir_in("/tmp").unwrap())
}

fn sevirt() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sevirt"))
}

#[test]
fn every_command_answers_as_libvirts_daemon_does_but_for_what_the_table_says() {
    let script = "commands.virsh";
    let lines = answers::script(&std::fs::read_to_string(format!("{DATA}/{script}")).unwrap());
    let [theirs, ours] = directories();
    let (libvirtd, sevirt) = std::thread::scope(|scope| {
        let libvirtd = scope.spawn(|| typed(Path::new("libvirtd"), script, theirs.path()));
        let sevirt = typed(&sevirt(), script, ours.path());
        (libvirtd.join().unwrap(), sevirt)
    });
    let mut faults = unexpected(&lines, &libvirtd);
    let mut table = Table::load();
    faults.extend(table.compare(&libvirtd.answers, &sevirt.answers));
    faults.extend(table.unused("native"));
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
    assert_eq!((libvirtd.end, sevirt.end), (0, 0));
}

/// What commands.virsh leaves out. Here every answer is libvirt's, so that no row of the table is needed.
#[test]
fn options_and_devices_answer_as_with_libvirts_daemon() {
    let script = "options.virsh";
    let lines = answers::script(&std::fs::read_to_string(format!("{DATA}/{script}")).unwrap());
    let [theirs, ours] = directories();
    let (libvirtd, sevirt) = std::thread::scope(|scope| {
        let libvirtd = scope.spawn(|| typed(Path::new("libvirtd"), script, theirs.path()));
        let sevirt = typed(&sevirt(), script, ours.path());
        (libvirtd.join().unwrap(), sevirt)
    });
    let mut faults = unexpected(&lines, &libvirtd);
    faults.extend(Table::load().compare(&libvirtd.answers, &sevirt.answers));
    assert!(faults.is_empty(), "{}\n{} faults", faults.join("\n"), faults.len());
    assert_eq!((libvirtd.end, sevirt.end), (0, 0));
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
