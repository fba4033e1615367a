//! How a guest's QEMU is kept apart from the host and from other guests: its user, what it sees of the file system,
//! which files it may open, what it may do.
//!
//! docs/security.md says what each measure is for, and how to see it on a running guest.

mod account;
mod credentials;
mod named;
mod needs;
mod owners;
mod path;
mod trial;
mod view;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::disk::Disk;
use qemu::plan::{MemoryDirs, Plan};
use rustix::process::Gid;
use rustix::thread::UnshareFlags;

use crate::service::Paths;
use crate::vm::RunDir;
pub(crate) use needs::is_lowest;
use needs::{Access, Need};
use view::View;

pub use account::Account;
pub use credentials::Credentials;
pub(crate) use credentials::assume;
pub use owners::OwnerError;
pub use path::PathError;
pub use trial::TrialError;
pub use view::ViewError;

/// QEMU's user, unless the configuration says otherwise.
pub const USER: &str = "sevirt-qemu";

/// The section `[isolation]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whom QEMU runs as; `root` for the daemon's own user.
    pub user: String,
    /// QEMU's primary group, where it is not the user's own.
    pub group: Option<String>,
    /// Whether QEMU has namespaces of its own.
    pub namespaces: bool,
    /// Files and directories that every QEMU sees in them, beside the system's and its guest's.
    pub visible: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { user: USER.into(), group: None, namespaces: true, visible: Vec::new() }
    }
}

/// How guests are kept apart, decided once.
#[derive(Debug, Clone, Default)]
pub struct Isolation {
    level: Level,
}

#[derive(Debug, Clone, Default)]
enum Level {
    /// QEMU runs as its caller and sees what its caller sees.
    #[default]
    AsCaller,
    Own(Own),
    /// There is no such user or group, so nothing is started.
    Missing(Missing),
}

#[derive(Debug, Clone)]
struct Own {
    account: Account,
    namespaces: bool,
    hidden: Vec<PathBuf>,
    visible: Vec<PathBuf>,
    /// Where former owners are on record that must outlive the host's power.
    owners: PathBuf,
}

/// What the user database does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error(
        "QEMU's user `{0}` does not exist: make it with `systemd-sysusers sevirt.conf` or `useradd --system \
         --user-group --no-create-home --shell /usr/sbin/nologin {0}`, or name another in `[isolation] user` of \
         sevirtd.toml"
    )]
    User(String),
    #[error("there is no group `{0}`, which `[isolation] group` of sevirtd.toml names")]
    Group(String),
    #[error("look up {what}: {reason}")]
    Unknown { what: String, reason: String },
}

/// Why a guest cannot be kept apart as it should be.
#[derive(Debug, thiserror::Error)]
pub enum IsolateError {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error("give `{}` to QEMU's user", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0}; without namespaces (`[isolation] namespaces = false`) guests are kept apart less")]
    View(String),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error("reach into the guest's namespace")]
    Admit(#[source] io::Error),
}

impl Isolation {
    /// QEMU runs as whoever starts it, in the same namespaces: for those who are not root, and for `sevirt run`.
    #[must_use]
    pub fn as_caller() -> Self {
        Self::default()
    }

