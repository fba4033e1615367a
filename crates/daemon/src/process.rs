//! QEMU's process: how it is spawned, what it inherits, how its end is seen.
//!
//! It gets no file descriptor but those named, no environment but what it needs, no terminal, no core dumps, no way to
//! new rights, its own session (so that a terminal's Ctrl-C is sevirt's to handle), and what [`crate::isolate`] has
//! prepared for it.

#![expect(unsafe_code, reason = "what happens between fork and exec is outside the language's guarantees")]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::isolate::{self, Confinement, Credentials, IsolateError};
use crate::vm::ExitKind;

/// What sevirt passes on of its own environment, beside what the spawner says. The dynamic linker's variables are the
/// caller's business as much as QEMU's path is: the lab loads its shim by them.
const PASSED_ON: &[&str] =
    &["LD_PRELOAD", "LD_LIBRARY_PATH", "SEVSIM_NODE", "SEVSIM_SOCKET", "SEVSIM_TRACE", "QEMU_MODULE_DIR"];

/// How many files QEMU may open, where it may be that many.
const OPEN_FILES: u64 = 65_536;

/// How long a dropped process may take to go.
const DROP_LIMIT: Duration = Duration::from_secs(10);

/// What a QEMU is spawned from.
#[derive(Debug)]
pub(crate) struct Spawn<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [OsString],
    pub(crate) environment: &'a [(OsString, OsString)],
    /// Kept open in QEMU, under the same numbers.
    pub(crate) inherited: &'a [BorrowedFd<'a>],
    /// How much memory QEMU may lock, in bytes; `None` leaves it as it is.
    pub(crate) memory_lock: Option<MemoryLock>,
    /// The control group that it enters before it becomes QEMU, by [`crate::cgroup::Group::entrance`].
    pub(crate) group: Option<BorrowedFd<'a>>,
    pub(crate) lifetime: Lifetime<'a>,
    pub(crate) confinement: &'a Confinement,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// When a child ends beside by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lifetime<'a> {
    /// With the thread that spawned it.
    WithSpawner,
    /// It outlives its spawner, and writes its line of `/proc/PID/stat` here before it becomes QEMU.
    Own { record: BorrowedFd<'a> },
}

/// RLIMIT_MEMLOCK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLock {
    Bytes(u64),
    /// As much as the guest was computed to need; where that is not to be had, it is left as it is.
    Computed(u64),
    Unlimited,
}

/// A process, seen through its pidfd. Dropping it kills and reaps it, unless it outlives its spawner.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    pidfd: OwnedFd,
    reaped: bool,
    outlives: bool,
    /// Another process has spawned it, and learns its exit status.
    adopted: bool,
    /// What it started and left behind is ended with it. Where it has a control group or processes of its own, that is
    /// seen to by those.
    leads: bool,
    /// sevirt's ends of the pipes.
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("start `{program}`")]
    Exec {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "QEMU must be able to lock {wanted} of memory, and this user may lock {allowed} (RLIMIT_MEMLOCK): {mend}"
    )]
    MemoryLock { wanted: String, allowed: String, mend: &'static str },
    #[error(transparent)]
    Isolate(IsolateError),
    #[error("watch `{program}` by its pidfd")]
    Watch {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// The control group that the child was to enter has been removed meanwhile.
    pub(crate) fn is_lost_group(&self) -> bool {
        let gone = rustix::io::Errno::NODEV.raw_os_error();
        matches!(self, Self::Exec { source, .. } if source.raw_os_error() == Some(gone))
    }
}

impl Spawn<'_> {
    pub(crate) fn spawn(self) -> Result<Process, SpawnError> {
        let program = self.program.to_owned();
        let mut command = Command::new(&program);
        command
            .args(self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(PASSED_ON.iter().filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(self.stdin)
            .stdout(self.stdout)
            .stderr(self.stderr);
        let inherited: Vec<RawFd> = self.inherited.iter().map(BorrowedFd::as_raw_fd).collect();
        let parent = rustix::process::getpid();
        let preparation = Preparation {
            memory_lock: self.memory_lock,
            group: self.group.map(|group| group.as_raw_fd()),
            inherited,
            parent,
            record: match self.lifetime {
                Lifetime::WithSpawner => None,
                Lifetime::Own { record } => Some(record.as_raw_fd()),
            },
            own_thread: self.confinement.is_own(),
            own_processes: self.confinement.has_namespaces(),
            credentials: self.confinement.credentials.clone(),
        };
        let outlives = preparation.record.is_some();
        let leads = preparation.group.is_none() && !preparation.own_processes;
        // SAFETY: the closure makes system calls only; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || preparation.carry_out());
        }
        let spawned = if self.confinement.is_own() {
            spawn_confined(&mut command, self.confinement)?
        } else {
            command.spawn()
        };
        let child = match spawned {
            Ok(child) => child,
            Err(source) => return Err(explain(program, self.memory_lock, source)),
        };
        let pid = child.id();
        let watch = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK));
        match watch {
            Ok(pidfd) => {
                let std::process::Child { stdin, stdout, stderr, .. } = child;
                let (reaped, adopted) = (false, false);
                Ok(Process { pid, pidfd, reaped, outlives, adopted, leads, stdin, stdout, stderr })
            }
            Err(error) => {
                let mut child = child;
                // It is ours and not reaped, so the pid is right.
                let _ = child.kill();
                let _ = child.wait();
                Err(SpawnError::Watch { program, source: error.into() })
            }
        }
    }
}

