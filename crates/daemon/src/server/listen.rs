//! The sockets on which clients come: the daemon's own, or those that systemd opened for it.

#![expect(unsafe_code, reason = "descriptors that were inherited have numbers, not owners")]

use std::io;
use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::accounts::{self, Kind};
use super::policy::Door;
use crate::config::Config;
use crate::service::Paths;

/// One socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) door: Door,
    pub(super) socket: UnixListener,
    /// Where it is, if it was made here: then it is removed at the end.
    pub(super) path: Option<PathBuf>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may be gone already, with its directory.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen on `{}`", path.display())]
    Bind {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("use the sockets that systemd passed")]
    Passed(#[source] io::Error),
}

/// All sockets, as configured or passed.
pub(super) fn open(paths: &Paths, config: &Config) -> Result<Vec<Listener>, ListenError> {
    let passed = passed(|name| std::env::var(name).ok()).map_err(ListenError::Passed)?;
    if !passed.is_empty() {
        return Ok(passed);
    }
    let wanted = &config.socket;
    let group = (!wanted.group.is_empty()).then(|| accounts::number(Kind::Group, &wanted.group)).flatten();
    let own = |door, path: &Option<PathBuf>, default: PathBuf, mode| {
        let path = path.clone().unwrap_or(default);
        match bind(&path, mode, group) {
            Ok(socket) => Ok(Listener { door, socket, path: Some(path) }),
            Err(source) => Err(ListenError::Bind { path, source }),
        }
    };
    let mut listeners = vec![own(Door::Full, &wanted.path, paths.socket(), wanted.mode)?];
    if wanted.read_only {
        let default = paths.read_only_socket();
        listeners.push(own(Door::ReadOnly, &wanted.read_only_path, default, wanted.read_only_mode)?);
    }
    Ok(listeners)
}

/// Binds a socket, in place of one that a daemon before has left. It is never open to more than it will be: it is made
/// for its owner alone, and moved to its place when it has its mode.
fn bind(path: &Path, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    std::fs::create_dir_all(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = directory.join(name);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let socket = UnixListener::bind(&new);
    rustix::process::umask(before);
    let socket = socket?;
    let placed = std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))
        .and_then(|()| group.map_or(Ok(()), |group| chown(&new, None, Some(group))))
        .and_then(|()| std::fs::rename(&new, path))
        .and_then(|()| socket.set_nonblocking(true));
    if placed.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    placed.map(|()| socket)
}

/// The first descriptor that systemd passes: `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
/// More sockets than anybody would pass.
const MOST: RawFd = 64;

/// The sockets that systemd passed: sd_listen_fds(3). One is for clients that only read if its `FileDescriptorName=`,
/// or its path, ends in `ro`.
fn passed(variable: impl Fn(&str) -> Option<String>) -> io::Result<Vec<Listener>> {
    let number = |name: &str| variable(name).and_then(|value| value.parse::<RawFd>().ok());
    let own = i64::from(std::process::id());
    let (Some(pid), Some(count)) = (number("LISTEN_PID"), number("LISTEN_FDS")) else {
        return Ok(Vec::new());
    };
    if i64::from(pid) != own || !(1..=MOST).contains(&count) {
        return Ok(Vec::new());
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut listeners = Vec::new();
    for fd in FIRST..FIRST + count {
        // SAFETY: systemd has opened these descriptors for this process, and nothing else here uses them; this runs
        // once.
        let socket = unsafe { UnixListener::from_raw_fd(fd) };
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let path = address.as_pathname().map(|path| path.to_string_lossy().into_owned());
        let reads = |name: &str| name.ends_with("-ro") || name == "ro" || name.ends_with("-ro.socket");
        let door = if reads(names.next().unwrap_or_default()) || path.is_some_and(|path| reads(&path)) {
            Door::ReadOnly
        } else {
            Door::Full
        };
        listeners.push(Listener { door, socket, path: None });
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_the_own_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::below(directory.path(), true);
        std::fs::create_dir_all(&paths.run).unwrap();
        drop(UnixListener::bind(paths.socket()).unwrap());
        assert!(UnixStream::connect(paths.socket()).is_err());
        let mut config = Config::default_for(true);
        config.socket.group = "0".into();
        let listeners = open(&paths, &config).unwrap();
        assert_eq!(listeners.len(), 2);
        for (path, mode) in [(paths.socket(), 0o660), (paths.read_only_socket(), 0o666)] {
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            UnixStream::connect(path).unwrap();
        }
        drop(listeners);
        assert_eq!(std::fs::read_dir(&paths.run).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_taken_that_was_passed_to_another() {
        let variables = |name: &str| match name {
            "LISTEN_PID" => Some("1".to_owned()),
            "LISTEN_FDS" => Some("2".to_owned()),
            _ => None,
        };
        assert!(passed(variables).unwrap().is_empty());
    }
}
