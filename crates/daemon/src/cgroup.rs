//! A control group for each guest, with a memory limit: a scope of systemd's where that runs the system, else a
//! directory of the kernel's control groups, of version 2 or 1.
//!
//! A process enters it before it becomes QEMU, so that all that it allocates is charged there. The group is gone when
//! this is dropped. Its name was never another's, so that what is found in it is this guest's alone.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal};

use crate::systemd::{MOST_THREADS, Systemd, SystemdError, scope_name};

/// How long systemd may take to put a process into its scope.
const PLACED_WITHIN: Duration = Duration::from_secs(5);

/// How long a group is left alone, whoever it belongs to.
const YOUNG: Duration = Duration::from_secs(60);

/// How often a group is made anew where it was taken away again before anything was in it.
const ATTEMPTS: u32 = 3;

/// How long what is left in a group may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// The directory of sevirt's groups, below the root of the hierarchy.
const OWN: &str = "sevirt";

/// A guest's control group.
#[derive(Debug)]
pub struct Group {
    directory: PathBuf,
    /// Writing to it makes a process enter.
    processes: Option<File>,
    kind: Kind,
    /// What it was made from; not known of one that another process has made.
    wanted: Option<Wanted>,
}

/// For whom a group is, and its limit in bytes.
#[derive(Debug, Clone)]
struct Wanted {
    guest: String,
    limit: Option<u64>,
}

#[derive(Debug)]
enum Kind {
    /// systemd removes the scope once it is empty; this process keeps it until then.
    Scope {
        keeper: Child,
    },
    Directory,
    /// The guest in it outlives this process, or another one has started it. It goes once it is empty.
    Adopted,
    /// A scope that systemd removes once it is empty.
    Left,
}

