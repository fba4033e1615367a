//! The outer machine as a process: put together, started, listened to, ended.
//!
//! Whatever way a run ends, the process is gone and its temporary files are removed when the value is dropped;
//! should this process be killed, the kernel kills QEMU with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::disk::Disk;
use crate::job::{Channel, Job};
use crate::kernel::{Kernel, KernelError, pvh_kernel};
use crate::outer::{Accelerator, Outer};
use crate::outer_init::{self, OuterInitError};
use crate::process::{die_with_parent, inherit};
use crate::state::State;
use crate::tools::Tools;
use crate::wait::poll_until;

/// How long QEMU may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much of the console log as an error message carries.
const LOG_TAIL: u64 = 2048;

/// What a machine is made of.
#[derive(Debug)]
pub struct Setup<'a> {
    pub tools: &'a Tools,
    pub state: &'a State,
    pub accelerator: Accelerator,
    /// The outer machine's memory.
    pub memory_mib: u64,
    pub disks: &'a [Disk],
    pub job: &'a Job,
}

/// A machine that was started.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    pub(crate) process: OwnedFd,
    pub(crate) channels: Channels,
    pub(crate) started: Instant,
    prepared: Duration,
    console_log: PathBuf,
}

/// The host's ends of those channels that have not ended.
#[derive(Debug)]
pub(crate) struct Channels(BTreeMap<Channel, File>);

impl Channels {
    pub(crate) fn get(&self, channel: Channel) -> Option<&File> {
        self.0.get(&channel)
    }

    pub(crate) fn close(&mut self, channel: Channel) {
        self.0.remove(&channel);
    }

    /// Says that nothing more will be sent. A channel that was closed outright would take with it what QEMU has
    /// not read yet.
    pub(crate) fn end_sending(&self, channel: Channel) {
        if let Some(file) = self.get(channel) {
            let _ = rustix::net::shutdown(file, rustix::net::Shutdown::Write);
        }
    }
}

/// Why a machine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("find a kernel for the lab's outer machine")]
    Kernel(#[from] KernelError),
    #[error("make the lab's outer machine")]
    Initramfs(#[from] OuterInitError),
    #[error("`{}` is not UTF-8, which the lab needs it to be", path.display())]
    Name { path: PathBuf },
    #[error("prepare {what} for the lab's outer machine")]
    Prepare { what: &'static str, source: io::Error },
    #[error("start `{}`", program.display())]
    Spawn { program: PathBuf, source: io::Error },
}

impl Machine {
    /// Puts the machine together and starts it.
    ///
    /// # Errors
    /// No kernel can be used, or something could not be made or started.
    pub fn start(setup: &Setup<'_>) -> Result<Self, StartError> {
        let begun = Instant::now();
        let kernel = Kernel::newest(Path::new("/"), outer_init::MODULES)?;
        let agent = &setup.tools.sevirt;
        let agent = agent.to_str().ok_or_else(|| StartError::Name { path: agent.clone() })?;
        let (image, initramfs) = std::thread::scope(|scope| {
            // Decompressing the kernel takes half a second; the other CPU may be free for it.
            let image = scope.spawn(|| kernel.read().map(|image| pvh_kernel(&image).unwrap_or(image)));
            let initramfs = outer_init::build(&kernel, &setup.tools.busybox, agent, setup.job);
            let image = image.join().unwrap_or_else(|_| {
                Err(KernelError::Read { path: kernel.image.clone(), source: io::ErrorKind::Other.into() })
            });
            (image, initramfs)
        });
        let kernel = in_memory("kernel", &image?)?;
        let initramfs = in_memory("initramfs", &initramfs?)?;

        let mut ends = Vec::new();
        for channel in Channel::ALL {
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                    .map_err(prepare("channels"))?;
            ends.push((channel, File::from(ours), theirs));
        }
        let numbers: Vec<_> =
            ends.iter().map(|(channel, _, theirs)| (*channel, theirs.as_raw_fd())).collect();
        let console_log = setup.state.console_log();
        // Emptied here, so that a tail of it is never that of an earlier run.
        File::create(&console_log)
            .map_err(|source| StartError::Prepare { what: "the console log", source })?;
        let outer = Outer {
            accelerator: setup.accelerator,
            memory_mib: setup.memory_mib,
            kernel: &by_descriptor(&kernel),
            initramfs: &by_descriptor(&initramfs),
            console_log: &console_log,
            share: &setup.state.share(),
            disks: setup.disks,
            channels: &numbers,
        };
        let mut command = Command::new(&setup.tools.qemu);
        command.args(outer.argv()).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_remove("LD_PRELOAD");
        if setup.accelerator == Accelerator::Tcg {
            command.env("LD_PRELOAD", &setup.tools.cr8);
        }
        // QEMU's own complaints go where the kernel's do.
        let complaints = File::options().append(true).open(&console_log);
        command.stderr(complaints.map_err(|source| StartError::Prepare { what: "the console log", source })?);
        let mut inherited: Vec<&OwnedFd> = ends.iter().map(|(_, _, theirs)| theirs).collect();
        inherited.extend([&kernel, &initramfs]);
        inherit(&mut command, &inherited);
        die_with_parent(&mut command);
        let spawn = |source| StartError::Spawn { program: setup.tools.qemu.clone(), source };
        let mut child = command.spawn().map_err(spawn)?;
        let process = match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(process) => process,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(spawn(error.into()));
            }
        };
        let channels = Channels(ends.into_iter().map(|(channel, ours, _)| (channel, ours)).collect());
        let prepared = begun.elapsed();
        Ok(Self { child, process, channels, started: Instant::now(), prepared, console_log })
    }

    /// How long it took to put the machine together.
    #[must_use]
    pub fn prepared(&self) -> Duration {
        self.prepared
    }

    /// The end of what the outer kernel and QEMU printed.
    #[must_use]
    pub fn console_tail(&self) -> String {
        // A log that is gone has no end.
        tail(&self.console_log).unwrap_or_default()
    }

    /// Ends the machine: asks QEMU to end, and kills it if it does not.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        let deadline = Instant::now() + PATIENCE;
        let asked = pidfd_send_signal(&self.process, Signal::TERM).is_ok();
        let ended = asked
            && poll_until(&mut [PollFd::new(&self.process, PollFlags::IN)], Some(deadline)).unwrap_or(false);
        if !ended {
            let _ = self.child.kill();
        }
        self.child.wait().ok()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The end of a text file, however long it is.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_TAIL);
    file.seek(io::SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// How a process ended, in words.
pub(crate) fn ending(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(code), _)) => format!("exit code {code}"),
        Some((None, Some(signal))) => format!("signal {signal}"),
        _ => "unknown end".to_owned(),
    }
}

fn prepare(what: &'static str) -> impl Fn(rustix::io::Errno) -> StartError {
    move |error| StartError::Prepare { what, source: error.into() }
}

/// A file that has no name and is gone with its last descriptor.
fn in_memory(what: &'static str, bytes: &[u8]) -> Result<OwnedFd, StartError> {
    let mut file = File::from(memfd_create(what, MemfdFlags::CLOEXEC).map_err(prepare(what))?);
    file.write_all(bytes).map_err(|source| StartError::Prepare { what, source })?;
    Ok(file.into())
}

fn by_descriptor(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_read_and_no_more() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(tail(log.path()).unwrap(), "");
        for line in 0..10_000 {
            writeln!(log, "line {line}").unwrap();
        }
        let read = tail(log.path()).unwrap();
        assert!(read.ends_with("line 9999") && read.len() < 2048, "{read}");
    }
}