    /// As the settings of a daemon say. Where QEMU's user is missing, [`Isolation::fault`] tells so, and so does each
    /// start.
    #[must_use]
    pub fn new(settings: &Settings, paths: &Paths) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::as_caller();
        }
        let account = match account_of(settings) {
            Ok(account) => account,
            Err(missing) => return Self { level: Level::Missing(missing) },
        };
        let hidden = vec![paths.state.clone(), paths.run.clone(), paths.log.clone(), paths.cache.clone()];
        let owners = owners_of(paths);
        let (namespaces, visible) = (settings.namespaces, settings.visible.clone());
        Self { level: Level::Own(Own { account, namespaces, hidden, visible, owners }) }
    }

    /// What stands in the way of every start.
    #[must_use]
    pub fn fault(&self) -> Option<&Missing> {
        match &self.level {
            Level::Missing(missing) => Some(missing),
            Level::AsCaller | Level::Own(_) => None,
        }
    }

    /// The name of the user that QEMU runs as, where it is another than the caller.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match &self.level {
            Level::Own(own) => Some(&own.account.name),
            Level::AsCaller | Level::Missing(_) => None,
        }
    }

    /// The user and group that QEMU runs as, where they are others than the caller's.
    pub(crate) fn owner(&self) -> Option<(rustix::process::Uid, Gid)> {
        match &self.level {
            Level::Own(own) => Some((own.account.uid, own.account.gid)),
            Level::AsCaller | Level::Missing(_) => None,
        }
    }

    /// User and group by number, as libvirt's security label for model `dac` has them: `+UID:+GID`.
    #[must_use]
    pub fn label(&self) -> String {
        let (uid, gid) = match &self.level {
            Level::Own(own) => (own.account.uid, own.account.gid),
            Level::AsCaller | Level::Missing(_) => (rustix::process::geteuid(), rustix::process::getegid()),
        };
        format!("+{}:+{}", uid.as_raw(), gid.as_raw())
    }

    /// Each measure in a line, for people.
    #[must_use]
    pub fn measures(&self) -> Vec<String> {
        let always = "no new privileges, QEMU's seccomp sandbox, no core dumps, control group".to_owned();
        match &self.level {
            Level::AsCaller => {
                vec!["QEMU runs as the daemon's user, in the daemon's namespaces".into(), always]
            }
            Level::Missing(missing) => vec![format!("no guest is started: {missing}")],
            Level::Own(own) => {
                let Account { name, uid, gid } = &own.account;
                let (uid, gid) = (uid.as_raw(), gid.as_raw());
                let namespaces = if own.namespaces {
                    "mounts, processes and System V IPC of its own; of files, the system's and the guest's are seen"
                } else {
                    "the daemon's namespaces (`namespaces = false`)"
                };
                vec![
                    format!("QEMU runs as {name} ({uid}:{gid}), without capabilities"),
                    namespaces.into(),
                    always,
                ]
            }
        }
    }

    /// Gives a domain's files to QEMU's user, and prepares what its QEMU will see. Undone by [`release`].
    pub(crate) fn confine(
        &self,
        domain: &Domain,
        plan: &Plan,
        memory: &MemoryDirs,
        run_dir: &RunDir,
    ) -> Result<Confinement, IsolateError> {
        let own = match &self.level {
            Level::AsCaller => return Ok(Confinement::default()),
            Level::Missing(missing) => return Err(missing.clone().into()),
            Level::Own(own) => own,
        };
        let account = &own.account;
        let directory = run_dir.qemu();
        std::os::unix::fs::chown(&directory, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
            .map_err(|source| IsolateError::Directory { path: directory.clone(), source })?;
        let needs = needs::of_domain(domain, plan.firmware());
        let mut view = own.namespaces.then(|| View { hidden: own.hidden.clone(), ..View::default() });
        let files = own.split(&needs, view.as_mut());
        owners::take(run_dir.path(), &own.owners, account, &files)?;
        let mut devices = vec![PathBuf::from("/dev/kvm")];
        if domain.launch_security.is_some() {
            devices.push("/dev/sev".into());
        }
        if domain.devices.vsock.is_some() {
            devices.push("/dev/vhost-vsock".into());
        }
        let credentials = account.with(groups(&devices));
        if let Some(view) = &mut view {
            view.roots = view::roots().map_err(|error| IsolateError::View(crate::chain(&error)))?;
            let programs = installation(plan.emulator()).chain(preloaded());
            view.kept = own.visible.iter().cloned().chain([directory]).chain(programs).collect();
            view.kept.extend(of_the_host());
            view.kept.extend(memory.huge_pages.values().chain([&memory.files]).cloned());
            view.kept.extend(named::shown(&plan.argv(), &own.hidden));
            view.kept.extend(files.iter().map(|need| need.path.clone()));
            let closed = view::closed_to(account, view.kept.iter().map(PathBuf::as_path));
            view.hidden.extend(closed);
            view.devices.extend(devices);
        } else {
            // QEMU goes through them to its own.
            for path in [run_dir.path().parent(), Some(run_dir.path())].into_iter().flatten() {
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o711));
            }
        }
        Ok(Confinement { credentials: Some(credentials), view, needs: files })
    }

    /// Puts a directory that QEMU may write to in the place of each mount of huge pages. [`release`] removes it.
    pub(crate) fn own_huge_pages(
        &self,
        memory: &mut MemoryDirs,
        run_dir: &RunDir,
    ) -> Result<(), IsolateError> {
        let Level::Own(own) = &self.level else { return Ok(()) };
        for path in memory.huge_pages.values_mut() {
            let directory = huge_pages_of(path, run_dir.path());
            let make = || {
                fs::DirBuilder::new().mode(0o700).create(&directory)?;
                let Account { uid, gid, .. } = own.account;
                std::os::unix::fs::chown(&directory, Some(uid.as_raw()), Some(gid.as_raw()))
            };
            make().map_err(|source| IsolateError::Directory { path: directory.clone(), source })?;
            *path = directory;
        }
        Ok(())
    }

    /// Lets a running guest's QEMU use a disk that is being attached to it.
    ///
    /// # Errors
    /// Its files are not there or cannot be had; nothing is left changed.
    pub fn admit(&self, run_dir: &Path, pid: u32, disk: &Disk) -> Result<(), IsolateError> {
        let Level::Own(own) = &self.level else { return Ok(()) };
        let mut needs = Vec::new();
        needs::of_disk(disk, &mut needs);
        let mut view = own.namespaces.then(View::default);
        let files = own.split(&needs, view.as_mut());
        owners::take(run_dir, &own.owners, &own.account, &files)?;
        if let Some(view) = &mut view {
            view.kept = files.iter().map(|need| need.path.clone()).collect();
        }
        let credentials = own.account.with(Vec::new());
        let admitted = std::thread::scope(|scope| {
            let admit = || {
                if let Some(view) = &view {
                    view.add_to(pid).map_err(IsolateError::Admit)?;
                }
                Ok(trial::open_all(&credentials, &files)?)
            };
            let panicked = |_| Err(IsolateError::Admit(io::Error::other("a thread panicked")));
            scope.spawn(admit).join().unwrap_or_else(panicked)
        });
        if admitted.is_err() {
            owners::release_some(run_dir, &files)?;
        }
        admitted
    }

    /// Takes back what [`Isolation::admit`] gave, when the disk is detached.
    pub fn withdraw(&self, run_dir: &Path, disk: &Disk) {
        let mut needs = Vec::new();
        needs::of_disk(disk, &mut needs);
        if let Err(error) = owners::release_some(run_dir, &needs) {
            tracing::warn!(error = crate::chain(&error), "a detached disk's owner is not restored");
        }
    }
}