/// Spawns in a thread that has gone where QEMU is to be.
fn spawn_confined(
    command: &mut Command,
    confinement: &Confinement,
) -> Result<io::Result<std::process::Child>, SpawnError> {
    std::thread::scope(|scope| {
        let spawn = || confinement.enter().map(|()| command.spawn()).map_err(SpawnError::Isolate);
        let ended = scope.spawn(spawn).join();
        ended.unwrap_or_else(|_| Ok(Err(io::Error::other("the thread that spawns it panicked"))))
    })
}

fn explain(program: PathBuf, memory_lock: Option<MemoryLock>, source: io::Error) -> SpawnError {
    let current = rustix::process::getrlimit(Resource::Memlock).maximum;
    let above = memory_lock.filter(|wanted| match (wanted, current) {
        (_, None) => false,
        (MemoryLock::Unlimited, Some(_)) => true,
        (MemoryLock::Bytes(wanted), Some(allowed)) => *wanted > allowed,
        (MemoryLock::Computed(_), _) => false,
    });
    match above {
        Some(wanted) if source.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => {
            let mend = how_to_lock(rustix::process::geteuid().is_root());
            SpawnError::MemoryLock { wanted: wanted.to_string(), allowed: limit(current), mend }
        }
        _ => SpawnError::Exec { program, source },
    }
}

/// What lets more memory be locked. A root that may not raise its limits is one in a container, or in a unit with few
/// capabilities.
fn how_to_lock(is_root: bool) -> &'static str {
    if is_root {
        "root lacks the capability CAP_SYS_RESOURCE to raise that: give it to sevirt, or start sevirt with a higher limit \
         (systemd: LimitMEMLOCK=infinity; containers: --ulimit memlock=-1)"
    } else {
        "run as root, or raise the limit"
    }
}

impl MemoryLock {
    fn rlimit(self) -> Rlimit {
        match self {
            Self::Bytes(bytes) | Self::Computed(bytes) => {
                Rlimit { current: Some(bytes), maximum: Some(bytes) }
            }
            Self::Unlimited => Rlimit { current: None, maximum: None },
        }
    }
}

impl std::fmt::Display for MemoryLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&limit(self.rlimit().maximum))
    }
}

fn limit(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "an unlimited amount".into(), |bytes| format!("{} MiB", bytes.div_ceil(1 << 20)))
}

/// Allows so many bytes to be locked where that is more than now, and where it may be raised.
fn raise_memory_lock(bytes: u64) {
    let now = rustix::process::getrlimit(Resource::Memlock);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= bytes);
    if enough(now.current) {
        return;
    }
    let maximum = if enough(now.maximum) { now.maximum } else { Some(bytes) };
    // Without it QEMU says what it could not lock.
    let _ = rustix::process::setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), maximum });
}

/// Copies what the kernel says of this process to `record`. Allocates nothing.
fn write_record(record: RawFd) -> io::Result<()> {
    let mut line = [0u8; 1024];
    let length = read_stat(&mut line)?;
    // SAFETY: the caller's borrowed descriptor is open in the parent, and fork copied it.
    rustix::io::write(unsafe { BorrowedFd::borrow_raw(record) }, line.get(..length).unwrap_or_default())?;
    Ok(())
}

/// What the child does between fork and exec.
struct Preparation {
    memory_lock: Option<MemoryLock>,
    group: Option<RawFd>,
    inherited: Vec<RawFd>,
    parent: Pid,
    record: Option<RawFd>,
    /// It is spawned by a thread that ends at once.
    own_thread: bool,
    /// It is the first process of its namespace, which wants a /proc of its own.
    own_processes: bool,
    credentials: Option<Credentials>,
}