#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("no hierarchy of control groups that counts memory is mounted")]
    NoHierarchy,
    #[error("make or limit the control group `{}`", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("get random bytes for the name of a control group")]
    Random(#[source] getrandom::Error),
    #[error("start the process that keeps a scope")]
    Keeper(#[source] io::Error),
    #[error(transparent)]
    Systemd(SystemdError),
    #[error("systemd has not put the process into {unit} within {} s", PLACED_WITHIN.as_secs())]
    NotPlaced { unit: String },
}

impl Group {
    /// A group for a guest of that name, with a limit in bytes.
    pub fn make(guest: &str, limit: Option<u64>) -> Result<Self, GroupError> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let refused = match Systemd::find().map(|systemd| Self::scope(&systemd, guest, limit, &mounts)) {
            Some(Ok(group)) => return Ok(group),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let hierarchy = hierarchies(&mounts).into_iter().find(Hierarchy::counts_memory);
        let made = match hierarchy {
            Some(hierarchy) => Self::directory(&hierarchy, guest, limit, random_name),
            None => Err(GroupError::NoHierarchy),
        };
        // What systemd says is what there is to mend.
        made.map_err(|error| refused.unwrap_or(error))
    }

    /// Another one for the same guest with the same limit, where somebody took this one away before QEMU was in it.
    pub(crate) fn again(&self) -> Option<Result<Self, GroupError>> {
        self.wanted.as_ref().map(|Wanted { guest, limit }| Self::make(guest, *limit))
    }

    fn scope(systemd: &Systemd, guest: &str, limit: Option<u64>, mounts: &str) -> Result<Self, GroupError> {
        // It reads until sevirt lets go of the pipe.
        let keeper = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let keeper = Keeper(Some(keeper.map_err(GroupError::Keeper)?));
        let unit = random_name(guest, keeper.id())?;
        systemd.start_scope(&unit, keeper.id(), limit).map_err(GroupError::Systemd)?;
        let deadline = Instant::now() + PLACED_WITHIN;
        let path = loop {
            let own = fs::read_to_string(format!("/proc/{}/cgroup", keeper.id())).unwrap_or_default();
            if let Some(path) = place(&own, mounts).filter(|path| path.ends_with(&unit)) {
                break path;
            }
            // One round trip is the time between two looks.
            if Instant::now() > deadline || !systemd.knows(&unit) {
                return Err(GroupError::NotPlaced { unit });
            }
        };
        let processes = open(&path)?;
        let kind = Kind::Scope { keeper: keeper.keep()? };
        let wanted = Some(Wanted { guest: guest.to_owned(), limit });
        Ok(Self { directory: path, processes: Some(processes), kind, wanted })
    }

    /// Others that tidy up, another version of this among them, may take away what has nothing in it yet. And a name
    /// that somebody has is no reason to do without a limit.
    fn directory(
        hierarchy: &Hierarchy,
        guest: &str,
        limit: Option<u64>,
        name: impl Fn(&str, u32) -> Result<String, GroupError>,
    ) -> Result<Self, GroupError> {
        let again = |error: &GroupError| match error {
            GroupError::Directory { source, .. } => is_gone(source) || is_taken(source),
            _ => false,
        };
        let mut attempt = 1;
        loop {
            let name = name(guest, std::process::id())?;
            match Self::directory_called(hierarchy, &name, guest, limit) {
                Err(error) if attempt < ATTEMPTS && again(&error) => attempt += 1,
                made => return made,
            }
        }
    }

    fn directory_called(
        hierarchy: &Hierarchy,
        name: &str,
        guest: &str,
        limit: Option<u64>,
    ) -> Result<Self, GroupError> {
        let parent = hierarchy.root.join(OWN);
        let directory = parent.join(name);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| GroupError::Directory { path, source }
        };
        if hierarchy.version == Version::V2 {
            allow(&hierarchy.root, "memory").map_err(failed(&hierarchy.root))?;
            // A host that has no such controller has no such bound.
            let _ = allow(&hierarchy.root, "pids");
        }
        fs::create_dir_all(&parent).map_err(failed(&parent))?;
        if hierarchy.version == Version::V2 {
            allow(&parent, "memory").map_err(failed(&parent))?;
            let _ = allow(&parent, "pids");
        }
        sweep(&parent);
        fs::create_dir(&directory).map_err(failed(&directory))?;
        if hierarchy.version == Version::V2 {
            let _ = fs::write(directory.join("pids.max"), MOST_THREADS.to_string());
        }
        let limited = match limit {
            None => Ok(()),
            Some(limit) => fs::write(directory.join(hierarchy.version.limit()), limit.to_string()),
        };
        let opened = limited.map_err(failed(&directory)).and_then(|()| open(&directory));
        match opened {
            Ok(processes) => {
                let wanted = Some(Wanted { guest: guest.to_owned(), limit });
                Ok(Self { directory, processes: Some(processes), kind: Kind::Directory, wanted })
            }
            Err(error) => {
                // It is empty.
                let _ = fs::remove_dir(&directory);
                Err(error)
            }
        }
    }

    /// The group of a guest that was started by another process.
    pub fn adopt(directory: PathBuf) -> Self {
        Self { directory, processes: None, kind: Kind::Adopted, wanted: None }
    }

    /// Ends what a guest's QEMU has left in it: where the emulator is a program that starts QEMU, that QEMU. First it is
    /// asked to. May block, where there is something.
    pub(crate) fn clear(&self) {
        for signal in [Signal::TERM, Signal::KILL] {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            let group = self.directory.display();
            tracing::warn!(%group, left = left.len(), ?signal, "processes that QEMU has left are ended");
            for process in &left {
                // Who is gone needs no signal.
                let _ = rustix::process::pidfd_send_signal(process, signal);
            }
            let deadline = Instant::now() + GRACE;
            for process in &left {
                wait(process, deadline.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// What runs in it, but the keeper of a scope.
    fn processes(&self) -> Vec<OwnedFd> {
        let read = || fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        let keeper = match &self.kind {
            Kind::Scope { keeper } => Some(keeper.id().to_string()),
            _ => None,
        };
        let hold = |line: &str| {
            let number = Pid::from_raw(line.parse().ok()?)?;
            let held = rustix::process::pidfd_open(number, PidfdFlags::empty()).ok()?;
            // Its number may have come to another one before it was held.
            read().lines().any(|now| now == line).then_some(held)
        };
        read().lines().filter(|line| keeper.as_deref() != Some(*line)).filter_map(hold).collect()
    }

    /// Whether the kernel has ended something in it because its limit of memory was reached.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        let files = ["memory.events", "memory.oom_control"];
        let text = files.into_iter().find_map(|name| fs::read_to_string(self.directory.join(name)).ok());
        let count =
            text.as_deref().unwrap_or_default().lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse::<u64>().ok()).is_some_and(|count| count > 0)
    }

    /// Where a process writes `0` to enter; an adopted group has its process.
    pub(crate) fn entrance(&self) -> Option<BorrowedFd<'_>> {
        self.processes.as_ref().map(AsFd::as_fd)
    }

    /// Leaves the group to the guest that runs in it.
    pub(crate) fn outlive(&mut self) {
        match &mut self.kind {
            Kind::Scope { keeper } => {
                end(keeper);
                self.kind = Kind::Left;
            }
            Kind::Directory => self.kind = Kind::Adopted,
            Kind::Adopted | Kind::Left => {}
        }
    }

    /// The most that it was charged for, in bytes.
    pub fn peak(&self) -> Option<u64> {
        let files = ["memory.peak", "memory.max_usage_in_bytes"];
        files
            .into_iter()
            .find_map(|name| fs::read_to_string(self.directory.join(name)).ok()?.trim().parse().ok())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        match &mut self.kind {
            Kind::Scope { keeper } => end(keeper),
            Kind::Left => {}
            // The guest may run on in it.
            Kind::Adopted => drop(fs::remove_dir(&self.directory)),
            Kind::Directory => {
                if let Err(error) = fs::remove_dir(&self.directory)
                    && !is_gone(&error)
                {
                    tracing::warn!(group = %self.directory.display(), %error, "a guest's control group is left");
                }
            }
        }
    }
}

/// A process that ends with this unless it is kept.
struct Keeper(Option<Child>);

impl Keeper {
    fn id(&self) -> u32 {
        self.0.as_ref().map_or(0, Child::id)
    }

    fn keep(mut self) -> Result<Child, GroupError> {
        self.0.take().ok_or_else(|| GroupError::Keeper(io::ErrorKind::NotFound.into()))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It is ours and not reaped, so the process is right.
    let _ = child.kill();
    let _ = child.wait();
}

fn random_name(guest: &str, process: u32) -> Result<String, GroupError> {
    let mut random = [0u8; 4];
    getrandom::fill(&mut random).map_err(GroupError::Random)?;
    Ok(scope_name(guest, process, u32::from_ne_bytes(random)))
}

/// It was there, and somebody has removed it.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

fn wait(process: &OwnedFd, limit: Duration) {
    let Ok(limit) = rustix::event::Timespec::try_from(limit) else { return };
    let mut end = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
    // Whoever was interrupted does without.
    let _ = rustix::event::poll(&mut end, Some(&limit));
}

/// Takes away what daemons that were killed have left. To be called before guests are started.
pub(crate) fn sweep_all() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for hierarchy in hierarchies(&mounts) {
        sweep(&hierarchy.root.join(OWN));
    }
}

/// Takes away the groups of those who were killed before they could: the process after which a group is named is gone,
/// and the kernel removes none in which something runs.
///
/// One that was just made may be empty still, and its owner in another namespace of processes.
fn sweep(parent: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let made = entry.metadata().and_then(|found| found.modified());
        made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > YOUNG))
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten().filter(is_old) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| {
            let (_, owner) = name.strip_suffix(".scope")?.rsplit_once('-')?;
            owner.split('.').next()?.parse().ok()
        });
        if owner.is_some_and(|owner: u32| !Path::new(&format!("/proc/{owner}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn open(directory: &Path) -> Result<File, GroupError> {
    let path = directory.join("cgroup.procs");
    OpenOptions::new().write(true).open(&path).map_err(|source| GroupError::Directory { path, source })
}

/// Lets groups below a directory of version 2 have limits by a controller.
fn allow(directory: &Path, controller: &str) -> io::Result<()> {
    let path = directory.join("cgroup.subtree_control");
    if fs::read_to_string(&path)?.split_whitespace().any(|name| name == controller) {
        return Ok(());
    }
    fs::write(path, format!("+{controller}"))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn limit(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }
}

impl Hierarchy {
    fn counts_memory(&self) -> bool {
        match self.version {
            Version::V1 => true,
            Version::V2 => fs::read_to_string(self.root.join("cgroup.controllers"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "memory")),
        }
    }
}

/// Mounted hierarchies that may count memory, version 1's controller first: where it is mounted it has the memory.
fn hierarchies(mounts: &str) -> Vec<Hierarchy> {
    let of = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == "memory") => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        Some(Hierarchy { root: PathBuf::from(path), version })
    };
    let mut found: Vec<Hierarchy> = mounts.lines().filter_map(of).collect();
    found.sort_by_key(|hierarchy| hierarchy.version == Version::V2);
    found
}

