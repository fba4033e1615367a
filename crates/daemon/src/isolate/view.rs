//! What a QEMU sees of the host's file system: a mount namespace of its own.
//!
//! ```text
//!   /dev            a few devices: null, zero, full, random, urandom, ptmx, kvm, sev; the guest's own disks
//!   /dev/pts        the host's, so that consoles can be opened from outside
//!   /dev/shm        its own
//!   /proc           of its own process namespace: no other process is there
//!   /usr /etc /sys  the host's, as everything of the system is: without devices and without set-user-id programs
//!   elsewhere       empty but for the guest's own files and directories, and the links that lead to them: all guests
//!                   have one user, so what is another's must not be there
//!   /run/sevirt     the same, also where a directory around it is shown
//! ```
//!
//! It is made in the thread that spawns QEMU, which ends with the spawn, so that whatever fails is told by name. What
//! the host mounts later is seen in it, but for what is below the directories that are covered.

#![expect(unsafe_code, reason = "namespaces are entered and mounts changed by calls without a safe form")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, OFlags, Uid, chown, makedev, mknodat, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::account::Account;

/// Devices that every QEMU has.
const USUAL: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// `/dev/ptmx`: it makes pseudo terminals of the `pts` beside it.
const PTMX: (u32, u32) = (5, 2);

/// What is prepared for one QEMU.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Devices as they are on the host.
    pub(super) devices: Vec<PathBuf>,
    /// Devices that are the guest's.
    pub(super) own_devices: Vec<(PathBuf, Account)>,
    /// Directories that are covered: those of the root directory that are not the system's.
    pub(super) roots: Vec<PathBuf>,
    /// Directories that are covered also where something around them is kept.
    pub(super) hidden: Vec<PathBuf>,
    /// What is left of them: files and directories.
    pub(super) kept: Vec<PathBuf>,
}

/// Directories of the root directory that every QEMU sees, beside those of libraries: the system's programs and settings,
/// what the kernel offers.
const OF_THE_SYSTEM: [&str; 9] = ["bin", "dev", "etc", "gnu", "nix", "proc", "sbin", "sys", "usr"];

/// The other ones.
pub(super) fn roots() -> Result<Vec<PathBuf>, ViewError> {
    let root = Path::new("/");
    let mut roots = Vec::new();
    for entry in fs::read_dir(root).map_err(failed("list", root))? {
        let entry = entry.map_err(failed("list", root))?;
        let name = entry.file_name();
        let is_systems = name.as_encoded_bytes().starts_with(b"lib")
            || name.to_str().is_some_and(|name| OF_THE_SYSTEM.contains(&name));
        // By what the directory says: what is mounted there may not answer.
        if !is_systems && entry.file_type().map_err(failed("look at", &entry.path()))?.is_dir() {
            roots.push(entry.path());
        }
    }
    Ok(roots)
}

#[derive(Debug, thiserror::Error)]
#[error("{what} `{}` in QEMU's namespace", path.display())]
pub struct ViewError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> ViewError {
    let path = path.to_owned();
    move |source| ViewError { what, path, source: source.into() }
}

