//! The probe against the installed QEMU, and against programs that are none.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use daemon::probe::{ProbeError, ask, caps};

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("qemu-system-x86_64");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn the_installed_qemu_says_what_it_can_do() {
    let caps = ask(Path::new(QEMU)).unwrap();
    assert!(caps.at_least(7, 0), "{}", caps.version);
    assert_eq!(caps.target, "x86_64");
    assert!(caps.machine("q35").unwrap().name.starts_with("pc-q35-"));
    assert!(caps.cpu_model("EPYC-v4").is_some());
    assert!(caps.has("sev-guest") && caps.has("virtio-rng-pci"));
    // Which of the two depends on the machine; a refusal has its reason.
    assert!(!caps.sev.is_err_and(|reason| reason.is_empty()));
}

#[test]
fn answers_that_are_read_late_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    // QEMU's answers are more than a pipe holds.
    let emulator = script(directory.path(), &format!("{QEMU} \"$@\" | (sleep 0.5; exec cat)"));
    let caps = ask(&emulator).unwrap();
    assert_eq!(caps, ask(Path::new(QEMU)).unwrap());
}

#[test]
fn an_answer_is_remembered_until_the_binary_changes() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let starts = directory.path().join("starts");
    let text = format!("echo >> {}; exec {QEMU} \"$@\"", starts.display());
    let emulator = script(directory.path(), &text);
    let count = || fs::read_to_string(&starts).unwrap().lines().count();

    let first = caps(&emulator, Some(&cache)).unwrap();
    assert_eq!(caps(&emulator, Some(&cache)).unwrap(), first);
    assert_eq!(count(), 1);

    script(directory.path(), &format!("{text} # another"));
    assert_eq!(caps(&emulator, Some(&cache)).unwrap(), first);
    assert_eq!(count(), 2);

    let file = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "{\"format\":1").unwrap();
    assert_eq!(caps(&emulator, Some(&cache)).unwrap(), first);
    assert_eq!(count(), 3);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "a temporary file stays behind");
}

#[test]
fn a_remembered_answer_is_fast() {
    let directory = tempfile::tempdir().unwrap();
    caps(Path::new(QEMU), Some(directory.path())).unwrap();
    let mut times: Vec<_> = (0..15)
        .map(|_| {
            let start = Instant::now();
            caps(Path::new(QEMU), Some(directory.path())).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    // Generous: this is a debug build on a busy machine. `make bench` holds the real target.
    assert!(times[7].as_millis() < 40, "{:?}", times[7]);
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let emulator = script(directory.path(), text);
    let error = ask(&emulator).unwrap_err().to_string();
    assert_eq!(error.replace(emulator.to_str().unwrap(), "QEMU"), expected);
}

#[test]
fn what_is_no_qemu_is_named_with_its_last_words() {
    fails("echo broken by hand >&2; exit 1", "`QEMU` ended instead of answering: broken by hand");
    fails("exit 0", "`QEMU` ended instead of answering");
    fails("read line; echo hello", "`QEMU` does not speak QMP");
    let missing = ask(Path::new("/nonexistent/qemu")).unwrap_err();
    assert!(
        matches!(missing, ProbeError::Start(reason) if reason.starts_with("start `/nonexistent/qemu`: No such"))
    );
}
