//! Remembered answers: one JSON file for each QEMU binary. A file that is damaged, old or someone else's is not used.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use qemu::Caps;
use rustix::fs::OFlags;
use serde::Deserialize;

use super::identity::Identity;

/// Changes with the shape or the meaning of [`Caps`].
const FORMAT: u32 = 1;

/// Larger files are not ours.
const SIZE_LIMIT: u64 = 4 << 20;

#[derive(Deserialize)]
struct Head {
    format: u32,
    identity: Identity,
}

#[derive(Deserialize)]
struct Body {
    caps: Caps,
}

/// Where answers are remembered: `/var/cache/sevirt` for root, else the user's cache directory.
pub fn directory(home: Option<&Path>, cache_home: Option<&Path>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/sevirt/caps"));
    }
    let base = cache_home.map(Path::to_owned).or_else(|| Some(home?.join(".cache")))?;
    Some(base.join("sevirt/caps"))
}

pub(super) fn load(directory: &Path, identity: &Identity) -> Option<Caps> {
    use io::Read as _;
    let mut file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(file_of(directory, identity))
        .ok()?;
    let found = file.metadata().ok()?;
    let ours = found.uid() == rustix::process::geteuid().as_raw() && found.permissions().mode() & 0o022 == 0;
    if !found.is_file() || !ours || found.len() > SIZE_LIMIT {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    // Two documents, one a line, so that a stale file is found out by its head alone.
    let (head, body) = text.split_once('\n')?;
    let head: Head = serde_json::from_str(head).ok()?;
    if head.format != FORMAT || head.identity != *identity {
        return None;
    }
    serde_json::from_str::<Body>(body).ok().map(|body| body.caps)
}

pub(super) fn store(directory: &Path, identity: &Identity, caps: &Caps) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let head = serde_json::json!({"format": FORMAT, "identity": identity});
    let body = serde_json::json!({"caps": caps});
    // The temporary file has mode 0600, and takes the place of the old one in one step.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    write!(file, "{head}\n{body}\n")?;
    file.persist(file_of(directory, identity))?;
    Ok(())
}

fn file_of(directory: &Path, identity: &Identity) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    identity.emulator.hash(&mut hasher);
    let name = identity.emulator.file_name().unwrap_or_default().to_string_lossy().into_owned();
    directory.join(format!("{name}-{:016x}.json", hasher.finish()))
}