fn account_of(settings: &Settings) -> Result<Account, Missing> {
    let unknown = |what: &str, name: &str| {
        let what = format!("{what} `{name}`");
        move |error: io::Error| Missing::Unknown { what, reason: error.to_string() }
    };
    let user = &settings.user;
    let found = Account::find(user).map_err(unknown("the user", user))?;
    let mut account = found.ok_or_else(|| Missing::User(user.clone()))?;
    if let Some(name) = &settings.group {
        let found = account::group(name).map_err(unknown("the group", name))?;
        account.gid = found.ok_or_else(|| Missing::Group(name.clone()))?;
    }
    Ok(account)
}

/// Gives a guest's files back to those whose they were before it started. To be called when its QEMU is gone, before its
/// run directory goes.
pub(crate) fn release(run_dir: &Path) {
    owners::release(run_dir);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for path in crate::start::huge_pages(&mounts).values() {
        // QEMU leaves nothing in it, and most guests have none.
        let _ = fs::remove_dir(huge_pages_of(path, run_dir));
    }
}

/// Gives back the files of guests that were lost with the host's power. To be called before guests are started.
pub(crate) fn restore(paths: &Paths) {
    owners::restore(&paths.run.join("guests"), &owners_of(paths));
}

fn owners_of(paths: &Paths) -> PathBuf {
    paths.state.join("owners")
}

/// A guest's directory on a mount of huge pages.
fn huge_pages_of(mount: &Path, run_dir: &Path) -> PathBuf {
    let mut name = OsString::from("sevirt-");
    name.push(run_dir.file_name().unwrap_or_default());
    mount.join(name)
}

