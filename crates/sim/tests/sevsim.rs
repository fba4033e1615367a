//! The `sevsim` program from outside: set-up, serving, and what survives its death.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end at what they do not expect")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};
use std::sync::OnceLock;

use attest::sev::certs::{AmdCertificate, Certificate, Chain, certificate};
use rustix::fs::inotify;
use sim::client::Connection;
use sim::command::{GuestKind, GuestState, PlatformState, PlatformStatus};
use sim::{Command, FirmwareStatus, Handle, Reply};
use tempfile::TempDir;

const SEVSIM: &str = env!("CARGO_BIN_EXE_sevsim");

fn init(state: &Path) -> Output {
    Process::new(SEVSIM).args(["init", "--state-dir"]).arg(state).output().unwrap()
}

fn serve_nowhere(state: &Path) -> Output {
    let mut process = Process::new(SEVSIM);
    process.args(["serve", "--socket", "/nonexistent/socket", "--state-dir"]).arg(state).output().unwrap()
}

/// A directory with a state of its own: a copy of one that was made once, because RSA keys take long.
fn state() -> (TempDir, PathBuf) {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        let output = init(&made.path().join("state"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    });
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(made.path().join("state")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), state.join(entry.file_name())).unwrap();
    }
    (directory, state)
}

/// A running simulator, killed when dropped.
struct Server {
    process: Child,
    socket: PathBuf,
}

impl Server {
    fn start(state: &Path) -> Self {
        let socket = state.with_file_name("sevsim.sock");
        let mut process = Process::new(SEVSIM)
            .args(["serve", "--socket-mode", "660", "--state-dir"])
            .arg(state)
            .arg("--socket")
            .arg(&socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("sevsim: listening on "), "{line}");
        Self { process, socket }
    }

    fn connect(&self) -> Connection {
        Connection::open(&self.socket).unwrap()
    }

