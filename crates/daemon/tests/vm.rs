//! The supervisor with real processes: QEMU where a guest is needed, small scripts where QEMU misbehaves. Each test
//! ends by looking for what may have been left behind.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::isolate::Confinement;
use daemon::vm::{
    Console, End, ExitKind, Foreground, Goals, Life, Milestone, Notice, Outcome, Request, Resume, RunDir,
    Stopper, run,
};
use tokio::sync::mpsc;

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Self { directory }
    }

    fn guests(&self) -> PathBuf {
        self.directory.path().join("guests")
    }

    fn script(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("qemu-system-x86_64");
        fs::write(&path, format!("#!/bin/sh\necho $$ > {}\n{text}\n", self.pid_file().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    fn request(&self, emulator: &Path, more: &[&str]) -> Request {
        let run_dir = RunDir::create(&self.guests(), "test").unwrap();
        let listener = run_dir.listen().unwrap();
        let monitor = format!("socket,id=charmonitor,fd={},server=on,wait=off", listener.as_raw_fd());
        let fixed = ["-name", "guest=test", "-S", "-no-user-config", "-nodefaults", "-display", "none"];
        let qmp = ["-chardev", monitor.as_str(), "-mon", "chardev=charmonitor,mode=control"];
        let arguments = fixed.iter().chain(&qmp).chain(more).map(OsString::from).collect();
        Request {
            emulator: emulator.to_owned(),
            arguments,
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            files: vec![(run_dir.path().join("session.base64"), b"c2Vzc2lvbg==".to_vec())],
            run_dir,
            listener,
            inherited: Vec::new(),
            memory_lock: None,
            group: None,
            confinement: Confinement::default(),
            goals: Goals { confidential: false, attest: false, resume: Resume::Yes, life: Life::Foreground },
            owner: None,
            console: None,
            timeout: Some(Duration::from_secs(60)),
            log: None,
        }
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(fs::read_dir(self.guests()).unwrap().count(), 0, "a run directory stays behind");
        if let Ok(pid) = fs::read_to_string(self.pid_file()) {
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "QEMU stays behind");
        }
    }
}

fn wait(request: Request) -> (Outcome, Vec<Milestone>) {
    let mut told = Vec::new();
    let outcome = Foreground::new().unwrap().run(request, &mut |notice| {
        if let Notice::Milestone(milestone) = notice {
            told.push(milestone);
        }
    });
    (outcome, told)
}

#[test]
fn an_emulator_that_is_not_there_is_named() {
    let place = Place::new();
    let (outcome, _) = wait(place.request(Path::new("/nonexistent/qemu"), &[]));
    let End::CannotStart(reason) = &outcome.end else { panic!("{outcome:?}") };
    assert!(reason.starts_with("start `/nonexistent/qemu`: No such file"), "{reason}");
    place.nothing_is_left();
}

#[test]
fn a_qemu_that_dies_at_once_is_explained_by_its_last_words() {
    let place = Place::new();
    let emulator = place.script("echo 'qemu: the disk is on fire' >&2; exit 1");
    let (outcome, told) = wait(place.request(&emulator, &[]));
    assert_eq!(outcome.end, End::RefusedToStart(ExitKind::Code(1)));
    assert_eq!(outcome.end.exit_code(), 4);
    assert_eq!(outcome.last_words, ["qemu: the disk is on fire"]);
    assert_eq!(told, [Milestone::Spawned]);
    place.nothing_is_left();
}

#[test]
fn a_qemu_that_is_killed_is_told_from_one_that_refuses() {
    let place = Place::new();
    let emulator = place.script("kill -ABRT $$");
    let (outcome, _) = wait(place.request(&emulator, &[]));
    assert_eq!(outcome.end, End::RefusedToStart(ExitKind::Signal(6)));
    assert_eq!(outcome.end.exit_code(), 7);
    place.nothing_is_left();
}

#[test]
fn a_qemu_that_never_opens_qmp_is_given_up() {
    let place = Place::new();
    let emulator = place.script("trap '' TERM; while :; do read x </dev/zero; done");
    let mut request = place.request(&emulator, &[]);
    request.timeout = Some(Duration::from_millis(300));
    let (stop, mut stopped) = mpsc::channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(run(request, &mut stopped, &mut |notice| {
        // It ignores SIGTERM; a second request to stop does not wait for that to be noticed.
        if matches!(notice, Notice::Milestone(Milestone::Stopping)) {
            stop.try_send(Stopper::Command).unwrap();
        }
    }));
    assert_eq!(outcome.end, End::TimedOut("the guest did not end in time".into()));
    assert_eq!(outcome.end.exit_code(), 6);
    place.nothing_is_left();
}

#[test]
fn a_qemu_that_talks_nonsense_is_ended() {
    let place = Place::new();
    let emulator = place.directory.path().join("qemu.py");
    let text = "#!/usr/bin/python3\nimport socket, sys, time\n\
        fd = int([a for a in sys.argv if 'fd=' in a][0].split('fd=')[1].split(',')[0])\n\
        s = socket.socket(fileno=fd)\nc = s.accept()[0]\nc.sendall(b'HTTP/1.1 400 Bad Request\\r\\n')\n\
        c.recv(100)\ntime.sleep(60)\n";
    fs::write(&emulator, text).unwrap();
    fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).unwrap();
    let (outcome, _) = wait(place.request(&emulator, &[]));
    assert_eq!(outcome.end, End::CannotStart("QMP message is not JSON".into()));
    place.nothing_is_left();
}

