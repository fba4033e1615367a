//! Opening a guest's files as QEMU's user before QEMU does, so that what is closed to it is told by name and reason.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::credentials::Credentials;
use super::needs::{Access, Need};

#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("cannot access storage file '{}' (as uid:{uid}, gid:{gid}){hint}", path.display())]
    Closed {
        path: PathBuf,
        uid: u32,
        gid: u32,
        hint: String,
        #[source]
        source: io::Error,
    },
    #[error("become QEMU's user to try its files")]
    Become(#[source] io::Error),
}

/// Opens each, in a thread that is QEMU's user.
pub(super) fn open_all(credentials: &Credentials, needs: &[Need]) -> Result<(), TrialError> {
    if needs.is_empty() {
        return Ok(());
    }
    std::thread::scope(|scope| {
        let trial = || {
            become_user(credentials).map_err(|error| TrialError::Become(error.into()))?;
            needs.iter().try_for_each(|need| open(credentials, need))
        };
        let panicked = |_| Err(TrialError::Become(io::Error::other("the thread panicked")));
        scope.spawn(trial).join().unwrap_or_else(panicked)
    })
}

/// The thread alone, by its effective user: what it was it may not become again, and it ends.
fn become_user(credentials: &Credentials) -> rustix::io::Result<()> {
    let Credentials { uid, gid, groups } = credentials;
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_res_gid(None, *gid, None)?;
    rustix::thread::set_thread_res_uid(None, *uid, None)
}

fn open(credentials: &Credentials, need: &Need) -> Result<(), TrialError> {
    // A pipe has nobody at its other end yet.
    let access = match need.access {
        Access::Read => OFlags::RDONLY,
        Access::Write | Access::Create => OFlags::RDWR,
    };
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::open(&need.path, flags, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error, rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            Err(TrialError::Closed {
                path: need.path.clone(),
                uid: credentials.uid.as_raw(),
                gid: credentials.gid.as_raw(),
                hint: hint(need),
                source: error.into(),
            })
        }
        // What is not there or is busy is told by who needs it.
        Err(_) => Ok(()),
    }
}

/// What is in the way.
fn hint(need: &Need) -> String {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut above: Vec<&Path> = need.path.ancestors().collect();
    above.reverse();
    let closed = above.windows(2).find_map(|pair| match pair {
        // A directory can be entered if what is in it can be looked at.
        [directory, inside] => rustix::fs::open(*inside, flags, Mode::empty()).is_err().then_some(*directory),
        _ => None,
    });
    match closed {
        Some(directory) => format!(": that user may not enter `{}`", directory.display()),
        None if !need.named => {
            ": an image names it as the one below, and only what the domain names, or lies beside \
            the image, is opened to that user: name it in <backingStore>, or let that user read it"
                .to_owned()
        }
        None => ": its owner could not be changed, as on a file system that squashes root".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::process::{Gid, Uid};

    use super::*;

    #[test]
    fn what_is_closed_is_named_with_what_closes_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let closed = directory.path().join("closed");
        fs::create_dir(&closed).unwrap();
        let (inside, own) = (closed.join("disk"), directory.path().join("own"));
        for path in [&inside, &own] {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let id = 54_321;
        let credentials = Credentials { uid: Uid::from_raw(id), gid: Gid::from_raw(id), groups: vec![] };
        let told = |path: &Path| {
            let need =
                Need { path: path.into(), access: Access::Read, shared: true, named: true, by_image: false };
            open_all(&credentials, &[need]).unwrap_err().to_string()
        };
        if !rustix::process::geteuid().is_root() {
            return assert!(told(&own).contains("become QEMU's user"));
        }
        let inside_text = format!(
            "cannot access storage file '{}' (as uid:{id}, gid:{id}): that user may not enter `{}`",
            inside.display(),
            closed.display()
        );
        assert_eq!(told(&inside), inside_text);
        assert!(told(&own).ends_with("could not be changed, as on a file system that squashes root"));
        // This thread is still who it was.
        assert!(fs::read(&inside).is_ok());
    }
}
