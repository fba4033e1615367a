//! What a start may take of the host's memory: the limit of what QEMU may lock, and its control group with the limit of
//! what it may be charged for.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::memory::MemorySource;
use host::Facts;
use qemu::memory::{Pinning, Sizes, Sums};
use qemu::plan::{MemoryDirs, Plan};
use rustix::process::{Gid, Uid};

use super::StartError;
use crate::cgroup::Group;
use crate::vm::MemoryLock;

/// Where QEMU finds its own option ROMs, as distributions put them.
const ROMS: [&str; 4] =
    ["/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu", "/usr/share/ipxe/qemu"];

/// Makes the directory of a guest whose memory is files, which goes with the guest's run directory.
pub(super) fn make_directory(
    domain: &Domain,
    directories: &MemoryDirs,
    owner: Option<(Uid, Gid)>,
) -> Result<(), StartError> {
    if domain.memory_backing.source != Some(MemorySource::File) {
        return Ok(());
    }
    let path = &directories.files;
    let (uid, gid) = owner.unzip();
    let made = std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .and_then(|()| std::os::unix::fs::chown(path, uid.map(Uid::as_raw), gid.map(Gid::as_raw)));
    made.map_err(|source| StartError::File {
        what: "the directory of the guest's memory",
        path: path.clone(),
        source,
    })
}

/// The sizes that the sums want, of the files that are there.
pub(super) fn sizes(plan: &Plan, facts: &Facts) -> Sizes {
    let found = |path: &Path| {
        let candidates: Vec<PathBuf> = if path.is_absolute() {
            vec![path.to_owned()]
        } else {
            ROMS.iter().map(|directory| Path::new(directory).join(path)).collect()
        };
        let size = candidates.into_iter().find_map(|path| Some(std::fs::metadata(path).ok()?.len()));
        Some((path.to_owned(), size?))
    };
    Sizes {
        files: plan.sized_files().filter_map(found).collect(),
        host_cpus: std::thread::available_parallelism().ok().and_then(|cpus| cpus.get().try_into().ok()),
        host_memory: facts.memory_bytes(),
    }
}

/// How much QEMU may lock: what the domain says, else what it needs.
pub(super) fn lock(domain: &Domain, sums: &Sums) -> Option<MemoryLock> {
    match domain.memtune.hard_limit_bytes() {
        Some(limit) => Some(MemoryLock::Bytes(limit)),
        None if sums.locked => Some(MemoryLock::Unlimited),
        None => (sums.pinning == Pinning::Registered).then(|| MemoryLock::Computed(sums.limit())),
    }
}

/// The guest's control group, or why it has none.
pub(super) fn group(domain: &Domain, sums: &Sums) -> (Option<Group>, Option<String>) {
    let limit = domain.memtune.hard_limit_bytes().unwrap_or_else(|| sums.start_limit());
    match Group::make(&domain.name, Some(limit)) {
        Ok(group) => {
            tracing::debug!(group = %group.path().display(), limit, "the guest's control group");
            (Some(group), None)
        }
        Err(error) => {
            let why = crate::chain(&error);
            (
                None,
                Some(format!("the guest has no control group of its own, so its memory has no limit: {why}")),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Document;
    use qemu::memory::Demand;
    use qemu::plan::Firmware;

    use super::*;

    #[test]
    fn a_limit_is_the_domains_or_computed() {
        let lock_of = |memory: &str, security: &str| {
            let text = format!(
                "<domain type='kvm'><name>a</name><memory unit='MiB'>512</memory>{memory}{security}</domain>"
            );
            let (domain, _) = Domain::read(&Document::parse(&text).unwrap());
            let sums = Demand::of(&domain, &Firmware::default()).sums(&Sizes::default());
            (lock(&domain, &sums), sums.limit())
        };
        let sev = "<launchSecurity type='sev'><policy>1</policy></launchSecurity>";
        let limited = "<memtune><hard_limit unit='MiB'>700</hard_limit></memtune>";
        assert_eq!(lock_of(limited, sev).0, Some(MemoryLock::Bytes(700 << 20)));
        assert_eq!(lock_of("<memoryBacking><locked/></memoryBacking>", sev).0, Some(MemoryLock::Unlimited));
        let (computed, limit) = lock_of("", sev);
        assert_eq!(computed, Some(MemoryLock::Computed(limit)));
        assert!(limit > 512 << 20, "{limit}");
        assert_eq!(lock_of("", "").0, None);
    }
}
