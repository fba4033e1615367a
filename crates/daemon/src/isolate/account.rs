//! QEMU's user: found by name in the system's user database.

#![expect(unsafe_code, reason = "the C library alone knows all sources of users and groups")]

use std::ffi::CString;
use std::io;

use rustix::process::{Gid, Uid};

use super::Credentials;

/// How long an entry of the user database may be, in bytes.
const LONGEST_ENTRY: usize = 64 * 1024;

/// A user and its primary group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: Uid,
    pub gid: Gid,
}

impl Account {
    /// The user of that name; nothing where there is none.
    pub(super) fn find(name: &str) -> io::Result<Option<Self>> {
        // SAFETY: all-zero is a value of this plain C struct.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let found = look_up(name, |name, buffer| {
            let mut found = std::ptr::null_mut();
            // SAFETY: all pointers are valid for the call, and the buffer is as long as it is said to be.
            let error = unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    &raw mut entry,
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    &raw mut found,
                )
            };
            (error, !found.is_null())
        })?;
        Ok(found.then(|| Self {
            name: name.to_owned(),
            uid: Uid::from_raw(entry.pw_uid),
            gid: Gid::from_raw(entry.pw_gid),
        }))
    }

    /// With these supplementary groups.
    pub(super) fn with(&self, groups: Vec<Gid>) -> Credentials {
        Credentials { uid: self.uid, gid: self.gid, groups }
    }
}

/// The group of that name; nothing where there is none.
pub(super) fn group(name: &str) -> io::Result<Option<Gid>> {
    // SAFETY: all-zero is a value of this plain C struct.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let found = look_up(name, |name, buffer| {
        let mut found = std::ptr::null_mut();
        // SAFETY: all pointers are valid for the call, and the buffer is as long as it is said to be.
        let error = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                &raw mut entry,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            )
        };
        (error, !found.is_null())
    })?;
    Ok(found.then(|| Gid::from_raw(entry.gr_gid)))
}

/// Calls `call` with a buffer that is long enough.
fn look_up(name: &str, mut call: impl FnMut(&CString, &mut [u8]) -> (i32, bool)) -> io::Result<bool> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut buffer = vec![0u8; 1024];
    loop {
        match call(&name, &mut buffer) {
            (0, found) => return Ok(found),
            (libc::EINTR, _) => {}
            (libc::ERANGE, _) if buffer.len() < LONGEST_ENTRY => buffer.resize(buffer.len() * 4, 0),
            // What libraries say who know no such name (getpwnam(3)).
            (libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => return Ok(false),
            (error, _) => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        let root = Account::find("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (Uid::ROOT, Gid::ROOT));
        assert_eq!(Account::find("no such user").unwrap(), None);
        assert_eq!(group("root").unwrap(), Some(Gid::ROOT));
        assert_eq!(group("no such group").unwrap(), None);
        assert_eq!(Account::find("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
