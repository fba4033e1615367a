//! A daemon of the test's own, in a thread, and connections to it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use daemon::config::Config;
use daemon::server::{Command, Server, ServerError};
use daemon::service::Paths;
use rpc::client::{CallError, Received};
use rpc::packet::{Kind, Status};
use rpc::remote::connect::OpenArgs;
use rpc::remote::procedure as call;
use rpc::{Client, Header, Message, Method, Program, RemoteError, keepalive};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Tests that measure this process's memory run alone; all others beside one another.
static GATE: RwLock<()> = RwLock::new(());

#[expect(dead_code, reason = "held for what dropping it does")]
enum Gate {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// Serves until it is dropped.
pub(crate) struct Daemon {
    directory: Option<TempDir>,
    paths: Paths,
    commands: mpsc::UnboundedSender<Command>,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
    _gate: Gate,
}

impl Daemon {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// With no other test beside it.
    pub(crate) fn alone() -> Self {
        let gate = Gate::Alone(GATE.write().unwrap_or_else(PoisonError::into_inner));
        Self::start_behind(gate, tempfile::tempdir().unwrap(), "")
    }

    pub(crate) fn start_in(directory: TempDir, config: &str) -> Self {
        let gate = Gate::Shared(GATE.read().unwrap_or_else(PoisonError::into_inner));
        Self::start_behind(gate, directory, config)
    }

    fn start_behind(gate: Gate, directory: TempDir, config: &str) -> Self {
        let paths = Paths::below(directory.path(), true);
        // Whoever runs the tests may do everything, and no group of this machine matters.
        let user = rustix::process::geteuid().as_raw();
        let mut parsed = Config::parse(config, true).unwrap();
        parsed.socket.group = String::new();
        if !config.contains("[allow]") {
            parsed.allow.write = vec![daemon::config::Who::User(user.to_string())];
        }
        let server = Server::open(paths.clone(), parsed).unwrap();
        let (commands, mut next) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(server.serve(async || next.recv().await.unwrap_or(Command::Stop), |_| {}))
        });
        Self { directory: Some(directory), paths, commands, thread: Some(thread), _gate: gate }
    }

    pub(crate) fn paths(&self) -> Paths {
        self.paths.clone()
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(&self.paths.config, text).unwrap();
    }

    pub(crate) fn tell(&self, command: Command) {
        self.commands.send(command).unwrap();
    }

    /// Stops it, and returns what is left.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        self.directory.take().unwrap()
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.commands.send(Command::Stop);
            thread.join().unwrap().unwrap();
        }
    }

    pub(crate) fn socket(&self) -> UnixStream {
        let socket = UnixStream::connect(self.paths.socket()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.socket())
    }

    pub(crate) fn read_only(&self) -> Connection {
        let socket = UnixStream::connect(self.paths.read_only_socket()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Connection::new(socket)
    }

    pub(crate) fn opened(&self) -> Connection {
        let mut client = self.connect();
        client.open();
        client
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.end();
        }
    }
}

/// What a daemon said.
#[derive(Debug)]
pub(crate) enum Heard {
    Reply(Message),
    Event(rpc::remote::Procedure, Message),
    Stream(Message),
    Ping,
    Pong,
    Closed,
}

pub(crate) struct Connection {
    pub(crate) socket: UnixStream,
    client: Client,
}

impl Connection {
    fn new(socket: UnixStream) -> Self {
        Self { socket, client: Client::new() }
    }

    pub(crate) fn open(&mut self) {
        self.call::<call::ConnectOpen, _>(&open_args(0), |()| ()).unwrap();
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn encode<M: Method>(&mut self, arguments: &M::Args<'_>) -> Vec<u8> {
        self.client.call::<M>(arguments).unwrap().1
    }

    /// Makes a call and waits for its results, of which `keep` says what is wanted.
    pub(crate) fn call<M: Method, T>(
        &mut self,
        arguments: &M::Args<'_>,
        keep: impl FnOnce(M::Reply<'_>) -> T,
    ) -> Result<T, Box<RemoteError<'static>>> {
        let bytes = self.encode::<M>(arguments);
        self.write(&bytes);
        match Client::reply::<M>(&self.answer()) {
            Ok(reply) => Ok(keep(reply)),
            Err(CallError::Refused(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) fn raw(
        &mut self,
        program: Program,
        procedure: i32,
        arguments: &[u8],
    ) -> Result<Message, Box<RemoteError<'static>>> {
        let (_, bytes) = self.client.call_raw(program, procedure, arguments).unwrap();
        self.write(&bytes);
        let message = self.answer();
        match message.header.status {
            Status::Error => Err(Box::new(message.decode::<RemoteError<'_>>().unwrap().into_owned())),
            _ => Ok(message),
        }
    }

    /// The next answer; events may come before it.
    fn answer(&mut self) -> Message {
        loop {
            match self.hear() {
                Heard::Reply(message) => return message,
                Heard::Event(..) | Heard::Ping => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The daemon answers.
    pub(crate) fn ping(&mut self) {
        self.write(&keepalive::Procedure::Ping.packet());
        while !matches!(self.hear(), Heard::Pong) {}
    }

    pub(crate) fn hear(&mut self) -> Heard {
        let mut buffer = vec![0; 64 << 10];
        let mut next = self.client.push(&[]).unwrap();
        loop {
            match next {
                Some(Received::Reply { message, .. }) => return Heard::Reply(message),
                Some(Received::Event { procedure, message }) => return Heard::Event(procedure, message),
                Some(Received::Stream { message, .. }) => return Heard::Stream(message),
                Some(Received::Ping) => return Heard::Ping,
                Some(Received::Pong) => return Heard::Pong,
                Some(Received::Other(message)) => panic!("{:?}", message.header),
                None => {}
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Heard::Closed,
                Ok(count) => next = self.client.push(&buffer[..count]).unwrap(),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Heard::Closed,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub(crate) fn open_args(flags: u32) -> OpenArgs<'static> {
    OpenArgs { name: Some("qemu:///system".into()), flags }
}

pub(crate) fn header(program: Program, procedure: i32, kind: Kind, serial: u32) -> Header {
    let Program { number, version } = program;
    Header { program: number, version, procedure, kind, serial, status: Status::Ok }
}

pub(crate) fn definition(name: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name>\
         <uuid>5d1e9a3c-0c53-4a42-9d34-5d7e5d2f0a01</uuid><memory unit='MiB'>64</memory>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )
}

/// How many bytes came before the end.
pub(crate) fn until_closed(socket: &mut UnixStream) -> usize {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Ok(count) => count,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => bytes.len(),
        Err(error) => panic!("{error}"),
    }
}

/// The resident memory of this process, in bytes (proc(5)).
pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it never came to hold");
        std::thread::yield_now();
    }
}