impl View {
    /// Moves the calling thread into the new namespace.
    pub(super) fn enter(&self) -> Result<(), ViewError> {
        let root = Path::new("/");
        unshare(UnshareFlags::NEWNS).map_err(failed("unshare", root))?;
        // What is mounted here stays here; what the host mounts and unmounts comes in.
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", slave).map_err(failed("set apart", root))?;

        let dev = Path::new("/dev");
        let terminals = clone(&dev.join("pts"), Depth::One)?;
        let mut nodes = BTreeMap::new();
        for path in USUAL.iter().map(Path::new).chain(self.devices.iter().map(PathBuf::as_path)) {
            if let Some(node) = Node::find(path, None)? {
                nodes.insert(path, node);
            }
        }
        for (path, account) in &self.own_devices {
            if let Some(node) = Node::find(path, Some(account))? {
                nodes.insert(path, node);
            }
        }
        forbid_devices();
        let hidden = self.hidden();
        let is_inside = |path: &Path, directories: &[PathBuf]| {
            directories.iter().any(|directory| path.starts_with(directory))
        };
        let (mut outer, mut inner) = (Kept::default(), Kept::default());
        for path in &self.kept {
            let Some(Trail { links, end }) = Trail::of(path) else { continue };
            for (link, target) in links {
                let kept = if is_inside(&link, &hidden) { &mut inner } else { &mut outer };
                kept.links.insert(link, target);
            }
            if is_inside(&end, &hidden) {
                let tree = clone(&end, Depth::All)?;
                inner.trees.insert(end, tree);
            } else if is_inside(&end, &self.roots) || end.starts_with(dev) {
                let tree = clone(&end, Depth::All)?;
                outer.trees.insert(end, tree);
            }
        }

        cover(dev, Contents::Devices)?;
        for (path, node) in nodes {
            node.make(path)?;
        }
        let terminals_at = dev.join("pts");
        attach(&terminals, &terminals_at, Target::Directory)?;
        let ptmx = dev.join("ptmx");
        make_node(&ptmx, FileType::CharacterDevice, makedev(PTMX.0, PTMX.1), 0o666)?;
        directory(&dev.join("shm"))?;
        cover(&dev.join("shm"), Contents::Everybodys)?;
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            let path = dev.join(name);
            std::os::unix::fs::symlink(target, &path).map_err(failed("make", &path))?;
        }

