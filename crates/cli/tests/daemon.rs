//! `sevirt daemon` as systemd and its administrator see it: sockets that are passed, readiness, signals, the log, and
//! `--check-config`.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rpc::client::{CallError, Received};
use rpc::error::Code;
use rpc::remote::connect::OpenArgs;
use rpc::remote::procedure as call;
use rpc::{Client, Method, RemoteError};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const SEVIRT: &str = env!("CARGO_BIN_EXE_sevirt");

/// A daemon that tells the test about itself as it would tell systemd.
struct Daemon {
    directory: TempDir,
    notified: UnixDatagram,
    child: Option<Child>,
}

impl Daemon {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Whoever runs the tests may do everything.
        let user = rustix::process::geteuid().as_raw();
        let text = format!("[socket]\ngroup = \"\"\n[allow]\nwrite = [\"{user}\"]\n{config}");
        fs::write(directory.path().join("sevirtd.toml"), text).unwrap();
        let notified = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        notified.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { directory, notified, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets up what both ways of starting share.
    fn spawn(&mut self, mut command: Command) {
        let log = fs::File::create(self.path("log")).unwrap();
        command.env("NOTIFY_SOCKET", self.path("notify")).env_remove("JOURNAL_STREAM").stderr(log);
        self.child = Some(command.spawn().unwrap());
        assert_eq!(self.told(), "READY=1");
    }

    fn start(&mut self) {
        let mut command = Command::new(SEVIRT);
        command.arg("daemon").arg("--state-dir").arg(self.directory.path());
        self.spawn(command);
    }

    /// With two sockets, as systemd passes them.
    fn start_with(&mut self, full: UnixListener, read_only: UnixListener) {
        const PASS: &str = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=sevirtd:sevirtd-ro \
                            exec \"$0\" daemon --state-dir \"$1\" 3<&0 4<&1 0</dev/null 1>/dev/null";
        let mut command = Command::new("sh");
        command.arg("-c").arg(PASS).arg(SEVIRT).arg(self.directory.path());
        command.stdin(Stdio::from(OwnedFd::from(full))).stdout(Stdio::from(OwnedFd::from(read_only)));
        self.spawn(command);
    }

    /// The first line of what it tells systemd next.
    fn told(&self) -> String {
        let mut buffer = [0; 256];
        let length = self.notified.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap().to_owned()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.told(), "STOPPING=1");
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Connection {
    socket: UnixStream,
    client: Client,
}

impl Connection {
    fn open(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut connection = Self { socket, client: Client::new() };
        let args = OpenArgs { name: None, flags: 0 };
        connection.call::<call::ConnectOpen, _>(&args, |()| ()).unwrap();
        connection
    }

    fn call<M: Method, T>(
        &mut self,
        arguments: &M::Args<'_>,
        keep: impl FnOnce(M::Reply<'_>) -> T,
    ) -> Result<T, Box<RemoteError<'static>>> {
        let (_, bytes) = self.client.call::<M>(arguments).unwrap();
        self.socket.write_all(&bytes).unwrap();
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "the daemon hung up");
            match self.client.push(&buffer[..length]).unwrap() {
                Some(Received::Reply { message, .. }) => {
                    return match Client::reply::<M>(&message) {
                        Ok(reply) => Ok(keep(reply)),
                        Err(CallError::Refused(error)) => Err(error),
                        Err(error) => panic!("{error:?}"),
                    };
                }
                None => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn sockets_that_systemd_passes_are_served_and_left() {
    let mut daemon = Daemon::new("");
    let (full, read_only) = (daemon.path("by-systemd"), daemon.path("by-systemd-ro"));
    daemon.start_with(UnixListener::bind(&full).unwrap(), UnixListener::bind(&read_only).unwrap());
    assert!(!daemon.path("run/sevirt-sock").exists());
    let missing = "none".into();
    let mut client = Connection::open(&full);
    let error = client.call::<call::DomainLookupByName, _>(&missing, |_| ()).unwrap_err();
    assert_eq!(error.code, Code::NO_DOMAIN);
    let mut client = Connection::open(&read_only);
    let error = client.call::<call::DomainDefineXml, _>(&"<domain/>".into(), |_| ()).unwrap_err();
    assert_eq!(error.code, Code::OPERATION_DENIED);
    daemon.stop();
    assert!(full.exists() && read_only.exists());
}

#[test]
fn signals_reload_and_stop() {
    let mut daemon = Daemon::new("[log]\nformat = \"json\"\n");
    daemon.start();
    let socket = daemon.path("run/sevirt-sock");
    Connection::open(&socket);
    daemon.signal(Signal::HUP);
    assert_eq!([daemon.told(), daemon.told()], ["RELOADING=1", "READY=1"]);
    // A configuration with faults leaves what was in force.
    fs::write(daemon.path("sevirtd.toml"), "[allow]\nwrite = 1\n").unwrap();
    daemon.signal(Signal::HUP);
    assert_eq!([daemon.told(), daemon.told()], ["RELOADING=1", "READY=1"]);
    Connection::open(&socket);
    daemon.stop();
    assert!(!socket.exists());
    let log = daemon.log();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |level: &str, words: &str| {
        lines.iter().any(|line| {
            line["level"] == level && line["message"].as_str().is_some_and(|message| message.contains(words))
        })
    };
    assert!(said("INFO", "listening") && said("INFO", "read again") && said("INFO", "stopped"), "{log}");
    assert!(said("ERROR", "not read again"), "{log}");
    assert!(log.contains("line 2: allow.write"), "{log}");
}

#[test]
fn the_journal_is_given_priorities() {
    let mut daemon = Daemon::new("");
    let mut command = Command::new(SEVIRT);
    command.arg("daemon").arg("--state-dir").arg(daemon.directory.path());
    let log = fs::File::create(daemon.path("log")).unwrap();
    command.env("NOTIFY_SOCKET", daemon.path("notify")).env("JOURNAL_STREAM", "8:1").stderr(log);
    daemon.child = Some(command.spawn().unwrap());
    assert_eq!(daemon.told(), "READY=1");
    daemon.stop();
    let log = daemon.log();
    assert!(log.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{log}");
    assert!(log.contains("<6>stopped"), "{log}");
}

#[test]
fn a_second_daemon_says_who_the_first_is() {
    let mut daemon = Daemon::new("");
    daemon.start();
    let second = sevirt(&["daemon", "--state-dir", daemon.directory.path().to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    let pid = daemon.child.as_ref().unwrap().id();
    assert!(said.contains(&format!("(pid {pid})")), "{said}");
    Connection::open(&daemon.path("run/sevirt-sock"));
    daemon.stop();
}

fn sevirt(arguments: &[&str]) -> Output {
    Command::new(SEVIRT).args(arguments).env_remove("JOURNAL_STREAM").output().unwrap()
}

#[test]
fn check_config_prints_what_is_in_force_or_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        sevirt(&["daemon", "--check-config", "--config", file.to_str().unwrap()])
    };
    let good = check("[limits]\nclients = 7\n");
    assert!(good.status.success());
    let shown = String::from_utf8(good.stdout).unwrap();
    assert!(shown.contains("\nclients = 7\n") && shown.contains("\nmode = \"0660\"\n"), "{shown}");
    // It is itself a configuration that says the same.
    assert_eq!(String::from_utf8(check(&shown).stdout).unwrap(), shown);
    let bad = check("[limits]\n\nclient = 7\n");
    assert_eq!(bad.status.code(), Some(2));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(said.contains("line 3: [limits] has no key `client`"), "{said}");
    let missing = sevirt(&["daemon", "--check-config", "--config", "/nonexistent/a.toml"]);
    assert_eq!(missing.status.code(), Some(2));
}

/// libvirt's client tells the server of a user's session with flags that root's never has.
#[test]
fn a_users_own_daemon_serves_an_unmodified_virsh() {
    const USER: u32 = 65534;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let is_root = rustix::process::geteuid().is_root();
    let as_user = |program: &Path| {
        let mut command = Command::new(program);
        if is_root {
            command.uid(USER).gid(USER);
        }
        command.current_dir(directory.path()).env("XDG_RUNTIME_DIR", directory.path());
        for (name, place) in [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")] {
            command.env(name, at(place));
        }
        command.env("XDG_CACHE_HOME", at("cache"));
        command
    };
    // The one that was built may lie where only root looks.
    let program = at("bin");
    fs::copy(SEVIRT, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    if is_root {
        chown(directory.path(), Some(USER), Some(USER)).unwrap();
    }

    let notified = UnixDatagram::bind(at("notify")).unwrap();
    fs::set_permissions(at("notify"), fs::Permissions::from_mode(0o777)).unwrap();
    notified.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut daemon = as_user(&program);
    daemon.args(["daemon", "--session"]).env("NOTIFY_SOCKET", at("notify"));
    let log = fs::File::create(at("log")).unwrap();
    let mut daemon = daemon.stderr(log).spawn().unwrap();
    let ready = notified.recv(&mut [0; 256]);

    let domain = "<domain type='qemu'><name>mine</name><memory unit='MiB'>64</memory>\
                  <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>";
    fs::write(at("mine.xml"), domain).unwrap();
    let uri = format!("qemu+unix:///session?socket={}", at("sevirt/sevirt-sock").display());
    let lines = ["define mine.xml", "start mine", "domstate mine", "destroy mine", "undefine mine"];
    let said = lines.map(|line| {
        let typed = as_user(Path::new("virsh")).args(["-c", &uri]).args(line.split(' ')).output();
        let typed = typed.unwrap();
        let text = [typed.stdout, typed.stderr].concat();
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    let log = fs::read_to_string(at("log")).unwrap();
    ready.unwrap_or_else(|error| panic!("{error}\n{log}"));
    let expected = [
        "Domain 'mine' defined from mine.xml",
        "Domain 'mine' started",
        "running",
        "Domain 'mine' destroyed",
        "Domain 'mine' has been undefined",
    ];
    assert_eq!(said, expected, "{log}");
}