impl Preparation {
    fn carry_out(&self) -> io::Result<()> {
        if let Some(record) = self.record {
            write_record(record)?;
            // After that: whoever comes after a parent that died finds every child that goes on from here.
            self.parent_lives()?;
        }
        rustix::process::setsid()?;
        if let Some(group) = self.group {
            // SAFETY: the caller's borrowed descriptor is open in the parent, and fork copied it.
            rustix::io::write(unsafe { BorrowedFd::borrow_raw(group) }, b"0")?;
        }
        ordinary_victim();
        if self.own_processes {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount(c"proc", c"/proc", c"proc", flags, None)?;
        }
        match self.memory_lock {
            // What is allowed already may be more.
            Some(MemoryLock::Computed(bytes)) => raise_memory_lock(bytes),
            Some(limit) => rustix::process::setrlimit(Resource::Memlock, limit.rlimit())?,
            None => {}
        }
        raise_open_files();
        // The guest's memory and the launch secrets lie in this process.
        rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        // SAFETY: close_range with this flag closes nothing now; it marks descriptors for exec.
        let marked =
            unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
        if marked != 0 {
            return Err(io::Error::last_os_error());
        }
        for fd in &self.inherited {
            // SAFETY: the caller's borrowed descriptors are open in the parent, and fork copied them.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
        }
        // Whoever has a session's keyring has its keys.
        // SAFETY: without a name the kernel reads no memory.
        let _ = unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                libc::KEYCTL_JOIN_SESSION_KEYRING,
                std::ptr::null::<libc::c_char>(),
            )
        };
        isolate::assume(self.credentials.as_ref())?;
        rustix::thread::set_no_new_privs(true)?;
        // A change of user would take this back.
        if self.record.is_none() && !self.own_thread {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before that call.
            self.parent_lives()?;
        }
        Ok(())
    }

    fn parent_lives(&self) -> io::Result<()> {
        // In a process namespace of its own it has no parent, alive or dead; the daemon's /proc still tells.
        let parent = if self.own_processes { parent_by_proc()? } else { rustix::process::getppid() };
        if parent == Some(self.parent) {
            return Ok(());
        }
        Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
    }
}

/// The parent's number as /proc has it. Allocates nothing.
fn parent_by_proc() -> io::Result<Option<Pid>> {
    let mut line = [0u8; 1024];
    let length = read_stat(&mut line)?;
    let line = line.get(..length).unwrap_or_default();
    // `PID (NAME) STATE PARENT …`, and a name may have anything in it.
    let after_name = line.iter().rposition(|byte| *byte == b')').and_then(|end| line.get(end + 4..));
    let digits = after_name.unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0i32, |number, digit| {
        number.saturating_mul(10).saturating_add(i32::from(digit.wrapping_sub(b'0')))
    });
    Ok(Pid::from_raw(number))
}

fn read_stat(line: &mut [u8]) -> io::Result<usize> {
    let stat = rustix::fs::open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::io::read(&stat, line)?)
}

/// Takes back what keeps the daemon itself from the kernel's killer of processes when memory runs out. Who may not
/// change it has it from elsewhere.
fn ordinary_victim() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(&file, b"0");
    }
}

