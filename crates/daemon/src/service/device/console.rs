//! Consoles and channels as streams: the pseudo terminals and sockets of QEMU's character devices, one client each.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use domain::Domain;
use domain::model::address::DeviceInfo;
use domain::model::chardev::{ChannelTarget, CharKind, CharSource, ConsoleTarget};
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::Reply;
use rpc::remote::domain::OpenDeviceArgs;
use rpc::xdr::Uuid;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::affect::{check, internal};
use crate::locked;
use crate::service::stats::proc;
use crate::service::{Answer, Failure, Service, Stream, agent};
use crate::vm::Guest;

/// `virDomainConsoleFlags` and `virDomainChannelFlags`: whoever is there has to go.
const FORCE: u32 = 1;
/// Only where nobody else can be there, which holds for every console here.
const SAFE: u32 = 2;

/// Which consoles and channels are somebody's, and how those are told to go.
#[derive(Debug, Default)]
pub(crate) struct Consoles(Mutex<HashMap<Key, Holder>>);

/// A domain and the alias of one of its devices.
type Key = (Uuid, String);

#[derive(Debug)]
struct Holder {
    number: u64,
    kick: oneshot::Sender<()>,
}

/// Somebody's hold of a console, until it is dropped.
#[derive(Debug)]
struct Claim {
    service: Arc<Service>,
    key: Key,
    number: u64,
}

impl Claim {
    /// Takes a console, from somebody else where that is wanted. The receiver tells that it is to be let go.
    fn take(
        service: &Arc<Service>,
        key: Key,
        force: bool,
        busy: &str,
    ) -> Result<(Self, oneshot::Receiver<()>), Failure> {
        let (kick, kicked) = oneshot::channel();
        let mut all = locked(&service.consoles.0);
        let before = all.get(&key).map(|holder| holder.number);
        if before.is_some() && !force {
            return Err(Box::new(RemoteError::operation_failed(busy)));
        }
        let number = before.map_or(0, |number| number.wrapping_add(1));
        if let Some(before) = all.insert(key.clone(), Holder { number, kick }) {
            // It may be letting go by itself.
            let _ = before.kick.send(());
        }
        Ok((Self { service: Arc::clone(service), key, number }, kicked))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = locked(&self.service.consoles.0);
        if all.get(&self.key).is_some_and(|holder| holder.number == self.number) {
            all.remove(&self.key);
        }
    }
}

/// `DOMAIN_OPEN_CONSOLE`.
pub(crate) fn open_console(service: &Arc<Service>, args: &OpenDeviceArgs<'_>) -> Result<Answer, Failure> {
    check(args.flags, FORCE | SAFE, "virDomainOpenConsole")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = vm.running()?;
    let live = guest.live();
    let name = args.device.as_deref();
    let (alias, source) = console(&live, name)
        .ok_or_else(|| internal(format!("cannot find character device {}", name.unwrap_or("(null)"))))?;
    let CharKind::Pty { path: Some(path) } = &source.kind else {
        return Err(internal(format!("character device {alias} is not using a PTY")));
    };
    let busy = "Active console session exists for this domain";
    let (claim, kicked) = Claim::take(service, (vm.uuid, alias), args.flags & FORCE != 0, busy)?;
    let failed = |error: io::Error| {
        Box::new(RemoteError::system_error(format!("unable to open stream for '{path}': {error}")))
    };
    let pty = open_pty(&guest, Path::new(path)).map_err(failed)?;
    let pty = Pty::new(pty).map_err(failed)?;
    let stream = Held { inner: pty, kicked, _claim: claim };
    Ok(Answer::Stream(Reply::DomainOpenConsole(()), Stream(Box::new(stream))))
}

