//! Remembered answers: one file for each QEMU binary and accelerator. A file that is damaged, old or someone else's is
//! not used.
//!
//! Three lines: what the answers depend on, their checksum, the answers. The first two decide without a parser whether
//! the third is worth one. Writers replace the file in one step, so that readers and other writers see a whole one; it
//! is not flushed to the disk, since what a crash leaves is found out by its checksum.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use qemu::Caps;
use rustix::fs::OFlags;

use super::Accelerator;
use super::identity::Identity;

/// Changes with the shape or the meaning of [`Caps`].
const FORMAT: u32 = 2;

/// Larger files are not ours.
const SIZE_LIMIT: u64 = 4 << 20;

/// What a name starts with until the file is whole.
const UNFINISHED: &str = ".unfinished-";

/// A file that is unfinished for so long was left by a writer that died.
const ABANDONED: Duration = Duration::from_secs(600);

/// Where answers are remembered: `/var/cache/sevirt` for root, else the user's cache directory.
pub fn directory(home: Option<&Path>, cache_home: Option<&Path>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/sevirt/caps"));
    }
    let base = cache_home.map(Path::to_owned).or_else(|| Some(home?.join(".cache")))?;
    Some(base.join("sevirt/caps"))
}

pub(super) fn load(directory: &Path, identity: &Identity, accelerator: Accelerator) -> Option<Caps> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed())
        .open(file_of(directory, identity, accelerator))
        .ok()?;
    let found = file.metadata().ok()?;
    let ours = found.uid() == rustix::process::geteuid().as_raw() && found.permissions().mode() & 0o022 == 0;
    if !found.is_file() || !ours || found.len() > SIZE_LIMIT {
        return None;
    }
    let mut text = String::with_capacity(usize::try_from(found.len()).ok()? + 1);
    file.take(SIZE_LIMIT).read_to_string(&mut text).ok()?;
    let rest = text.strip_prefix(&head(identity, accelerator)?)?.strip_prefix('\n')?;
    let (sum, body) = rest.split_once('\n')?;
    let body = body.strip_suffix('\n')?;
    if sum != checksum(body) {
        return None;
    }
    serde_json::from_str(body).ok()
}

pub(super) fn store(
    directory: &Path,
    identity: &Identity,
    accelerator: Accelerator,
    caps: &Caps,
) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    sweep(directory);
    let head = head(identity, accelerator).ok_or(io::ErrorKind::InvalidData)?;
    let body = serde_json::to_string(caps)?;
    // It has mode 0600 from its first byte.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory)?;
    write!(file, "{head}\n{}\n{body}\n", checksum(&body))?;
    file.persist(file_of(directory, identity, accelerator))?;
    Ok(())
}

fn head(identity: &Identity, accelerator: Accelerator) -> Option<String> {
    serde_json::to_string(&(FORMAT, accelerator, identity)).ok()
}

fn checksum(body: &str) -> String {
    format!("{:08x} {}", crc32fast::hash(body.as_bytes()), body.len())
}

/// Takes away what writers that died have left.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let abandoned = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > ABANDONED);
        let unfinished = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        if unfinished && entry.metadata().and_then(|found| found.modified()).is_ok_and(abandoned) {
            // Another writer may have been faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn file_of(directory: &Path, identity: &Identity, accelerator: Accelerator) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    identity.emulator.hash(&mut hasher);
    let name = identity.emulator.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let accelerator = match accelerator {
        Accelerator::Kvm => "",
        Accelerator::Tcg => "-tcg",
    };
    directory.join(format!("{name}{accelerator}-{:016x}", hasher.finish()))
}