impl Own {
    /// Puts devices into the view, and tells what files are left, whose owners are to be changed.
    fn split(&self, needs: &[Need], view: Option<&mut View>) -> Vec<Need> {
        let Some(view) = view else { return needs.to_vec() };
        let is_device = |need: &&Need| {
            need.access != Access::Create && view::is_device(&need.path) && need.path.starts_with("/dev")
        };
        let (devices, files): (Vec<_>, Vec<_>) = needs.iter().partition(is_device);
        for need in devices {
            // What everybody may use stays everybody's.
            if need.access == Access::Read && view::is_everybodys(&need.path) {
                view.devices.push(need.path.clone());
            } else {
                view.own_devices.push((need.path.clone(), self.account.clone()));
            }
        }
        files.into_iter().cloned().collect()
    }
}

/// The groups whose devices these are.
fn groups(devices: &[PathBuf]) -> Vec<Gid> {
    use std::os::unix::fs::MetadataExt as _;
    let group_of = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        (found.gid() != 0 && found.mode() & 0o060 != 0).then(|| Gid::from_raw(found.gid()))
    };
    let mut groups: Vec<Gid> = devices.iter().filter_map(group_of).collect();
    groups.dedup();
    groups
}

/// A QEMU, with what lies beside it where it is not the distribution's.
fn installation(emulator: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let real = emulator.canonicalize().unwrap_or_else(|_| emulator.to_owned());
    let beside = real.parent().map(|directory| match directory.parent() {
        Some(prefix) if prefix.join("share/qemu").is_dir() => prefix,
        _ => directory,
    });
    // Of a directory that is everybody's the program alone.
    let beside = beside.filter(|directory| directory.ancestors().count() > 2 && !view::is_shared(directory));
    [emulator.to_owned()].into_iter().chain(beside.map(Path::to_owned))
}

/// What QEMU opens of the host without being told: how names are resolved, and modules that an upgrade of its package
/// has put aside for those that run.
fn of_the_host() -> impl Iterator<Item = PathBuf> {
    let resolver = Path::new("/etc/resolv.conf").canonicalize().ok();
    // It is replaced whenever it changes, so its directory is shown.
    let resolver = resolver.and_then(|file| Some(file.parent()?.to_owned()));
    let resolver = resolver.filter(|directory| directory.ancestors().count() > 2);
    resolver.into_iter().chain(["/var/run/qemu".into()])
}

/// What the dynamic linker and a simulated platform need, where they are used: see [`crate::process`].
fn preloaded() -> impl Iterator<Item = PathBuf> {
    let listed = |name: &str, separators: &'static [char]| {
        let value = std::env::var(name).unwrap_or_default();
        let paths = value.split(separators).filter(|path| path.starts_with('/')).map(PathBuf::from);
        paths.collect::<Vec<_>>()
    };
    [
        listed("LD_PRELOAD", &[':', ' ']),
        listed("LD_LIBRARY_PATH", &[':', ';']),
        listed("QEMU_MODULE_DIR", &[]),
        listed("SEVSIM_SOCKET", &[]),
    ]
    .into_iter()
    .flatten()
}

/// What is prepared for one QEMU. By default it runs as its caller and sees what its caller sees.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    pub(crate) credentials: Option<Credentials>,
    view: Option<View>,
    /// What QEMU will open.
    needs: Vec<Need>,
}

impl Confinement {
    /// Whether QEMU is to be spawned in a thread that has [entered](Self::enter) what is its own.
    pub(crate) fn is_own(&self) -> bool {
        self.credentials.is_some()
    }

    /// Whether QEMU has namespaces of its own.
    pub(crate) fn has_namespaces(&self) -> bool {
        self.view.is_some()
    }

    /// Moves the calling thread into QEMU's namespaces, and tries as QEMU's user whether its files can be opened. A
    /// thread that has done so can fork, and make no other thread.
    pub(crate) fn enter(&self) -> Result<(), IsolateError> {
        if let Some(view) = &self.view {
            view.enter().map_err(|error| IsolateError::View(crate::chain(&error)))?;
        }
        if let Some(credentials) = &self.credentials {
            trial::open_all(credentials, &self.needs)?;
        }
        if self.has_namespaces() {
            let namespaces = UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
            view::unshare(namespaces).map_err(|error| IsolateError::View(error.to_string()))?;
        }
        Ok(())
    }
}