/// A guest with many disks and queues opens more files than a shell's limit.
fn raise_open_files() {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if now.current.is_some_and(|current| current < wanted) {
        let limit = Rlimit { current: Some(wanted), maximum: now.maximum };
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
}

impl Process {
    /// A process that another one has spawned. `is_it` is asked once its number is held, so that it cannot come to
    /// stand for another process. `None`: it has ended.
    pub(crate) fn adopt(pid: u32, is_it: impl FnOnce() -> bool) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match rustix::process::pidfd_open(number, PidfdFlags::NONBLOCK) {
            Ok(pidfd) if is_it() => {
                let (stdin, stdout, stderr) = (None, None, None);
                Ok(Some(Self {
                    pid,
                    pidfd,
                    reaped: false,
                    outlives: true,
                    adopted: true,
                    leads: false,
                    stdin,
                    stdout,
                    stderr,
                }))
            }
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends it whoever wants it to live.
    pub(crate) fn end(mut self) {
        self.outlives = false;
    }

    /// Hands it to the runtime that this is called in, which sees its end.
    pub(crate) fn watch(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: `as_raw_fd` always gives the pidfd, which is owned and not replaced while the process is.
        unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }
            .map_err(|error| error.into_parts().1)
    }

    /// How it ended, if it has; reaps it.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitKind>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if self.adopted {
            return Ok(self.has_ended().then(|| {
                self.reaped = true;
                self.status_of_another().map_or(ExitKind::Unknown, ExitKind::of)
            }));
        }
        if self.leads && self.has_ended() {
            // While it is not reaped its number, which is its session's, is nobody else's.
            end_session(self.pid);
        }
        let pidfd = std::os::fd::AsFd::as_fd(&self.pidfd);
        let status = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::PidFd(pidfd), options))?;
        let Some(status) = status else { return Ok(None) };
        self.reaped = true;
        let signal = status.terminating_signal().map(ExitKind::Signal);
        Ok(signal.or_else(|| status.exit_status().map(ExitKind::Code)))
    }

    /// The wait status of a process that has ended and is another one's child: from its /proc until its parent has
    /// reaped it, and from then on by its pidfd (Linux 6.15).
    fn status_of_another(&self) -> Option<i32> {
        let seen = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            // The state is the third field of proc(5), the status the 52nd: 0 where this may not be known.
            let mut fields = rest.split_ascii_whitespace();
            let is_dead = fields.next()? == "Z";
            fields.nth(48)?.parse().ok().filter(|status| is_dead && *status != 0)
        };
        self.status_by_pidfd().or_else(seen).or_else(|| self.status_by_pidfd())
    }

    fn status_by_pidfd(&self) -> Option<i32> {
        let mut info = PidfdInfo { mask: PidfdInfo::EXIT, ..PidfdInfo::default() };
        // SAFETY: the kernel writes at most as many bytes as the request's number says, which is the structure's size.
        let asked = unsafe { libc::ioctl(self.pidfd.as_raw_fd(), PidfdInfo::GET, &raw mut info) };
        (asked == 0 && info.mask & PidfdInfo::EXIT != 0).then_some(info.exit_code)
    }

    fn has_ended(&self) -> bool {
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut end = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        matches!(rustix::event::poll(&mut end, Some(&now)), Ok(1))
    }

    /// Waits so long for its end.
    pub(crate) fn wait_for(&self, limit: Duration) {
        let Ok(limit) = rustix::event::Timespec::try_from(limit) else { return };
        let mut end = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        // Whoever was interrupted does without.
        let _ = rustix::event::poll(&mut end, Some(&limit));
    }

    /// Sends a signal; one that comes too late is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.reaped {
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, signal);
        }
    }
}

/// Ends every process of a session whose first one is dead.
fn end_session(session: u32) {
    let is_of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The session is the sixth field of proc(5), the fourth after the name.
        let field = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split_ascii_whitespace().nth(3));
        field.and_then(|field| field.parse().ok()) == Some(session)
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in numbers.filter(|pid| *pid != session && is_of(*pid)) {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let held = number.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        // Its number may have come to another one before it was held.
        if let Some(held) = held.filter(|_| is_of(pid)) {
            tracing::warn!(pid, "a process that QEMU has left is ended");
            let _ = rustix::process::pidfd_send_signal(&held, Signal::KILL);
        }
    }
}

/// `struct pidfd_info` of <linux/pidfd.h>, in its first form.
#[derive(Debug, Default)]
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// Numbers of the process and its users.
    ids: [u32; 11],
    exit_code: i32,
}

impl PidfdInfo {
    /// `PIDFD_INFO_EXIT`.
    const EXIT: u64 = 1 << 3;
    /// `PIDFD_GET_INFO`: _IOWR(0xff, 11, 64 bytes).
    const GET: libc::Ioctl = 0xc040_ff0b;
}

impl AsRawFd for Process {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped && !self.outlives {
            self.signal(Signal::KILL);
            // One that the kernel holds is left to it.
            self.wait_for(DROP_LIMIT);
            let _ = self.try_wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn shell<'a>(script: &[OsString; 2], inherited: &'a [BorrowedFd<'a>]) -> Process {
        spawn_shell(script, inherited, None).unwrap()
    }

