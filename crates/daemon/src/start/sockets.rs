//! Sockets of character devices where a domain says that they are to be: made here, since QEMU's user may not write
//! there, and handed to QEMU listening.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::chardev::{CharKind, CharSource, SocketMode};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};

/// Listening sockets, by their devices' aliases.
#[derive(Debug, Default)]
pub(super) struct Sockets(BTreeMap<String, UnixListener>);

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("listen at `{}` for {id}", path.display())]
pub struct SocketError {
    id: String,
    pub(super) path: PathBuf,
    source: io::Error,
}

impl Sockets {
    /// Listens wherever the domain names a path, in the name of QEMU's user.
    pub(super) fn listen(domain: &Domain, owner: (Uid, Gid)) -> Result<Self, SocketError> {
        let mut sockets = BTreeMap::new();
        for (id, path) in wanted(domain) {
            let listener = listen(Path::new(&path), owner).map_err(|source| SocketError {
                id: id.clone(),
                path: path.into(),
                source,
            })?;
            sockets.insert(id, listener);
        }
        Ok(Self(sockets))
    }

    /// The descriptors' numbers, for the plan.
    pub(super) fn numbers(&self) -> BTreeMap<String, i32> {
        self.0.iter().map(|(id, socket)| (id.clone(), socket.as_raw_fd())).collect()
    }

    /// The descriptors themselves, for QEMU to inherit.
    pub(super) fn into_fds(self) -> impl Iterator<Item = OwnedFd> {
        self.0.into_values().map(OwnedFd::from)
    }
}

/// Aliases and paths; a device without either is left to the plan.
fn wanted(domain: &Domain) -> Vec<(String, String)> {
    let mut named = domain.clone();
    if qemu::plan::name_devices(&mut named).is_err() {
        return Vec::new();
    }
    let devices = &named.devices;
    let all = (devices.serials.iter().map(|serial| (&serial.info.alias, &serial.source)))
        .chain(devices.consoles.iter().map(|console| (&console.info.alias, &console.source)))
        .chain(devices.channels.iter().map(|channel| (&channel.info.alias, &channel.source)));
    let mut found: Vec<(String, String)> =
        all.filter_map(|(alias, source)| Some((alias.clone()?, path(source)?.to_owned()))).collect();
    // The first console is the first serial port under another name.
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    found
}

fn path(source: &CharSource) -> Option<&str> {
    match &source.kind {
        CharKind::Unix { mode: SocketMode::Bind, path, .. } => path.as_deref(),
        _ => None,
    }
}

/// What is left of a socket there goes; anything else stays, and is in the way.
fn listen(path: &Path, (uid, gid): (Uid, Gid)) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // In a stranger's directory something else may be there by now: a socket's owner is changed, and nothing else's.
    let place =
        rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&place)?.st_mode) != FileType::Socket {
        return Err(io::Error::other("somebody has replaced it"));
    }
    rustix::fs::chownat(&place, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(directory: &Path) -> Domain {
        let directory = directory.display();
        let text = format!(
            "<domain type='kvm'><name>a</name><memory>1</memory><os><type machine='q35'>hvm</type></os><devices>
              <serial type='unix'><source mode='bind' path='{directory}/serial'/></serial>
              <serial type='unix'><source mode='connect' path='{directory}/other'/></serial>
              <console type='unix'><source mode='bind' path='{directory}/serial'/><target type='serial'/></console>
              <channel type='unix'><source mode='bind' path='{directory}/channel'/>
                <target type='virtio' name='x'/><alias name='ua-mine'/></channel>
              <channel type='unix'><target type='virtio' name='y'/></channel></devices></domain>"
        );
        Domain::read(&domain::Document::parse(&text).unwrap()).0
    }

    #[test]
    fn paths_that_a_domain_names_are_listened_at() {
        let directory = tempfile::tempdir().unwrap();
        let me = (rustix::process::geteuid(), rustix::process::getegid());
        // A socket that was left there is no hindrance.
        drop(UnixListener::bind(directory.path().join("serial")).unwrap());
        let sockets = Sockets::listen(&domain(directory.path()), me).unwrap();
        let ids: Vec<_> = sockets.numbers().into_keys().collect();
        assert_eq!(ids, ["serial0", "ua-mine"]);
        for name in ["serial", "channel"] {
            std::os::unix::net::UnixStream::connect(directory.path().join(name)).unwrap();
        }
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let me = (rustix::process::geteuid(), rustix::process::getegid());
        fs::write(directory.path().join("serial"), "kept").unwrap();
        let error = Sockets::listen(&domain(directory.path()), me).unwrap_err();
        let words = format!("listen at `{}` for serial0", directory.path().join("serial").display());
        assert_eq!(error.to_string(), words);
        assert_eq!(fs::read_to_string(directory.path().join("serial")).unwrap(), "kept");
    }
}
