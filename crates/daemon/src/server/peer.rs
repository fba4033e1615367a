//! Who is at the other end of a socket, as the kernel says.

#![expect(unsafe_code, reason = "the groups of a peer are told by getsockopt alone")]

use std::io;
use std::os::fd::AsRawFd as _;

use tokio::net::UnixStream;

use crate::service::Peer;

/// The user, group and process that connected: SO_PEERCRED.
pub(super) fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = stream.peer_cred()?;
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Peer { uid: credentials.uid(), gid: credentials.gid(), pid })
}

/// The other groups that the process was in when it connected: SO_PEERGROUPS. Asking for them by the process's number
/// would be too late: another process may have it by then.
pub(super) fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    // The kernel's NGROUPS_MAX.
    const MOST: usize = 65_536;
    let mut groups = vec![0u32; 64];
    loop {
        let bytes = groups.len() * size_of::<u32>();
        let mut length = libc::socklen_t::try_from(bytes).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: the descriptor is open; the kernel writes at most `length` bytes to `groups`, which has as many, and
        // any bytes are numbers.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = usize::try_from(length).unwrap_or(0) / size_of::<u32>();
        if result == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || needed <= groups.len() || needed > MOST {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_says_who_it_is() {
        let (one, _two) = UnixStream::pair().unwrap();
        let peer = peer(&one).unwrap();
        assert_eq!(peer.pid, Some(std::process::id()));
        let mut own: Vec<u32> =
            rustix::process::getgroups().unwrap().into_iter().map(rustix::process::Gid::as_raw).collect();
        let mut told = groups(&one).unwrap();
        own.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, own);
    }
}