    fn signal(&mut self, signal: rustix::process::Signal) -> std::process::ExitStatus {
        let process = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(process, signal).unwrap();
        self.process.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn call(connection: &mut Connection, command: &Command) -> Reply {
    connection.call(command).unwrap().unwrap_or_else(|status| panic!("{command:?}: {status}"))
}

fn platform_status(connection: &mut Connection) -> PlatformStatus {
    match call(connection, &Command::PlatformStatus) {
        Reply::PlatformStatus(status) => status,
        other => panic!("{other:?}"),
    }
}

fn guest(connection: &mut Connection) -> Handle {
    let Reply::Guest(guest) = call(connection, &Command::GuestInit { kind: GuestKind::Sev }) else {
        panic!("no guest")
    };
    call(connection, &Command::LaunchStart { guest, policy: 1, dh_cert: Vec::new(), session: Vec::new() });
    guest
}

fn pdh(connection: &mut Connection) -> Vec<u8> {
    match call(connection, &Command::PdhCertExport) {
        Reply::PdhCertExport { pdh, .. } => pdh,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_set_up_is_private_and_made_once() {
    let (_directory, state) = state();
    let contents = |name: &str| fs::read(state.join(name)).unwrap();
    let names =
        ["ark.key", "ask.key", "chip", "identity", "ark.cert", "ask.cert", "cek.cert", "trust-root.cert"];
    let before = names.map(contents);
    let output = init(&state);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("there is a complete simulated platform"));
    assert_eq!(names.map(contents), before);
    for name in names {
        let expected = if name.ends_with(".cert") { 0o644 } else { 0o600 };
        assert_eq!(state.join(name).metadata().unwrap().mode() & 0o777, expected, "{name}");
    }
}

#[test]
fn an_interrupted_set_up_is_completed() {
    let (_directory, state) = state();
    for name in ["ask.cert", "trust-root.cert", "cek.cert", "identity"] {
        fs::remove_file(state.join(name)).unwrap();
    }
    let refused = serve_nowhere(&state);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("run `sevsim init"));
    assert!(init(&state).status.success());
    let _server = Server::start(&state);
}

#[test]
fn without_openssl_the_command_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::new(SEVSIM);
    process.args(["init", "--state-dir"]).arg(directory.path().join("state")).env("PATH", "/nonexistent");
    let output = process.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096"), "{message}");
}

#[test]
fn damage_is_named() {
    let (_directory, state) = state();
    let mut identity = fs::read(state.join("identity")).unwrap();
    *identity.last_mut().unwrap() ^= 1;
    fs::write(state.join("identity"), identity).unwrap();
    let output = init(&state);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`identity` is damaged: the record's checksum"));
}

#[test]
fn keys_of_different_platforms_do_not_mix() {
    let (_directory, state) = state();
    fs::remove_file(state.join("ark.key")).unwrap();
    let output = init(&state);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`ark.cert` is for other keys"));
}

#[test]
fn the_exported_chain_leads_to_the_trust_root() {
    let (_directory, state) = state();
    let server = Server::start(&state);
    assert_eq!(server.socket.metadata().unwrap().mode() & 0o777, 0o660);
    let mut connection = server.connect();
    let Reply::PdhCertExport { pdh, chain } = call(&mut connection, &Command::PdhCertExport) else {
        panic!("no certificates")
    };
    let trust_root = fs::read(state.join("trust-root.cert")).unwrap();
    let (ask, rest) = AmdCertificate::parse_prefix(&trust_root).unwrap();
    let ark = AmdCertificate::parse(rest).unwrap();
    assert!(ark.key_id().starts_with(b"SIMULATED"));
    let parsed: Vec<_> =
        chain.chunks(certificate::LEN).map(|bytes| Certificate::parse(bytes).unwrap()).collect();
    let [pek, oca, cek] = parsed.try_into().unwrap();
    assert_eq!(fs::read(state.join("cek.cert")).unwrap(), cek.as_bytes());
    let pdh = Certificate::parse(&pdh).unwrap();
    let root = ark.clone();
    Chain { ark, ask, cek, oca, pek, pdh }.verify(&root).unwrap();
}

#[test]
fn a_guest_belongs_to_its_connection() {
    let (_directory, state) = state();
    let server = Server::start(&state);
    let mut first = server.connect();
    let mut second = server.connect();
    let guest = guest(&mut first);
    assert_eq!(platform_status(&mut second).state, PlatformState::Working);
    for command in [Command::GuestStatus { guest }, Command::Decommission { guest }] {
        assert_eq!(second.call(&command).unwrap(), Err(FirmwareStatus::InvalidGuest));
    }
    assert_eq!(first.update_data(guest, &vec![1; 5 * 1024 * 1024]).unwrap(), Ok(()));
    let Reply::GuestStatus(status) = call(&mut first, &Command::GuestStatus { guest }) else {
        panic!("no status")
    };
    assert_eq!(status.state, GuestState::LaunchUpdate);
    drop(first);
    // Its end is noticed by a thread of its own; nothing says when, but for the status.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while platform_status(&mut second).guest_count > 0 {
        assert!(std::time::Instant::now() < deadline, "the guest was not decommissioned");
    }
    assert_eq!(platform_status(&mut second).state, PlatformState::Init);
}

#[test]
fn hostile_bytes_end_one_connection_only() {
    let (_directory, state) = state();
    let server = Server::start(&state);
    let mut healthy = server.connect();
    for bytes in [&[0xff; 64][..], &[2, 0, 0, 0, 1, 200], &[1, 0, 0, 0], &[]] {
        let mut hostile = UnixStream::connect(&server.socket).unwrap();
        hostile.write_all(bytes).unwrap();
        drop(hostile);
        platform_status(&mut healthy);
    }
}