    fn spawn_shell(
        script: &[OsString; 2],
        inherited: &[BorrowedFd<'_>],
        memory_lock: Option<MemoryLock>,
    ) -> Result<Process, SpawnError> {
        let spawn = Spawn {
            program: Path::new("/bin/sh"),
            arguments: script,
            environment: &[],
            inherited,
            memory_lock,
            group: None,
            lifetime: Lifetime::WithSpawner,
            confinement: &Confinement::default(),
            stdin: Stdio::null(),
            stdout: Stdio::piped(),
            stderr: Stdio::null(),
        };
        spawn.spawn()
    }

    fn script(text: &str) -> [OsString; 2] {
        ["-c".into(), text.into()]
    }

    fn wait(process: &mut Process) -> ExitKind {
        let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&process.pidfd, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "it does not end");
        process.try_wait().unwrap().unwrap()
    }

    #[test]
    fn exits_and_signals_are_told_apart() {
        assert_eq!(wait(&mut shell(&script("exit 3"), &[])), ExitKind::Code(3));
        let mut killed = shell(&script("read x </dev/zero"), &[]);
        killed.signal(Signal::TERM);
        assert_eq!(wait(&mut killed), ExitKind::Signal(15));
    }

    #[test]
    fn only_the_named_descriptors_and_variables_are_inherited() {
        let leak = tempfile::NamedTempFile::new().unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let passed = tempfile::NamedTempFile::new().unwrap();
        let list = script("for fd in /proc/self/fd/*; do readlink $fd; done; env; ulimit -c");
        let mut process = shell(&list, &[passed.as_file().as_fd()]);
        let mut output = String::new();
        process.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        wait(&mut process);
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines.contains(&passed.path().to_str().unwrap()), "{output}");
        assert!(!lines.contains(&leak.path().to_str().unwrap()), "{output}");
        assert!(!output.contains("CARGO"), "{output}");
        assert_eq!(lines.last(), Some(&"0"));
    }

    #[test]
    fn the_daemons_keys_are_not_inherited() {
        // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING.
        // SAFETY: these are numbers.
        let own = unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) };
        let ask = format!("perl -e 'print syscall({}, 0, -3, 0)'", libc::SYS_keyctl);
        let mut process = shell(&script(&ask), &[]);
        let mut output = String::new();
        process.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert_eq!(wait(&mut process), ExitKind::Code(0));
        let childs: libc::c_long = output.trim().parse().unwrap();
        // A container may have no keyrings.
        assert!(childs != own || own == -1, "{childs}");
    }

    #[test]
    fn root_is_not_told_to_become_root() {
        assert!(!how_to_lock(true).contains("run as root"));
        assert!(how_to_lock(true).contains("CAP_SYS_RESOURCE"));
        assert!(how_to_lock(false).starts_with("run as root"));
    }

    #[test]
    fn what_a_process_leaves_behind_is_ended_with_it() {
        let mut process = shell(&script("sleep 600 & echo $!; exit 3"), &[]);
        let mut output = String::new();
        // The sleeper has the pipe too: its end is the sleeper's.
        let mut pipe = process.stdout.take().unwrap();
        assert_eq!(wait(&mut process), ExitKind::Code(3));
        pipe.read_to_string(&mut output).unwrap();
        assert!(output.trim().parse::<u32>().is_ok(), "{output}");
    }

    #[test]
    fn the_end_of_anothers_child_is_told() {
        for (text, expected) in [("exit 3", ExitKind::Code(3)), ("kill -ABRT $$", ExitKind::Signal(6))] {
            let gate = tempfile::tempdir().unwrap();
            let pipe = gate.path().join("gate");
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
            let mut child = shell(&script(&format!("read x <'{}'; {text}", pipe.display())), &[]);
            let pid = child.pid();
            let mut adopted = Process::adopt(pid, || true).unwrap().unwrap();
            assert_eq!(adopted.try_wait().unwrap(), None);
            std::fs::write(&pipe, "x\n").unwrap();
            // It is not reaped yet.
            assert_eq!(wait(&mut adopted), expected, "{text}");
            // And once it is, by the kernels that can tell.
            let mut later = Process::adopt(pid, || true).unwrap().unwrap();
            assert_eq!(wait(&mut child), expected);
            let told = wait(&mut later);
            assert!(told == expected || told == ExitKind::Unknown, "{told:?}");
        }
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell(&script("read x </dev/zero"), &[]);
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_missing_program_is_named() {
        let spawn = Spawn {
            program: Path::new("/nonexistent/qemu"),
            arguments: &[],
            environment: &[],
            inherited: &[],
            memory_lock: None,
            group: None,
            lifetime: Lifetime::WithSpawner,
            confinement: &Confinement::default(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: Stdio::null(),
        };
        assert_eq!(spawn.spawn().unwrap_err().to_string(), "start `/nonexistent/qemu`");
    }
}
