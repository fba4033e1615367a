//! What the child does between fork and exec to lose its rights: system calls only, nothing is allocated.

use std::io;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Whom QEMU runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub uid: Uid,
    pub gid: Gid,
    /// Supplementary groups; QEMU has these and no others.
    pub groups: Vec<Gid>,
}

/// The number of the last capability that a kernel may come to know.
const LAST_CAPABILITY: u64 = 63;

/// What QEMU may do where it runs as root because its caller is root: use the caller's files, and lock its guest's
/// memory.
const OF_ROOT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::IPC_LOCK)
    .union(CapabilitySet::SYS_NICE);

/// Becomes that user, or stays the caller; after exec it has no capability, but for a caller who is root those of a
/// mere user of files.
pub(crate) fn assume(credentials: Option<&Credentials>) -> io::Result<()> {
    let kept = if credentials.is_some() { CapabilitySet::empty() } else { OF_ROOT };
    bound(kept);
    let Some(Credentials { uid, gid, groups }) = credentials else {
        // Those who have none lose none.
        let _ = rustix::thread::clear_ambient_capability_set();
        return Ok(());
    };
    // One thread only is left after fork, so the calls of a thread are those of the process.
    rustix::thread::set_thread_groups(groups)?;
    rustix::thread::set_thread_res_gid(*gid, *gid, *gid)?;
    rustix::thread::set_thread_res_uid(*uid, *uid, *uid)?;
    let none = CapabilitySet::empty();
    let nothing = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, nothing)?;
    let _ = rustix::thread::clear_ambient_capability_set();
    Ok(())
}

/// Takes every other capability out of the bounding set, for good. Who is not root may not, and has none.
fn bound(kept: CapabilitySet) {
    for number in 0..=LAST_CAPABILITY {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !kept.contains(one) && rustix::thread::remove_capability_from_bounding_set(one).is_err() {
            return;
        }
    }
}