#[test]
fn a_connection_that_failed_stays_failed() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::from(std::os::fd::OwnedFd::from(ours));
    // Two answers, the first of which is none.
    theirs.write_all(&[1, 0, 0, 0, 9]).unwrap();
    let answer = sim::wire::encode_answer(&Ok(Reply::Done));
    sim::wire::write_frame(&mut theirs, &answer).unwrap();
    assert!(connection.call(&Command::PlatformStatus).is_err());
    assert!(connection.call(&Command::PlatformStatus).is_err());
}

/// Whoever sees the socket appear may change its mode at once: nothing changes it after that.
#[test]
fn the_socket_is_born_with_its_mode() {
    let (directory, state) = state();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let changes = inotify::WatchFlags::CREATE | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&watch, directory.path(), changes).unwrap();
    let server = Server::start(&state);
    assert_eq!(fs::metadata(&server.socket).unwrap().mode() & 0o777, 0o660);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    let mut seen = Vec::new();
    while let Ok(event) = reader.next() {
        if event.file_name() == Some(c"sevsim.sock") {
            seen.push(event.events());
        }
    }
    assert_eq!(seen, [inotify::ReadFlags::CREATE]);
}

#[test]
fn a_stop_removes_the_socket() {
    let (_directory, state) = state();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut server = Server::start(&state);
        let _connection = server.connect();
        assert_eq!(server.signal(signal).code(), Some(0));
        assert!(!server.socket.exists());
    }
}

#[test]
fn renewed_keys_outlive_a_kill() {
    let (_directory, state) = state();
    let mut server = Server::start(&state);
    let before = pdh(&mut server.connect());
    call(&mut server.connect(), &Command::PdhGen);
    let renewed = pdh(&mut server.connect());
    assert_ne!(renewed, before);
    server.signal(rustix::process::Signal::KILL);
    // The stale socket is replaced.
    let mut server = Server::start(&state);
    assert_eq!(pdh(&mut server.connect()), renewed);
    assert_eq!(server.signal(rustix::process::Signal::TERM).code(), Some(0));
}

#[test]
fn keys_that_cannot_be_stored_are_not_used() {
    let (_directory, state) = state();
    let server = Server::start(&state);
    let mut connection = server.connect();
    let before = pdh(&mut connection);
    // What a write would make first is in the way, and is not a file.
    let obstacle = state.join(".identity.new");
    fs::create_dir(&obstacle).unwrap();
    assert_eq!(connection.call(&Command::PdhGen).unwrap(), Err(FirmwareStatus::HwErrorPlatform));
    assert_eq!(connection.call(&Command::FactoryReset).unwrap(), Err(FirmwareStatus::HwErrorPlatform));
    assert_eq!(pdh(&mut connection), before);
    fs::remove_dir(&obstacle).unwrap();
    call(&mut connection, &Command::PdhGen);
    assert_ne!(pdh(&mut connection), before);
}

/// Kills the simulator in the middle of renewing keys, again and again: the state it leaves is whole, with the last keys that
/// were told to anyone, or the ones after.
#[test]
fn a_kill_at_any_instant_leaves_old_or_new_keys() {
    let (_directory, state) = state();
    for round in 0..20_u32 {
        let mut server = Server::start(&state);
        let mut connection = server.connect();
        let mut renewing = server.connect();
        let renewer = std::thread::spawn(move || while let Ok(Ok(_)) = renewing.call(&Command::PdhGen) {});
        let mut last_told = Vec::new();
        for _ in 0..=round % 7 {
            last_told = pdh(&mut connection);
        }
        server.signal(rustix::process::Signal::KILL);
        renewer.join().unwrap();
        assert_eq!(last_told.len(), certificate::LEN);
        // Loading verifies the whole chain.
        assert!(init(&state).status.success(), "round {round}");
    }
}

#[test]
fn one_simulator_has_a_state_directory() {
    let (_directory, state) = state();
    let _server = Server::start(&state);
    let output = serve_nowhere(&state);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another sevsim"));
}

#[test]
fn the_help_says_what_it_is() {
    let output = Process::new(SEVSIM).arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("simulator"), "{help}");
    assert!(help.contains("Nothing trusts these keys"), "{help}");
}
