//! The guest's console: copies between the pseudo terminal that QEMU made and the user's terminal, or a file.
//!
//! A thread does it, since a terminal's descriptors may be shared with other programs and must stay blocking; it waits
//! by `poll`, with a pipe to end it. It holds at most one read in each direction.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use qemu::qmp::command::Chardev;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};
use tokio::sync::{mpsc, oneshot};

use super::end::Stopper;

/// Leaves the console, as with telnet and virsh: Ctrl-].
const ESCAPE: u8 = 0x1d;

/// Where a guest's console goes. It is opened before QEMU is started, so that what cannot be opened starts nothing.
#[derive(Debug)]
pub struct Console {
    output: Box<dyn Output>,
    input: Option<OwnedFd>,
    /// A file that still has what it had: it is emptied when there is a guest to write to it.
    full: Option<File>,
    /// A guest without a console is an error.
    required: bool,
}

trait Output: io::Write + Send + std::fmt::Debug {}
impl<T: io::Write + Send + std::fmt::Debug> Output for T {}

#[derive(Debug, thiserror::Error)]
#[error("open `{path}` for the guest's console")]
pub struct ConsoleError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Console {
    /// The standard streams. A guest that has no console is not refused.
    pub fn stdio() -> Result<Self, ConsoleError> {
        let failed = |source| ConsoleError { path: "/dev/stdin".into(), source };
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Self { output: Box::new(io::stdout()), input: Some(input), full: None, required: false })
    }

    /// A file, which the guest's output replaces once there is a guest, or a device, which is read from as well.
    pub fn path(path: &Path) -> Result<Self, ConsoleError> {
        let failed = |source| ConsoleError { path: path.to_owned(), source };
        let kind = std::fs::metadata(path).map(|found| found.file_type()).ok();
        let is_device = kind.is_some_and(|kind| kind.is_char_device());
        // A pipe that is opened for both does not wait for its reader.
        let both = is_device || kind.is_some_and(|kind| kind.is_fifo());
        let output = OpenOptions::new()
            .write(true)
            .read(both)
            .create(!both)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let input = if is_device { Some(output.try_clone().map_err(failed)?.into()) } else { None };
        let full = if both { None } else { Some(output.try_clone().map_err(failed)?) };
        Ok(Self { output: Box::new(output), input, full, required: true })
    }

    /// Starts copying to and from the guest's first serial port or console. `None`: the guest has neither.
    pub(super) fn connect(
        self,
        chardevs: &[Chardev],
        stop: mpsc::Sender<Stopper>,
    ) -> Result<Option<Link>, String> {
        let Some(pty) = choose(chardevs) else {
            return if self.required {
                Err("the domain has no serial port or console of type `pty`".into())
            } else {
                Ok(None)
            };
        };
        let open = || -> io::Result<Link> {
            self.full.as_ref().map_or(Ok(()), |file| file.set_len(0))?;
            let guest = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags((OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed())
                .open(pty)?;
            let (stopped, stopper) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            let terminal = self.input.as_ref().and_then(RawTerminal::enter);
            let is_terminal = terminal.is_some();
            let (done, ended) = oneshot::channel();
            let mut copy = Copy { guest, output: Some(self.output), input: self.input, is_terminal, stop };
            std::thread::Builder::new().name("console".into()).spawn(move || {
                copy.run(&stopped);
                // Nobody waits when the supervisor was dropped.
                let _ = done.send(());
            })?;
            Ok(Link { pty: pty.into(), is_terminal, stopper, ended, _terminal: terminal })
        };
        open().map(Some).map_err(|error| format!("open the guest's console `{pty}`: {error}"))
    }
}

/// The guest's first serial port, else its first console, by libvirt's names.
fn choose(chardevs: &[Chardev]) -> Option<&str> {
    let mut ptys: Vec<(&str, &str)> =
        chardevs.iter().filter_map(|chardev| Some((chardev.label.as_str(), chardev.pty()?))).collect();
    ptys.sort_unstable();
    let first = |prefix| ptys.iter().find(|(label, _)| label.starts_with(prefix)).map(|(_, pty)| *pty);
    first("charserial").or_else(|| first("charconsole"))
}

/// A console that is being copied; dropping it ends that and gives the terminal back.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) pty: PathBuf,
    pub(super) is_terminal: bool,
    stopper: OwnedFd,
    ended: oneshot::Receiver<()>,
    _terminal: Option<RawTerminal>,
}

impl Link {
    /// Lets what the guest wrote last come through. The caller bounds the wait: output may go to a stalled reader.
    pub(super) async fn finish(&mut self) {
        let _ = rustix::io::write(&self.stopper, b"x");
        // An error is a thread that has ended.
        let _ = (&mut self.ended).await;
    }
}