#[test]
fn qemus_own_refusal_is_passed_on() {
    let place = Place::new();
    let (outcome, _) =
        wait(place.request(Path::new(QEMU), &["-machine", "q35,accel=tcg", "-device", "warp-drive"]));
    assert_eq!(outcome.end.exit_code(), 4);
    assert!(outcome.last_words.iter().any(|line| line.contains("warp-drive")), "{outcome:?}");
    place.nothing_is_left();
}

#[test]
fn a_guest_runs_until_it_is_stopped_and_its_console_is_kept() {
    let place = Place::new();
    let log = place.directory.path().join("console.log");
    let mut request = place.request(
        Path::new(QEMU),
        &[
            "-machine",
            "q35,accel=tcg",
            "-chardev",
            "pty,id=charserial0",
            "-device",
            "isa-serial,chardev=charserial0",
        ],
    );
    request.console = Some(Console::path(&log).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stop, mut stopped) = mpsc::channel(2);
    let mut told = Vec::new();
    let outcome = runtime.block_on(run(request, &mut stopped, &mut |notice| match notice {
        Notice::Milestone(milestone) => {
            if milestone == Milestone::Resumed {
                stop.try_send(Stopper::Signal(15)).unwrap();
            }
            told.push(milestone);
        }
        Notice::Console(console) => assert!(console.is_some_and(|c| c.pty.starts_with("/dev/pts"))),
        Notice::Heard(_) => {}
    }));
    assert_eq!(outcome.end, End::Stopped(Stopper::Signal(15)));
    assert_eq!(outcome.end.exit_code(), 128 + 15);
    let expected = [
        Milestone::Spawned,
        Milestone::Greeted,
        Milestone::Ready(None),
        Milestone::Resumed,
        Milestone::Stopping,
    ];
    assert_eq!(told, expected);
    assert!(log.exists());
    place.nothing_is_left();
}

#[test]
fn a_guest_that_must_be_encrypted_and_is_not_does_not_run() {
    let place = Place::new();
    let mut request = place.request(Path::new(QEMU), &["-machine", "q35,accel=tcg"]);
    request.goals.confidential = true;
    let (outcome, told) = wait(request);
    assert_eq!(outcome.end, End::CannotStart("QEMU started the guest without memory encryption".into()));
    assert!(!told.contains(&Milestone::Resumed));
    place.nothing_is_left();
}

#[test]
fn a_guest_that_must_be_attested_and_cannot_be_does_not_run() {
    let place = Place::new();
    let mut request = place.request(Path::new(QEMU), &["-machine", "none,accel=tcg"]);
    // Nobody is there to accept anything.
    request.goals.attest = true;
    let (outcome, told) = wait(request);
    assert!(matches!(outcome.end, End::AttestationFailed(_)), "{outcome:?}");
    assert!(!told.contains(&Milestone::Resumed), "{told:?}");
    place.nothing_is_left();
}

#[test]
fn a_guest_that_is_to_stay_paused_ends_well_and_never_runs() {
    let place = Place::new();
    let mut request = place.request(Path::new(QEMU), &["-machine", "q35,accel=tcg"]);
    request.goals.resume = Resume::StayPaused;
    let (outcome, told) = wait(request);
    assert_eq!(outcome.end, End::StayedPaused);
    assert_eq!(outcome.end.exit_code(), 0);
    assert!(!told.contains(&Milestone::Resumed));
    place.nothing_is_left();
}

#[test]
fn a_console_that_is_asked_for_must_be_there() {
    let place = Place::new();
    let mut request = place.request(Path::new(QEMU), &["-machine", "q35,accel=tcg"]);
    request.console = Some(Console::path(&place.directory.path().join("log")).unwrap());
    let (outcome, _) = wait(request);
    let expected = "the domain has no serial port or console of type `pty`";
    assert_eq!(outcome.end, End::CannotStart(expected.into()));
    place.nothing_is_left();
}

#[test]
fn memory_that_may_not_be_locked_is_refused_before_qemu_runs() {
    let place = Place::new();
    let mut request = place.request(Path::new(QEMU), &["-machine", "none"]);
    request.memory_lock = Some(daemon::vm::MemoryLock::Unlimited);
    request.goals.resume = Resume::StayPaused;
    let (outcome, _) = wait(request);
    match &outcome.end {
        // Where this user may lock as much as they like.
        End::StayedPaused => {}
        End::CannotStart(reason) => assert!(reason.contains("RLIMIT_MEMLOCK"), "{reason}"),
        other => panic!("{other:?}"),
    }
    place.nothing_is_left();
}

#[test]
fn a_dropped_supervisor_leaves_nothing() {
    let place = Place::new();
    let emulator = place.script("while :; do read x </dev/zero; done");
    let request = place.request(&emulator, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_stop, mut stopped) = mpsc::channel(1);
    let given_up = runtime.block_on(async {
        tokio::time::timeout(Duration::from_millis(300), run(request, &mut stopped, &mut |_| {})).await
    });
    assert!(given_up.is_err());
    place.nothing_is_left();
}