        for path in &self.roots {
            cover(path, Contents::Nothing)?;
        }
        outer.show(&self.roots)?;
        for path in &hidden {
            // What is not shown at all need not be covered.
            if path.is_dir() {
                cover(path, Contents::Nothing)?;
            }
        }
        inner.show(&hidden)
    }

    /// Puts devices and files into the namespace of a running QEMU.
    pub(super) fn add_to(&self, pid: u32) -> io::Result<()> {
        let mut nodes = Vec::new();
        for (path, account) in &self.own_devices {
            if let Some(node) = Node::find(path, Some(account)).map_err(io::Error::other)? {
                nodes.push((path, node));
            }
        }
        let (mut trees, mut links) = (Vec::new(), BTreeMap::new());
        for trail in self.kept.iter().filter_map(|path| Trail::of(path)) {
            let tree = clone(&trail.end, Depth::One).map_err(io::Error::other)?;
            trees.push((trail.end, tree));
            links.extend(trail.links);
        }
        unshare(UnshareFlags::FS)?;
        let namespace = fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        for (path, node) in nodes {
            if !path.exists() {
                node.make(path).map_err(io::Error::other)?;
            }
        }
        for (link, target) in &links {
            make_link(link, target).map_err(io::Error::other)?;
        }
        for (path, tree) in trees {
            let seen = fs::metadata(&path).map(|found| (found.dev(), found.ino()));
            let meant = rustix::fs::fstat(&tree).map(|stat| (stat.st_dev, stat.st_ino))?;
            if !seen.is_ok_and(|seen| seen == meant) {
                attach(&tree, &path, Target::File).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// What is hidden, without directories inside others and those that are not there.
    fn hidden(&self) -> Vec<PathBuf> {
        let there: BTreeSet<PathBuf> =
            self.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let inside = |path: &Path| path.ancestors().skip(1).any(|above| there.contains(above));
        there.iter().filter(|path| path.is_dir() && !inside(path)).cloned().collect()
    }
}

/// What is kept of covered directories.
#[derive(Debug, Default)]
struct Kept {
    trees: BTreeMap<PathBuf, OwnedFd>,
    /// Where there are links, and to what.
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Kept {
    /// Puts it back into the directories, which are covered.
    fn show(self, covered: &[PathBuf]) -> Result<(), ViewError> {
        let mut shown: Vec<PathBuf> = Vec::new();
        for (path, tree) in self.trees {
            // What is shown with its directory is there.
            if shown.iter().any(|directory| path.starts_with(directory)) {
                continue;
            }
            let is_directory = rustix::fs::fstat(&tree)
                .map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
                .map_err(failed("look at", &path))?;
            if is_directory {
                shown.push(path.clone());
            }
            attach(&tree, &path, if is_directory { Target::Directory } else { Target::File })?;
        }
        let is_inside = |link: &Path, directories: &[PathBuf]| {
            directories.iter().any(|directory| link.starts_with(directory))
        };
        for (link, target) in &self.links {
            if is_inside(link, covered) && !is_inside(link, &shown) {
                make_link(link, target)?;
            }
        }
        Ok(())
    }
}

/// The way to a file that is there: the links on it, each with what it leads to, and where it ends.
#[derive(Debug, PartialEq, Eq)]
struct Trail {
    links: Vec<(PathBuf, PathBuf)>,
    end: PathBuf,
}

impl Trail {
    fn of(path: &Path) -> Option<Self> {
        let end = path.canonicalize().ok()?;
        let (mut links, mut here) = (Vec::new(), path.to_owned());
        for _ in 0..MOST_LINKS {
            // The first link on the way; the directory that it is in has its real name.
            let mut above: Vec<&Path> = here.ancestors().collect();
            above.reverse();
            let link = above.into_iter().find_map(|step| Some((step.to_owned(), fs::read_link(step).ok()?)));
            let Some((link, target)) = link else { break };
            let rest = here.strip_prefix(&link).ok()?.to_owned();
            let directory = link.parent()?.canonicalize().ok()?;
            here = directory.join(&target).join(rest);
            links.push((directory.join(link.file_name()?), target));
        }
        Some(Self { links, end })
    }
}

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// A device file as it is to be made.
enum Node {
    Device {
        kind: FileType,
        device: u64,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// What is no device, or lies elsewhere than below /dev, is shown as it is.
    Same(OwnedFd),
}

impl Node {
    fn find(path: &Path, owner: Option<&Account>) -> Result<Option<Self>, ViewError> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", path)(error)),
        };
        let kind = found.file_type();
        let kind = if kind.is_char_device() {
            FileType::CharacterDevice
        } else if kind.is_block_device() {
            FileType::BlockDevice
        } else {
            return clone(path, Depth::One).map(|tree| Some(Self::Same(tree)));
        };
        let device = found.rdev();
        Ok(Some(match owner {
            Some(account) => Self::Device {
                kind,
                device,
                mode: 0o600,
                uid: account.uid.as_raw(),
                gid: account.gid.as_raw(),
            },
            None => {
                Self::Device { kind, device, mode: found.mode() & 0o777, uid: found.uid(), gid: found.gid() }
            }
        }))
    }

    fn make(self, path: &Path) -> Result<(), ViewError> {
        path.parent().map_or(Ok(()), directory)?;
        match self {
            Self::Device { kind, device, mode, uid, gid } => {
                make_node(path, kind, device, mode)?;
                chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(failed("give", path))
            }
            Self::Same(tree) => attach(&tree, path, Target::File),
        }
    }
}

fn make_node(path: &Path, kind: FileType, device: u64, mode: u32) -> Result<(), ViewError> {
    mknodat(CWD, path, kind, Mode::empty(), device).map_err(failed("make the device", path))?;
    // Not by the call above, where the umask has a say.
    rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(failed("make the device", path))
}

#[derive(Clone, Copy)]
enum Contents {
    /// Root alone makes something there.
    Nothing,
    Devices,
    Everybodys,
}

/// Mounts an empty file system over a directory.
fn cover(path: &Path, contents: Contents) -> Result<(), ViewError> {
    let mount = || -> rustix::io::Result<()> {
        let (mode, attributes) = match contents {
            Contents::Nothing => {
                ("0711", MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC)
            }
            Contents::Devices => ("0755", MountAttrFlags::MOUNT_ATTR_NOEXEC),
            Contents::Everybodys => {
                ("1777", MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC)
            }
        };
        let system = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(system.as_fd(), "mode", mode)?;
        if !matches!(contents, Contents::Everybodys) {
            rustix::mount::fsconfig_set_string(system.as_fd(), "size", "1m")?;
        }
        rustix::mount::fsconfig_create(system.as_fd())?;
        let attributes = attributes | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let tree = rustix::mount::fsmount(system.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        rustix::mount::move_mount(tree.as_fd(), "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    };
    mount().map_err(failed("cover", path))
}

#[derive(Clone, Copy)]
enum Depth {
    One,
    /// With what is mounted inside.
    All,
}

/// A mount of what is at a path, to be attached elsewhere.
fn clone(path: &Path, depth: Depth) -> Result<OwnedFd, ViewError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let flags = match depth {
        Depth::One => flags,
        Depth::All => flags | OpenTreeFlags::AT_RECURSIVE,
    };
    rustix::mount::open_tree(CWD, path, flags).map_err(failed("keep", path))
}

/// What a mount is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    File,
    Directory,
}

/// Attaches a mount to a path, which is made if need be; what is there already may be somebody's disk, and is left as it
/// is. No link is followed: a QEMU that runs may have put some where it may write.
fn attach(tree: &OwnedFd, path: &Path, target: Target) -> Result<(), ViewError> {
    let (directory, name) = spot(path)?;
    let made = match target {
        Target::Directory => make_directory(&directory, name),
        Target::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(&directory, name, flags, Mode::RUSR | Mode::WUSR).map(drop)
        }
    };
    match made {
        Err(error) if error != rustix::io::Errno::EXIST => return Err(failed("make", path)(error)),
        _ => {}
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(tree.as_fd(), "", &directory, name, flags).map_err(failed("keep", path))
}

/// Makes a link where there is nothing.
fn make_link(link: &Path, target: &Path) -> Result<(), ViewError> {
    let (directory, name) = spot(link)?;
    match rustix::fs::symlinkat(target, &directory, name) {
        Err(error) if error != rustix::io::Errno::EXIST => Err(failed("make", link)(error)),
        _ => Ok(()),
    }
}

/// The directory of a path without links, made where it is missing, and the name in it.
fn spot(path: &Path) -> Result<(OwnedFd, &OsStr), ViewError> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput).map_err(failed("keep", path))?;
    let parent = path.parent().unwrap_or_else(|| Path::new("/"));
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, "/", flags, Mode::empty()).map_err(failed("enter", path))?;
    for step in parent.components().filter(|step| *step != Component::RootDir) {
        let step = step.as_os_str();
        here = match openat(&here, step, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => {
                make_directory(&here, step).map_err(failed("make", parent))?;
                openat(&here, step, flags, Mode::empty())
            }
            opened => opened,
        }
        .map_err(failed("enter", parent))?;
    }
    Ok((here, name))
}