/// The user's terminal, in raw mode until dropped.
#[derive(Debug)]
struct RawTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl RawTerminal {
    fn enter(input: &OwnedFd) -> Option<Self> {
        if !input.is_terminal() {
            return None;
        }
        let terminal = input.try_clone().ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        // sevirt's own lines go to the same terminal.
        raw.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        tcsetattr(&terminal, OptionalActions::Now, &raw).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// The copying itself.
struct Copy {
    guest: File,
    /// `None` once nobody takes it any more; the guest must not stand still for that.
    output: Option<Box<dyn Output>>,
    /// `None` once it has ended.
    input: Option<OwnedFd>,
    is_terminal: bool,
    stop: mpsc::Sender<Stopper>,
}

impl Copy {
    fn run(&mut self, stopped: &OwnedFd) {
        let mut typed: Vec<u8> = Vec::new();
        loop {
            let guest_wants = if typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            let (guest_ready, input_ready, must_stop) = {
                let mut fds =
                    vec![PollFd::new(stopped, PollFlags::IN), PollFd::new(&self.guest, guest_wants)];
                if let Some(input) = self.input.as_ref().filter(|_| typed.is_empty()) {
                    fds.push(PollFd::new(input, PollFlags::IN));
                }
                match poll(&mut fds, None) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(_) => return,
                }
                let ready = |index: usize| fds.get(index).map_or(PollFlags::empty(), PollFd::revents);
                (ready(1), !ready(2).is_empty(), !ready(0).is_empty())
            };
            if guest_ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && !self.copy_out() {
                return;
            }
            if must_stop {
                while self.has_more() && self.copy_out() {}
                return;
            }
            if guest_ready.contains(PollFlags::OUT) {
                match self.guest.write(&typed) {
                    Ok(written) => drop(typed.drain(..written)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => typed.clear(),
                }
            }
            if input_ready {
                self.take_in(&mut typed);
            }
        }
    }

    /// Copies one read to the output; false when QEMU has closed its side.
    fn copy_out(&mut self) -> bool {
        let mut buffer = [0u8; 4096];
        match self.guest.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                if let Some(output) = &mut self.output
                    && output.write_all(bytes).and_then(|()| output.flush()).is_err()
                {
                    self.output = None;
                }
                true
            }
            Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    fn has_more(&self) -> bool {
        let mut fds = [PollFd::new(&self.guest, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(1)) && fds[0].revents().contains(PollFlags::IN)
    }

    fn take_in(&mut self, typed: &mut Vec<u8>) {
        let Some(input) = &self.input else { return };
        let mut buffer = [0u8; 1024];
        match rustix::io::read(input, &mut buffer) {
            Ok(0) => self.input = None,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let bytes =
                    if self.is_terminal { bytes.split(|byte| *byte == ESCAPE).next() } else { Some(bytes) };
                let bytes = bytes.unwrap_or_default();
                typed.extend_from_slice(bytes);
                if bytes.len() < length {
                    // A full queue holds an earlier request to stop.
                    let _ = self.stop.try_send(Stopper::Console);
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.input = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chardev(label: &str, filename: &str) -> Chardev {
        Chardev { label: label.into(), filename: filename.into(), frontend_open: true }
    }

    #[test]
    fn the_first_serial_port_comes_before_consoles() {
        let all = [
            chardev("charmonitor", "unix:/x"),
            chardev("charconsole0", "pty:/dev/pts/1"),
            chardev("charserial1", "pty:/dev/pts/3"),
            chardev("charserial0", "pty:/dev/pts/2"),
        ];
        assert_eq!(choose(&all), Some("/dev/pts/2"));
        assert_eq!(choose(&all[..2]), Some("/dev/pts/1"));
        assert_eq!(choose(&all[..1]), None);
    }

    #[test]
    fn a_console_is_copied_to_a_file_until_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("console.log");
        let earlier = "what an earlier guest said\n".repeat(1000);
        std::fs::write(&log, &earlier).unwrap();
        let console = Console::path(&log).unwrap();
        assert_eq!(std::fs::read_to_string(&log).unwrap(), earlier, "emptied before there was a guest");
        let master =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let mut settings = tcgetattr(&master).unwrap();
        settings.make_raw();
        tcsetattr(&master, OptionalActions::Now, &settings).unwrap();
        let (stop, _stopped) = mpsc::channel(1);
        let mut link =
            console.connect(&[chardev("charserial0", &format!("pty:{name}"))], stop).unwrap().unwrap();
        let text = b"Memory Encryption Features active: AMD SEV\r\n".repeat(200);
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let written = rustix::io::write(&master, rest).unwrap();
            rest = &rest[written..];
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let limit = std::time::Duration::from_secs(10);
        runtime.block_on(async { tokio::time::timeout(limit, link.finish()).await }).unwrap();
        drop(master);
        assert_eq!(std::fs::read(&log).unwrap(), text);
    }
}
