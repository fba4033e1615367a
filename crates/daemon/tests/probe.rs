//! The probe against the installed QEMU, and against programs that are none.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use daemon::probe::{Accelerator, FOR_A_START, Inquiry, Memory, ProbeError, ask, caps};
use qemu::{Caps, caps::Part};

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
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "a temporary file stays behind");
}

/// A QEMU that counts its starts, and the file of its answers.
struct Counted {
    directory: tempfile::TempDir,
    emulator: PathBuf,
}

impl Counted {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let starts = directory.path().join("starts");
        let emulator = script(directory.path(), &format!("echo >> {}; exec {QEMU} \"$@\"", starts.display()));
        Self { directory, emulator }
    }

    fn starts(&self) -> usize {
        fs::read_to_string(self.directory.path().join("starts")).map_or(0, |text| text.lines().count())
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn ask(&self, accelerator: Accelerator, parts: &[Part]) -> Caps {
        Inquiry { emulator: &self.emulator, accelerator, parts }.remembered(Some(&self.cache())).unwrap()
    }
}

#[test]
fn what_is_not_the_whole_file_is_not_used() {
    let counted = Counted::new();
    let whole = counted.ask(Accelerator::Kvm, &[]);
    let file = fs::read_dir(counted.cache()).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    let body = bytes.len() / 2;
    let mut flipped = bytes.clone();
    flipped[body] ^= 1;
    // Cut anywhere, what a crash can leave, one bit that is not as it was, a directory in its place.
    let mut damages = vec![flipped, vec![0; bytes.len()], Vec::new(), [bytes.as_slice(), b" "].concat()];
    damages.extend([1, 200, body, bytes.len() - 1].map(|length| bytes[..length].to_vec()));
    for (number, damage) in damages.into_iter().enumerate() {
        fs::write(&file, damage).unwrap();
        assert_eq!(counted.ask(Accelerator::Kvm, &[]), whole);
        assert_eq!(counted.starts(), number + 2, "damage {number} was used");
        assert_eq!(fs::read(&file).unwrap(), bytes, "damage {number} was not mended");
    }
    let starts = counted.starts();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(counted.ask(Accelerator::Kvm, &[]), whole);
    assert_eq!(counted.starts(), starts + 1, "a file that others can write was used");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(counted.ask(Accelerator::Kvm, &[]), whole);
}

#[test]
fn writers_at_the_same_time_leave_one_whole_file() {
    let counted = Counted::new();
    let whole = counted.ask(Accelerator::Kvm, &[]);
    let cache = counted.cache();
    let file = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    // Someone takes the file away all the time.
                    let _ = fs::remove_file(&file);
                    assert_eq!(counted.ask(Accelerator::Kvm, &[]), whole);
                }
            });
        }
    });
    let starts = counted.starts();
    assert_eq!(counted.ask(Accelerator::Kvm, &[]), whole);
    assert!(counted.starts() <= starts + 1);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "a temporary file stays behind");
}

#[test]
fn what_a_writer_that_died_has_left_is_taken_away_in_time() {
    let counted = Counted::new();
    let (old, new) = (counted.cache().join(".unfinished-old"), counted.cache().join(".unfinished-new"));
    fs::create_dir(counted.cache()).unwrap();
    fs::write(&new, "").unwrap();
    let file = fs::File::create(&old).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    counted.ask(Accelerator::Kvm, &[]);
    assert!(!old.exists() && new.exists());
}

#[test]
fn what_is_known_is_not_asked_again_and_not_forgotten() {
    let counted = Counted::new();
    counted.ask(Accelerator::Kvm, &[Part::Signatures]);
    let wide = counted.ask(Accelerator::Kvm, &[Part::Extent]);
    assert_eq!(counted.starts(), 2);
    assert!(wide.holds(Part::Signatures) && wide.holds(Part::Extent));
    counted.ask(Accelerator::Kvm, &[Part::Signatures]);
    counted.ask(Accelerator::Kvm, &[]);
    assert_eq!(counted.starts(), 2);
}

#[test]
fn each_accelerator_has_its_own_answers() {
    let counted = Counted::new();
    let usual = counted.ask(Accelerator::Kvm, &[]);
    let tcg = counted.ask(Accelerator::Tcg, &[]);
    assert!(!tcg.kvm.enabled);
    // Where there is no KVM, the first start has told TCG's already.
    assert_eq!(counted.starts(), if usual.kvm.enabled { 2 } else { 1 });
    assert_eq!(counted.ask(Accelerator::Tcg, &[]), tcg);
    assert_eq!(counted.ask(Accelerator::Kvm, &[]), usual);
    assert_eq!(counted.starts(), if usual.kvm.enabled { 2 } else { 1 });
}

#[test]
fn an_answer_from_while_the_host_changed_is_not_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    // The binary itself changes while it is asked.
    let text = format!("touch \"$0\"; exec {QEMU} \"$@\"");
    let emulator = script(directory.path(), &text);
    caps(&emulator, Some(&cache)).unwrap();
    assert!(!cache.exists());
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

#[test]
fn callers_that_come_together_share_one_start() {
    let directory = tempfile::tempdir().unwrap();
    let starts = directory.path().join("starts");
    let text = format!("echo >> {}; exec {QEMU} \"$@\"", starts.display());
    let emulator = script(directory.path(), &text);
    let count = || fs::read_to_string(&starts).unwrap().lines().count();
    let memory = Memory::new(None);
    let ask = |parts: &[Part]| memory.caps(&emulator, Accelerator::Kvm, parts).unwrap();

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ask(FOR_A_START));
        }
    });
    assert_eq!(count(), 1);
    // What more is asked for takes one more start, and what was known stays.
    let more = ask(&[Part::Extent]);
    assert!(more.holds(Part::Extent) && more.holds(Part::Signatures));
    assert_eq!(ask(FOR_A_START), more);
    assert_eq!(count(), 2);

    // A look counts for a moment.
    script(directory.path(), &format!("{text} # another"));
    let change = Instant::now();
    while count() == 2 {
        ask(FOR_A_START);
        assert!(change.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(count(), 3);
}
