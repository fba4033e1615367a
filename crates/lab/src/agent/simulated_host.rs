//! Makes the outer machine look like an AMD host with SEV, and starts the simulated secure processor.
//!
//! What the kernel would show on such a host is put over what it shows here; a marker names the platform as
//! simulated. Memory is not encrypted, and nothing outside the lab trusts the simulator's keys.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{AgentError, channels};
use crate::job::{STATE_MOUNT, Simulation};
use crate::wait::poll_until;

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
const PARAMETERS: &str = "/sys/module/kvm_amd/parameters";
const DEVICE: &str = "/dev/sev";
const KVM: &str = "/dev/kvm";
/// The group that distributions let use KVM.
const GROUP: &str = "kvm";
const SOCKET: &str = "/run/sevirt/sevsim.sock";
/// Whoever finds this file knows that the secure processor here is a simulation.
const MARKER: &str = "/run/sevirt/simulated";
const MARKER_TEXT: &str = "sevirt lab: the secure processor is simulated and memory is not encrypted\n";
/// What an AMD host with SEV, SEV-ES and SEV-SNP lists among its CPU's flags.
const CPU_FLAGS: &str = "sme sev sev_es sev_snp";
/// How long the simulated secure processor may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The simulated secure processor's process.
pub(super) struct Server {
    child: Child,
}

/// Prepares the host's face; with a simulation also its secure processor.
pub(super) fn prepare(simulation: Option<&Simulation>) -> Result<Option<Server>, AgentError> {
    let at = |what: &str| {
        let what = what.to_owned();
        move |source| AgentError::Host { what, source }
    };
    rustix::system::sethostname(b"sevirt-lab").map_err(|error| at("host name")(error.into()))?;
    control_groups().map_err(at(CONTROL_GROUPS))?;
    let Some(simulation) = simulation else {
        return Ok(None);
    };
    parameters().map_err(at(PARAMETERS))?;
    cpuinfo().map_err(at("/proc/cpuinfo"))?;
    placeholder().map_err(at(DEVICE))?;
    let groups = fs::read_to_string("/etc/group").map_err(at("/etc/group"))?;
    for device in [DEVICE, KVM] {
        open_for_group(device, gid(&groups, GROUP)).map_err(at(device))?;
    }
    fs::write(MARKER, MARKER_TEXT).map_err(at(MARKER))?;
    let server = Server::start(simulation).map_err(AgentError::Sevsim)?;
    // The shim connects as whoever opens the device.
    open_for_group(SOCKET, gid(&groups, GROUP)).map_err(at(SOCKET))?;
    Ok(Some(server))
}

/// What a program needs in its environment to meet the simulation.
pub(super) fn environment(simulation: Option<&Simulation>) -> BTreeMap<&'static str, &Path> {
    simulation
        .map(|simulation| {
            BTreeMap::from([
                ("LD_PRELOAD", simulation.shim.as_path()),
                // There is a /dev/sev as long as its node is there, as on real hardware.
                ("SEVSIM_NODE", Path::new("required")),
                ("SEVSIM_SOCKET", Path::new(SOCKET)),
            ])
        })
        .unwrap_or_default()
}

/// Version 2's control groups, for the guest's memory limit.
fn control_groups() -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2")) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("cgroup2", CONTROL_GROUPS, "cgroup2", flags, None)?)
}

/// kvm_amd's parameters as a kernel with SEV shows them; the others stay as they are.
fn parameters() -> io::Result<()> {
    let mut values = BTreeMap::new();
    for entry in fs::read_dir(PARAMETERS)? {
        let entry = entry?;
        if let (Ok(name), Ok(value)) = (entry.file_name().into_string(), fs::read(entry.path())) {
            values.insert(name, value);
        }
    }
    for name in ["sev", "sev_es", "sev_snp"] {
        values.insert(name.to_owned(), b"Y\n".to_vec());
    }
    mount("tmpfs", PARAMETERS, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
    for (name, value) in values {
        let path = Path::new(PARAMETERS).join(name);
        fs::write(&path, value)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}

fn cpuinfo() -> io::Result<()> {
    const COPY: &str = "/run/sevirt/lab/cpuinfo";
    fs::write(COPY, with_flags(&fs::read_to_string("/proc/cpuinfo")?))?;
    mount_bind(COPY, "/proc/cpuinfo")?;
    Ok(())
}

fn with_flags(cpuinfo: &str) -> String {
    let mut text = String::with_capacity(cpuinfo.len() + 64);
    for line in cpuinfo.lines() {
        text.push_str(line);
        if line.starts_with("flags") {
            text.push(' ');
            text.push_str(CPU_FLAGS);
        }
        text.push('\n');
    }
    text
}

/// A device that no driver serves: only the shim answers for it, and honours its owner and mode as the kernel
/// would. Major 10 is that of the real one, a misc device.
fn placeholder() -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, DEVICE, FileType::CharacterDevice, mode, makedev(10, 254))?;
    Ok(())
}

/// What udev does on a host: the device is root's and the group's. Without such a group it is everybody's.
fn open_for_group(device: &str, gid: Option<u32>) -> io::Result<()> {
    std::os::unix::fs::chown(device, Some(0), gid)?;
    fs::set_permissions(device, fs::Permissions::from_mode(if gid.is_some() { 0o660 } else { 0o666 }))
}

fn gid(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

impl Server {
    fn start(simulation: &Simulation) -> io::Result<Self> {
        let state = Path::new(STATE_MOUNT).join("platform");
        let child = Command::new(&simulation.server)
            .args(["serve", "--state-dir"])
            .arg(state)
            .args(["--socket", SOCKET])
            .stdin(Stdio::null())
            .spawn()?;
        let server = Self { child };
        server.listening()?;
        Ok(server)
    }

    /// Waits until it takes connections.
    fn listening(&self) -> io::Result<()> {
        let socket = Path::new(SOCKET);
        let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        channels::appearing_unless(directory, |entry| name == entry, Some(process.as_fd()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(socket) {
                Ok(_) => return Ok(()),
                // Bound, but not yet listening.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    let soon = Instant::now() + Duration::from_millis(5);
                    let ended = poll_until(&mut [PollFd::new(&process, PollFlags::IN)], Some(soon))?;
                    if ended || Instant::now() > deadline {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets it put its state in order and end.
    pub(super) fn stop(mut self) {
        let Ok(process) = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()) else {
            return;
        };
        let _ = pidfd_send_signal(&process, Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        if poll_until(&mut [PollFd::new(&process, PollFlags::IN)], Some(deadline)).unwrap_or(false) {
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name() {
        let groups = "root:x:0:\nkvmer:x:7:\nkvm:x:108:libvirt-qemu\n";
        assert_eq!((gid(groups, "kvm"), gid(groups, "qemu")), (Some(108), None));
    }

    #[test]
    fn every_cpu_gets_the_flags() {
        let text =
            "processor\t: 0\nflags\t\t: fpu svm\nbugs\t\t: none\n\nprocessor\t: 1\nflags\t\t: fpu svm\n";
        let want = text.replace("fpu svm", "fpu svm sme sev sev_es sev_snp");
        assert_eq!(with_flags(text), want);
    }
}
