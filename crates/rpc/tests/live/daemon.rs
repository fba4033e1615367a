//! A `libvirtd` of the test's own, and a connection to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rpc::client::Received;
use rpc::remote::Procedure;
use rpc::{Client, Header, Message, Method, Program, RemoteError, keepalive, packet};
use tempfile::TempDir;

/// Runs until it is dropped.
pub(crate) struct Daemon {
    child: Child,
    directory: TempDir,
}

/// Hides the machine's own libvirt, then starts one whose sockets are in `$1`, and says when it listens.
const START: &str = r#"
set -e
for directory in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /run; do
    mkdir -p "$directory"
    mount -t tmpfs tmpfs "$directory"
done
mkdir -p /run/libvirt /run/lock
printf 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_dir = "%s"\n' "$1" > /etc/libvirt/libvirtd.conf
printf 'security_driver = "none"\nstdio_handler = "file"\ncgroup_controllers = []\nnamespaces = []\n' > /etc/libvirt/qemu.conf
libvirtd --config /etc/libvirt/libvirtd.conf --timeout 0 2> "$1/log" &
until [ -S "$1/libvirt-sock" ] && [ -S "$1/libvirt-sock-ro" ]; do
    kill -0 $! || exit 1
    sleep 0.05
done
echo listening
wait
"#;

impl Daemon {
    /// `None`, with the reason on the terminal, where there can be none.
    pub(crate) fn start() -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_str().unwrap();
        let spawned = Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "sh",
                "-c",
                START,
                "sh",
                path,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                eprintln!("not run against libvirtd: unshare: {error}");
                return None;
            }
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.trim() == "listening" {
            return Some(Self { child, directory });
        }
        let mut why = String::new();
        child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
        child.wait().unwrap();
        eprintln!("not run against libvirtd: none can be started here: {}", why.trim());
        None
    }

    pub(crate) fn connect(&self, socket: &str) -> Connection {
        let socket = UnixStream::connect(self.directory.path().join(socket)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Connection { socket, client: Client::new(), events: Vec::new() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Connection {
    socket: UnixStream,
    client: Client,
    events: Vec<(Procedure, Message)>,
}

impl Connection {
    /// Makes a call and waits for its results, of which `keep` says what is wanted.
    pub(crate) fn call<M: Method, T>(
        &mut self,
        arguments: &M::Args<'_>,
        keep: impl FnOnce(M::Reply<'_>) -> T,
    ) -> Result<T, Box<RemoteError<'static>>> {
        let (serial, bytes) = self.client.call::<M>(arguments).unwrap();
        self.socket.write_all(&bytes).unwrap();
        let message = self.answer(serial);
        match Client::reply::<M>(&message) {
            Ok(reply) => Ok(keep(reply)),
            Err(rpc::client::CallError::Refused(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Calls a procedure by number, with arguments as bytes.
    pub(crate) fn raw(
        &mut self,
        program: Program,
        procedure: i32,
        arguments: &[u8],
    ) -> Result<Message, Box<RemoteError<'static>>> {
        let (serial, bytes) = self.client.call_raw(program, procedure, arguments).unwrap();
        self.socket.write_all(&bytes).unwrap();
        let message = self.answer(serial);
        match message.header.status {
            packet::Status::Error => Err(Box::new(message.decode::<RemoteError<'_>>().unwrap().into_owned())),
            _ => Ok(message),
        }
    }

    /// The first event that has not been looked at.
    pub(crate) fn event(&mut self) -> (Procedure, Message) {
        while self.events.is_empty() {
            let received = self.receive();
            assert!(!matches!(received, Received::Reply { .. }), "nothing was called");
            self.note(received);
        }
        self.events.remove(0)
    }

    fn answer(&mut self, wanted: u32) -> Message {
        loop {
            match self.receive() {
                Received::Reply { serial, message } => {
                    assert_eq!(serial, wanted);
                    return message;
                }
                other => self.note(other),
            }
        }
    }

    fn note(&mut self, received: Received) {
        match received {
            Received::Event { procedure, message } => self.events.push((procedure, message)),
            Received::Ping => self.socket.write_all(&keepalive::Procedure::Pong.packet()).unwrap(),
            Received::Pong | Received::Reply { .. } => {}
            Received::Stream { message, .. } | Received::Other(message) => {
                let Header { program, procedure, .. } = message.header;
                panic!("{program:#x} {procedure}");
            }
        }
    }

    fn receive(&mut self) -> Received {
        let mut buffer = vec![0; 64 << 10];
        let mut next = self.client.push(&[]).unwrap();
        loop {
            if let Some(received) = next {
                return received;
            }
            let count = self.socket.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the daemon hung up");
            next = self.client.push(&buffer[..count]).unwrap();
        }
    }
}