/// Makes a directory that may be entered, and not be listed, whatever the umask is.
fn make_directory(directory: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(0o711);
    rustix::fs::mkdirat(directory, name, mode)?;
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fchmod(openat(directory, name, flags, Mode::empty())?, mode)
}

/// Makes the directory, and those above it.
fn directory(path: &Path) -> Result<(), ViewError> {
    if path.is_dir() {
        return Ok(());
    }
    let (above, name) = spot(path)?;
    make_directory(&above, name).map_err(failed("make", path))
}

/// Devices and set-user-id programs mean nothing anywhere in the namespace. Kernels before 5.12 cannot say so for all
/// mounts at once; there, no new privileges and an empty bounding set have to do.
fn forbid_devices() {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, and the structure is as long as is said.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
}

/// Moves the calling thread's children, or the thread itself, into new namespaces.
pub(super) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: callers unshare namespaces, and no descriptor table.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

pub(super) fn is_device(path: &Path) -> bool {
    let kind = fs::metadata(path).map(|found| found.file_type());
    kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device())
}

/// Whether everybody may read it.
pub(super) fn is_everybodys(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.mode() & 0o004 != 0)
}

/// Whether it is a directory like /tmp, where everybody may write.
pub(super) fn is_shared(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|found| found.mode() & 0o002 != 0)
}

/// The topmost directories above these paths that the account may not enter.
pub(super) fn closed_to<'p>(
    account: &Account,
    paths: impl IntoIterator<Item = &'p Path>,
) -> BTreeSet<PathBuf> {
    let mut closed = BTreeSet::new();
    for path in paths {
        let Some(Trail { end, links }) = Trail::of(path) else { continue };
        for path in links.iter().map(|(link, _)| link).chain([&end]) {
            let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
            above.reverse();
            let first = above.into_iter().find(|directory| !may_enter(account, directory));
            // The root directory itself cannot be covered.
            closed.extend(first.filter(|directory| directory.parent().is_some()).map(Path::to_owned));
        }
    }
    closed
}

