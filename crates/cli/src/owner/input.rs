//! Reading: every file is bounded, every error says which file, what was expected there and what was found.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use attest::sev::keys::{Tek, Tik};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// The largest firmware image that is read, in bytes: QEMU maps far less.
const MAX_IMAGE: u64 = 64 << 20;
/// The largest blob that is read, in bytes: certificates and measurements, perhaps in base64.
const MAX_BLOB: u64 = 64 << 10;

/// Reads a firmware image.
pub(crate) fn read_image(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut image = Vec::new();
    read_bounded(path, MAX_IMAGE, &mut image)
        .with_context(|| format!("read firmware `{}`", path.display()))?;
    if image.is_empty() {
        bail!("firmware `{}` is empty", path.display());
    }
    Ok(image)
}

/// Reads a secret of at most `max` bytes. The buffer never grows, so no copy of it is left behind.
pub(crate) fn read_secret(path: &Path, what: &str, max: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(Vec::with_capacity(max + 64));
    read_bounded(path, max as u64, &mut secret)
        .with_context(|| format!("read {what} `{}`", path.display()))?;
    Ok(secret)
}

/// Reads a transport integrity key.
pub(crate) fn read_tik(path: &Path) -> anyhow::Result<Tik> {
    let bytes = read_secret(path, "integrity key", 64)?;
    Tik::from_slice(&bytes).with_context(|| format!("integrity key `{}`", path.display()))
}

/// Reads a transport encryption key.
pub(crate) fn read_tek(path: &Path) -> anyhow::Result<Tek> {
    let bytes = read_secret(path, "encryption key", 64)?;
    Tek::from_slice(&bytes).with_context(|| format!("encryption key `{}`", path.display()))
}

/// Reads a certificate, chain or measurement: as bytes, or as the base64 in which QEMU and libvirt print them.
/// `parse` is tried on both.
pub(crate) fn read_blob<T, E>(
    path: &Path,
    what: &str,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut bytes = Vec::new();
    read_bounded(path, MAX_BLOB, &mut bytes).with_context(|| format!("read {what} `{}`", path.display()))?;
    match (parse(&bytes), decode_base64(&bytes)) {
        (Ok(parsed), _) => Ok(parsed),
        (Err(error), None) => Err(error).with_context(|| format!("{what} `{}`", path.display())),
        (Err(_), Some(decoded)) => {
            parse(&decoded).with_context(|| format!("{what} `{}`, decoded from base64", path.display()))
        }
    }
}

/// Base64 with any white space in it; `None` when it is none.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    (!text.is_empty()).then_some(())?;
    BASE64_STANDARD.decode(text).ok()
}

fn read_bounded(path: &Path, max: u64, into: &mut Vec<u8>) -> anyhow::Result<()> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        bail!("is a directory");
    }
    if into.capacity() == 0 {
        into.reserve(usize::try_from(metadata.len().min(max))? + 1);
    }
    file.take(max + 1).read_to_end(into)?;
    if into.len() as u64 > max {
        bail!("the file is longer than the {max} bytes that make sense here");
    }
    Ok(())
}