/// The directory of the group that a process is in, in the hierarchy that counts memory.
pub(crate) fn of_process(pid: u32) -> Option<PathBuf> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    place(&own, &fs::read_to_string("/proc/self/mounts").ok()?)
}

/// The directory of a process's group, by its `/proc/PID/cgroup`: that of the hierarchy that counts memory.
fn place(own: &str, mounts: &str) -> Option<PathBuf> {
    let hierarchies = hierarchies(mounts);
    let lines = || {
        own.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            Some((fields.next()?, fields.next()?))
        })
    };
    hierarchies.iter().find_map(|hierarchy| {
        let is_it = |controllers: &str| match hierarchy.version {
            Version::V1 => controllers.split(',').any(|name| name == "memory"),
            Version::V2 => controllers.is_empty(),
        };
        let (_, path) = lines().find(|(controllers, _)| is_it(controllers))?;
        Some(hierarchy.root.join(path.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_that_counts_memory_is_found() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
        let own = "9:memory:/machine.slice/a.scope\n4:cpu,cpuacct:/\n0::/machine.slice/a.scope\n";
        let in_memory = Path::new("/sys/fs/cgroup/memory/machine.slice/a.scope");
        assert_eq!(place(own, hybrid).as_deref(), Some(in_memory));
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let place_of = |own| place(own, unified);
        assert_eq!(
            place_of("0::/machine.slice/a.scope\n"),
            Some("/sys/fs/cgroup/machine.slice/a.scope".into())
        );
        assert_eq!(place_of("9:memory:/a\n"), None);
        assert_eq!(hierarchies("proc /proc proc rw 0 0\n"), []);
    }

    #[test]
    fn a_group_of_version_2_is_made_limited_and_removed() {
        // A directory in the hierarchy's place: the kernel would have made the files.
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("cgroup.subtree_control", "cpu\n");
        write("sevirt/cgroup.subtree_control", "memory\n");
        let hierarchy = Hierarchy { root: root.path().into(), version: Version::V2 };
        // Without `cgroup.procs` it is no group, and nothing is left of it but what the kernel would remove.
        let name = |_: &str, _| Ok("sevirt-a-7.scope".to_owned());
        let error = Group::directory(&hierarchy, "a", Some(4096), name).unwrap_err();
        assert!(matches!(error, GroupError::Directory { .. }), "{error}");
        assert_eq!(fs::read_to_string(root.path().join("cgroup.subtree_control")).unwrap(), "+pids");
        let limit = root.path().join("sevirt/sevirt-a-7.scope/memory.max");
        assert_eq!(fs::read_to_string(limit).unwrap(), "4096");
    }

    #[test]
    fn a_name_that_somebody_has_is_not_taken() {
        let Some(hierarchy) = usable() else { return println!("control groups not tried") };
        let calls = std::cell::Cell::new(0u32);
        let name = |_: &str, owner| {
            calls.set(calls.get() + 1);
            // The first one is there already.
            Ok(scope_name("taken", owner, calls.get().max(2) - 2))
        };
        let first = Group::directory(&hierarchy, "taken", Some(64 << 20), name).unwrap();
        let second = Group::directory(&hierarchy, "taken", Some(64 << 20), name).unwrap();
        assert_ne!(first.path(), second.path());
        assert_eq!(calls.get(), 3);
        let limit = fs::read_to_string(second.path().join(hierarchy.version.limit())).unwrap();
        assert_eq!(limit.trim(), (64 << 20).to_string());
    }

    #[test]
    fn a_group_that_somebody_took_away_is_made_again() {
        let Ok(group) = Group::make("taken-away", Some(64 << 20)) else {
            return println!("control groups not tried");
        };
        fs::remove_dir(group.path()).unwrap();
        let again = group.again().unwrap().unwrap();
        assert!(again.path().exists() && again.path() != group.path());
        // Of one that another process has made nothing is known.
        assert!(Group::adopt(again.path().into()).again().is_none());
    }

    #[test]
    fn what_is_left_in_a_group_is_ended() {
        let Ok(group) = Group::make("leaves", Some(64 << 20)) else {
            return println!("control groups not tried");
        };
        let enter = format!("echo 0 > '{}/cgroup.procs'; exec sleep 600", group.path().display());
        let mut left = Command::new("sh").args(["-c", &enter]).spawn().unwrap();
        let deadline = Instant::now() + GRACE;
        while group.processes().is_empty() {
            assert!(Instant::now() < deadline, "it does not enter");
        }
        group.clear();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(left.wait().unwrap().signal(), Some(15));
        let path = group.path().to_owned();
        drop(group);
        assert!(!path.exists());
    }

    /// A hierarchy in which this process may make groups.
    fn usable() -> Option<Hierarchy> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let hierarchy = hierarchies(&mounts).into_iter().find(Hierarchy::counts_memory)?;
        Group::directory(&hierarchy, "tried", None, random_name).ok()?;
        Some(hierarchy)
    }

    #[test]
    fn groups_whose_owner_was_killed_are_taken_away() {
        let parent = tempfile::tempdir().unwrap();
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let names = [
            scope_name("killed", ended.id(), 7),
            scope_name("lives", std::process::id(), 7),
            "sevirt-of-nobody.scope".to_owned(),
            "other".to_owned(),
        ];
        for name in &names {
            fs::create_dir(parent.path().join(name)).unwrap();
            let made = std::time::SystemTime::now() - 2 * YOUNG;
            File::open(parent.path().join(name)).unwrap().set_modified(made).unwrap();
        }
        let young = scope_name("young", ended.id(), 7);
        fs::create_dir(parent.path().join(&young)).unwrap();
        sweep(parent.path());
        let left: Vec<bool> = names.iter().map(|name| parent.path().join(name).exists()).collect();
        assert_eq!(left, [false, true, true, true]);
        assert!(parent.path().join(young).exists());
    }

    #[test]
    fn what_runs_in_a_group_is_charged_there() {
        let limit = 64 << 20;
        let group = match Group::make("a test's", Some(limit)) {
            Ok(group) => group,
            Err(error) => return println!("control groups not tried: {}", crate::chain(&error)),
        };
        let path = group.path().to_owned();
        let script = format!(
            "echo $$ > '{}/cgroup.procs' && exec head -c 20000000 /dev/zero | tail -c 20000000",
            path.display()
        );
        let done = Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).status().unwrap();
        assert!(done.success());
        let peak = group.peak().unwrap();
        assert!((20_000_000..limit).contains(&peak), "{peak}");
        drop(group);
        assert!(!path.exists());
    }
}
