//! What a QEMU sees of the host's file system: a mount namespace of its own.
//!
//! ```text
//!   /dev            a few devices: null, zero, full, random, urandom, ptmx, kvm, sev; the guest's own disks
//!   /dev/pts        the host's, so that consoles can be opened from outside
//!   /dev/shm        its own
//!   /proc           of its own process namespace: no other process is there
//!   /run/sevirt     empty but for the guest's own directory
//!   /var/lib/sevirt empty but for the guest's own variable store, and the disk images
//!   elsewhere       the host's, without devices and without set-user-id programs;
//!                   a directory that QEMU's user may not enter: empty but for the guest's own files
//! ```
//!
//! It is made in the thread that spawns QEMU, which ends with the spawn, so that whatever fails is told by name. What
//! the host mounts later is seen in it, but for what is below the directories that are covered.

#![expect(unsafe_code, reason = "namespaces are entered and mounts changed by calls without a safe form")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, Uid, chown, makedev, mknodat};
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
    /// Directories that are covered where they are there.
    pub(super) hidden: Vec<PathBuf>,
    /// What is left of them: files and directories.
    pub(super) kept: Vec<PathBuf>,
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
        let covers = self.covers();
        let mut back = BTreeMap::new();
        for path in self.kept.iter().flat_map(|path| places(path)) {
            if covers.iter().map(PathBuf::as_path).chain([dev]).any(|cover| path.starts_with(cover)) {
                let tree = clone(&path, Depth::All)?;
                back.insert(path, tree);
            }
        }

        cover(dev, Contents::Devices)?;
        for (path, node) in nodes {
            node.make(path)?;
        }
        let terminals_at = dev.join("pts");
        directory(&terminals_at)?;
        attach(&terminals, &terminals_at)?;
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

        for path in &covers {
            cover(path, Contents::Nothing)?;
        }
        let mut shown: Vec<PathBuf> = Vec::new();
        for (path, tree) in back {
            // What is shown with its directory is there.
            if shown.iter().any(|directory| path.starts_with(directory)) {
                continue;
            }
            let is_directory = rustix::fs::fstat(&tree)
                .map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
                .map_err(failed("look at", &path))?;
            if is_directory {
                directory(&path)?;
                shown.push(path.clone());
            } else {
                path.parent().map_or(Ok(()), directory)?;
                place_for(&path)?;
            }
            attach(&tree, &path)?;
        }
        Ok(())
    }

    /// Puts devices and files into the namespace of a running QEMU.
    pub(super) fn add_to(&self, pid: u32) -> io::Result<()> {
        let mut nodes = Vec::new();
        for (path, account) in &self.own_devices {
            if let Some(node) = Node::find(path, Some(account)).map_err(io::Error::other)? {
                nodes.push((path, node));
            }
        }
        let mut trees = Vec::new();
        for path in self.kept.iter().flat_map(|path| places(path)) {
            let tree = clone(&path, Depth::One).map_err(io::Error::other)?;
            trees.push((path, tree));
        }
        unshare(UnshareFlags::FS)?;
        let namespace = fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
        for (path, node) in nodes {
            if !path.exists() {
                node.make(path).map_err(io::Error::other)?;
            }
        }
        for (path, tree) in trees {
            let seen = fs::metadata(&path).map(|found| (found.dev(), found.ino()));
            let meant = rustix::fs::fstat(&tree).map(|stat| (stat.st_dev, stat.st_ino))?;
            if seen.is_ok_and(|seen| seen == meant) {
                continue;
            }
            path.parent().map_or(Ok(()), directory).map_err(io::Error::other)?;
            place_for(&path).map_err(io::Error::other)?;
            attach(&tree, &path).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// The directories to cover, without those inside others and those that are not there.
    fn covers(&self) -> BTreeSet<PathBuf> {
        let there: BTreeSet<PathBuf> =
            self.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let inside = |path: &Path| path.ancestors().skip(1).any(|above| there.contains(above));
        there.iter().filter(|path| path.is_dir() && !inside(path)).cloned().collect()
    }
}

/// Where a file that is there must be for its path to lead to it: where it lies, and where the last link to it lies.
fn places(path: &Path) -> BTreeSet<PathBuf> {
    let named = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    match path.canonicalize() {
        Ok(real) => named().into_iter().chain([real]).collect(),
        Err(_) => BTreeSet::new(),
    }
}

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
            Self::Same(tree) => {
                place_for(path)?;
                attach(&tree, path)
            }
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

/// Makes a file to attach another to. What is there already may be somebody's disk: it is left as it is.
fn place_for(path: &Path) -> Result<(), ViewError> {
    match fs::File::create_new(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", path)(error)),
        _ => Ok(()),
    }
}

fn attach(tree: &OwnedFd, path: &Path) -> Result<(), ViewError> {
    rustix::mount::move_mount(tree.as_fd(), "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(failed("keep", path))
}

/// Makes a directory that may be entered, and those above it.
fn directory(path: &Path) -> Result<(), ViewError> {
    let mut above: Vec<&Path> = path.ancestors().take_while(|path| !path.is_dir()).collect();
    while let Some(path) = above.pop() {
        fs::create_dir(path).map_err(failed("make", path))?;
        // Whatever the umask is.
        rustix::fs::chmod(path, Mode::from_raw_mode(0o711)).map_err(failed("make", path))?;
    }
    Ok(())
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

/// The topmost directories above these paths that the account may not enter.
pub(super) fn closed_to<'p>(
    account: &Account,
    paths: impl IntoIterator<Item = &'p Path>,
) -> BTreeSet<PathBuf> {
    let mut closed = BTreeSet::new();
    for path in paths {
        for path in places(path) {
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
pub(super) fn may_enter(account: &Account, directory: &Path) -> bool {
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
        let covers = View { hidden, ..View::default() }.covers();
        assert_eq!(covers, BTreeSet::from([here.join("a"), here.join("c")]));
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
        fs::create_dir_all(here.join("state/sub")).unwrap();
        for name in ["state/secret", "state/sub/own", "elsewhere"] {
            fs::write(here.join(name), name).unwrap();
        }
        let view = View {
            hidden: vec![here.join("state")],
            kept: vec![here.join("state/sub/own")],
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