/// `DOMAIN_OPEN_CHANNEL`.
pub(crate) async fn open_channel(
    service: &Arc<Service>,
    args: &OpenDeviceArgs<'_>,
) -> Result<Answer, Failure> {
    check(args.flags, FORCE, "virDomainOpenChannel")?;
    let vm = service.domains.of(&args.dom)?;
    let guest = vm.running()?;
    let live = guest.live();
    let is_wanted = |channel: &&domain::model::chardev::Channel| {
        let ChannelTarget::Virtio { name, .. } = &channel.target else { return false };
        match args.device.as_deref() {
            None => true,
            Some(wanted) => name.as_deref() == Some(wanted) || channel.info.alias.as_deref() == Some(wanted),
        }
    };
    let shown = args.device.as_deref().unwrap_or("(null)");
    let found = live.devices.channels.iter().find(is_wanted);
    let channel = found.ok_or_else(|| internal(format!("cannot find channel {shown}")))?;
    let alias = channel.info.alias.clone().unwrap_or_default();
    let path = agent::socket_path(&guest, channel)
        .ok_or_else(|| internal(format!("channel {alias} is not using a UNIX socket")))?;
    let busy = "Active channel stream exists for this domain";
    let (claim, kicked) = Claim::take(service, (vm.uuid, alias), args.flags & FORCE != 0, busy)?;
    let stream = Held { inner: agent::connect(&guest, &path).await?, kicked, _claim: claim };
    Ok(Answer::Stream(Reply::DomainOpenChannel(()), Stream(Box::new(stream))))
}

/// The console that is meant: by its alias, or the first one.
fn console<'d>(live: &'d Domain, name: Option<&str>) -> Option<(String, &'d CharSource)> {
    let devices = &live.devices;
    let of = |info: &DeviceInfo, source: &'d CharSource| Some((info.alias.clone()?, source));
    if let Some(name) = name {
        let serials = devices.serials.iter().map(|serial| (&serial.info, &serial.source));
        let consoles = devices.consoles.iter().map(|console| (&console.info, &console.source));
        let (info, source) = serials.chain(consoles).find(|(info, _)| info.alias.as_deref() == Some(name))?;
        return of(info, source);
    }
    match (devices.consoles.first(), devices.serials.first()) {
        // It is the first serial port by another name.
        (Some(console), Some(serial)) if console.target == ConsoleTarget::Serial => {
            of(&serial.info, &serial.source)
        }
        (Some(console), _) => of(&console.info, &console.source),
        (None, Some(serial)) => of(&serial.info, &serial.source),
        (None, None) => None,
    }
}

/// Opens the terminal that QEMU says it made. QEMU's word is not enough: it must be a pseudo terminal, and QEMU's own.
fn open_pty(guest: &Guest, path: &Path) -> io::Result<File> {
    let named = path.strip_prefix("/dev/pts").ok().and_then(Path::to_str);
    if !named.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(io::Error::other("it is no pseudo terminal"));
    }
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let (user, _) = proc::owner(guest.pid())?;
    if !found.file_type().is_char_device() || found.uid() != user {
        return Err(io::Error::other("it is not the guest's"));
    }
    Ok(file)
}

/// A terminal that does not block.
#[derive(Debug)]
struct Pty(AsyncFd<File>);

impl Pty {
    #[expect(unsafe_code, reason = "the runtime takes the descriptor's word that it stays the same")]
    fn new(file: File) -> io::Result<Self> {
        // SAFETY: a file's descriptor is owned by it, and nobody replaces the file.
        unsafe { AsyncFd::register(file) }.map(Self).map_err(|error| error.into_parts().1)
    }
}

impl AsyncRead for Pty {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let read = guard.try_io(|file| {
                let mut file: &File = file.get_ref();
                file.read(buffer.initialize_unfilled())
            });
            match read {
                Ok(Ok(length)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                // QEMU has closed its side.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Pty {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            let written = guard.try_io(|file| {
                let mut file: &File = file.get_ref();
                file.write(bytes)
            });
            match written {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Something that is one client's, until another takes it.
#[derive(Debug)]
struct Held<S> {
    inner: S,
    kicked: oneshot::Receiver<()>,
    _claim: Claim,
}

impl<S: Unpin> Held<S> {
    /// Fails once somebody else has it.
    fn poll_held(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.kicked).poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => {
                let lost = RemoteError::new(Code::RPC, Origin::STREAMS, "stream had I/O failure");
                Err(io::Error::other(lost))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_held(context)?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
