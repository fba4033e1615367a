//! Answers kept in memory, for a process that stays: the second caller pays for nothing but the look at what the answers
//! depend on, and callers that come while QEMU is being asked wait for the one answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use qemu::Caps;
use qemu::caps::Part;

use super::identity::Identity;
use super::{Accelerator, Inquiry, ProbeError};
use crate::locked;

/// More emulators than a host has. Where more are named, the first of them is asked again.
const EMULATORS_MAX: usize = 16;

/// For how long a look at what answers depend on counts: for nobody who changes something and asks then, but for many
/// calls at once, to which some 200 µs each would add up.
const RECENT: Duration = Duration::from_millis(20);

/// What was asked of an emulator by this process.
#[derive(Debug)]
pub struct Memory {
    /// Where answers are remembered beyond the process; none for not at all.
    directory: Option<PathBuf>,
    /// The lock of an entry is held while its emulator is asked.
    known: Mutex<BTreeMap<(PathBuf, Accelerator), Entry>>,
}

/// Nothing while it was not asked.
type Entry = Arc<Mutex<Option<Known>>>;

#[derive(Debug)]
struct Known {
    identity: Identity,
    caps: Arc<Caps>,
    looked: Instant,
}

impl Memory {
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, known: Mutex::default() }
    }

    /// The answers of an emulator, which hold as of now. Blocks while it is asked: some 100 ms.
    pub fn caps(
        &self,
        emulator: &Path,
        accelerator: Accelerator,
        parts: &[Part],
    ) -> Result<Arc<Caps>, ProbeError> {
        let entry = self.entry(emulator, accelerator);
        let mut entry = locked(&entry);
        let holds = |caps: &Caps| parts.iter().all(|part| caps.holds(*part));
        if let Some(known) = entry.as_ref().filter(|known| known.looked.elapsed() < RECENT)
            && holds(&known.caps)
        {
            return Ok(Arc::clone(&known.caps));
        }
        let looked = Instant::now();
        let identity = Identity::of(emulator)?;
        let mut wanted = parts.to_vec();
        if let Some(known) = entry.as_mut()
            && known.identity == identity
        {
            if holds(&known.caps) {
                known.looked = looked;
                return Ok(Arc::clone(&known.caps));
            }
            // Nothing that was known is forgotten.
            let more = [Part::Signatures, Part::Extent].into_iter();
            wanted.extend(more.filter(|part| known.caps.holds(*part) && !parts.contains(part)));
        }
        *entry = None;
        let inquiry = Inquiry { emulator, accelerator, parts: &wanted };
        let caps = Arc::new(inquiry.remembered(self.directory.as_deref())?);
        // What has changed while QEMU was asked shows at the next look, for this identity is from before.
        *entry = Some(Known { identity, caps: Arc::clone(&caps), looked });
        Ok(caps)
    }

    fn entry(&self, emulator: &Path, accelerator: Accelerator) -> Entry {
        let key = (emulator.to_owned(), accelerator);
        let mut known = locked(&self.known);
        if !known.contains_key(&key) && known.len() >= EMULATORS_MAX {
            known.pop_first();
        }
        Arc::clone(known.entry(key).or_default())
    }
}