/// By the mode alone: whom an access list lets in on top of that may enter all the same.
fn may_enter(account: &Account, directory: &Path) -> bool {
    let Ok(found) = fs::metadata(directory) else { return true };
    let class = if found.uid() == account.uid.as_raw() {
        found.mode() >> 6
    } else if found.gid() == account.gid.as_raw() {
        found.mode() >> 3
    } else {
        found.mode()
    };
    class & 0o1 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn directories_inside_others_are_not_covered_twice() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        fs::create_dir_all(here.join("a/b")).unwrap();
        fs::create_dir_all(here.join("c")).unwrap();
        let hidden = ["a/b", "a", "c", "missing"].map(|name| here.join(name)).to_vec();
        let hidden = View { hidden, ..View::default() }.hidden();
        assert_eq!(hidden, [here.join("a"), here.join("c")]);
    }

    #[test]
    fn the_first_closed_directory_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        fs::set_permissions(&here, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(here.join("closed/also")).unwrap();
        fs::set_permissions(here.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        let disk = here.join("closed/also/disk");
        fs::write(&disk, "").unwrap();
        let uid = Uid::from_raw(54_321);
        let stranger = Account { name: "x".into(), uid, gid: Gid::from_raw(54_321) };
        assert_eq!(closed_to(&stranger, [disk.as_path()]), BTreeSet::from([here.join("closed")]));
        assert_eq!(closed_to(&stranger, [here.join("closed").as_path()]), BTreeSet::new());
    }

    #[test]
    fn a_namespace_has_what_is_kept_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().canonicalize().unwrap();
        for name in ["state/sub", "top/around/hidden", "top/real", "top/links"] {
            fs::create_dir_all(here.join(name)).unwrap();
        }
        let files = ["state/secret", "state/sub/own", "top/real/own", "top/real/other", "top/around/all"];
        for name in files.into_iter().chain(["top/around/hidden/own", "top/around/hidden/other"]) {
            fs::write(here.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("../real", here.join("top/links/one")).unwrap();
        std::os::unix::fs::symlink("links/one/own", here.join("top/two")).unwrap();
        let kept = ["state/sub/own", "top/two", "top/around", "top/around/hidden/own"];
        let view = View {
            roots: vec![here.join("top")],
            hidden: vec![here.join("state"), here.join("top/around/hidden")],
            kept: kept.map(|name| here.join(name)).into(),
            devices: vec!["/dev/no-such-device".into()],
            ..View::default()
        };
        let seen = std::thread::scope(|scope| {
            let look = || {
                view.enter().map(|()| {
                    let list = |path: &Path| -> BTreeSet<String> {
                        let entries = fs::read_dir(path).unwrap();
                        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
                    };
                    let own = fs::read_to_string(here.join("state/sub/own")).unwrap();
                    let null = fs::write("/dev/null", "x").is_ok();
                    let terminal = fs::File::open("/dev/ptmx").is_ok();
                    assert_eq!(fs::read_to_string(here.join("top/two")).unwrap(), "top/real/own");
                    let there = ["top", "top/links", "top/real", "top/around", "top/around/hidden"]
                        .map(|name| Vec::from_iter(list(&here.join(name))).join(" "));
                    assert_eq!(there, ["around links real two", "one", "own", "all hidden", "own"]);
                    (list(&here.join("state")), own, list(Path::new("/dev")), null, terminal)
                })
            };
            scope.spawn(look).join().unwrap()
        });
        match seen {
            Ok((state, own, dev, null, terminal)) => {
                assert_eq!(state, BTreeSet::from(["sub".to_owned()]));
                assert_eq!(own, "state/sub/own");
                let devices = "fd full null ptmx pts random shm stderr stdin stdout urandom zero";
                assert_eq!(dev.into_iter().collect::<Vec<_>>().join(" "), devices);
                assert!(null && terminal);
            }
            Err(error) => assert!(!rustix::process::geteuid().is_root(), "{}", crate::chain(&error)),
        }
        // The host is as it was.
        assert!(here.join("state/secret").exists());
    }
}
