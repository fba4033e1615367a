//! Making SEV permanent on a host, and taking that back: the kernel's command line and modprobe's options.
//!
//! A [`Plan`] is looked at first and applied then. Only words are changed that have to be; everything else in a file
//! keeps its bytes. What was written is recorded before it is written, with the originals (see [`record`]).
//!
//! What it deliberately does not do: judge whether the host could run guests then; and start anything but the
//! distribution's own program that makes `grub.cfg`, and that only on the live system.

mod command_line;
pub(crate) mod disk;
mod draft;
mod file;
mod modprobe;
mod place;
pub mod record;
mod text;
mod tool;
mod wish;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use qemu::Technology;

use crate::boot::value::ScriptError;
use crate::boot::{self, Layout};
use crate::facts::Fact;
use crate::root::Root;

use disk::Disk;
use draft::Draft;
use file::Kind;
use record::{Entry, Record, RecordError, hash};
use wish::wishes;

pub use draft::Change;
pub use tool::{Regeneration, ToolError};

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// In their order, after the changes.
    pub regenerations: Vec<Regeneration>,
    /// What a person has to know or to do besides.
    pub notes: Vec<String>,
    /// The record after the changes; `None` takes it away.
    record: Option<Record>,
    originals: Vec<Vec<u8>>,
}

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read the shell's assignments")]
    Script(#[source] ScriptError),
    #[error("`{}`, line {line}: {why}; add the words to the kernel's command line by hand", path.display())]
    Unknown { path: PathBuf, line: usize, why: &'static str },
    #[error("no change of `{}` has the wanted effect; add the words to the kernel's command line by hand", path.display())]
    NotEffective { path: PathBuf },
    #[error("GRUB's environment block `{}` has no room left", path.display())]
    BlockFull { path: PathBuf },
    #[error("use the record of what was enabled")]
    Record(#[source] RecordError),
}

/// Why a plan was not carried out to its end. What was changed until then is in the record.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{}` was changed by somebody else in the meantime", path.display())]
    Changed { path: PathBuf },
    #[error("another `sevirt host enable` or `disable` is running")]
    Locked,
    #[error("make the boot loader's configuration anew")]
    Tool(#[source] ToolError),
}

/// What would make a technology permanent on a host.
pub fn enable(root: &Root, technology: Technology) -> Result<Plan, SettingsError> {
    let old = Record::load(root).map_err(SettingsError::Record)?;
    let layout = Layout::find(root);
    let mut draft = Draft::new(root);
    let found = command_line::draft(&mut draft, &layout, technology)?;
    modprobe::draft(&mut draft, technology)?;
    let changes = draft.changes();
    let mut notes = Vec::new();
    let words = wishes(technology).iter().map(wish::Wish::word).collect::<Vec<_>>().join(" ");
    if !found {
        notes.push(format!(
            "no boot loader's configuration was found (/etc/default/grub, loader entries, /etc/kernel/cmdline): add `{words}` to the kernel's command line by hand"
        ));
    }
    let mut regenerations = Vec::new();
    if found && layout.entries.is_none() && !matches!(layout.defaults, Fact::Absent) {
        let stale = match boot::read(root).command_line {
            Fact::Known(line) => !text::is_well(&line, technology),
            Fact::Absent | Fact::Unreadable { .. } => false,
        };
        if stale || changes.iter().any(|change| change.kind == Kind::GrubDefaults) {
            regenerations = tool::regenerations(root, &layout);
        }
    }
    notes.extend(until_reboot(root, technology));
    let (record, originals) = recorded(root, old, &changes).map_err(SettingsError::Record)?;
    Ok(Plan { changes, regenerations, notes, record: Some(record), originals })
}

/// What has to happen before it is so.
fn until_reboot(root: &Root, technology: Technology) -> Vec<String> {
    let mut notes = Vec::new();
    let running = root.text("/proc/cmdline").known().cloned().unwrap_or_default();
    if text::is_well(&running, technology) {
        return notes;
    }
    let parameters = boot::command_line::parameters(&running);
    let is_met = |wish: &&wish::Wish| {
        let last = parameters.iter().rev().find(|parameter| parameter.is(wish.name));
        last.is_some_and(|parameter| wish.is_met(parameter))
    };
    let (module, kernel): (Vec<_>, Vec<_>) =
        wishes(technology).iter().filter(|wish| !is_met(wish)).partition(|wish| wish.option().is_some());
    let mut early: Vec<String> = kernel.into_iter().map(wish::Wish::word).collect();
    early.extend(parameters.iter().filter_map(|parameter| wish::mended(technology, parameter)));
    if !early.is_empty() {
        notes.push(format!("a reboot is needed for {}", early.join(", ")));
    }
    if module.is_empty() {
        return notes;
    }
    let words = module.iter().map(|wish| wish.word()).collect::<Vec<_>>().join(", ");
    let against = module.iter().any(|wish| parameters.iter().any(|parameter| parameter.is(wish.name)));
    let state = root.text("/sys/module/kvm_amd/initstate");
    let is_there = matches!(root.names("/sys/module/kvm_amd"), Fact::Known(_));
    notes.push(if against {
        format!("a reboot is needed for {words}: the running kernel's command line says otherwise")
    } else if is_there && matches!(state, Fact::Absent) {
        format!("a reboot is needed for {words}: kvm_amd is built into this kernel")
    } else {
        format!(
            "{words}: in force after a reboot, or now, while no guest runs, by `modprobe -r kvm_amd && modprobe kvm_amd`"
        )
    });
    notes
}

/// The record with these changes in it, and the originals that it needs.
fn recorded(
    root: &Root,
    old: Option<Record>,
    changes: &[Change],
) -> Result<(Record, Vec<Vec<u8>>), RecordError> {
    let mut record = old.unwrap_or_default();
    let mut originals = Vec::new();
    for change in changes {
        let old = record.entry(&change.path).cloned();
        let before = change.before.as_deref();
        let (base, mut written, pieces) = match &old {
            Some(entry) if entry.knows(before) => {
                (entry.original(root)?, entry.written.clone(), record::merged(&entry.pieces, &change.pieces))
            }
            Some(entry) => {
                let was_there = entry.original.is_some();
                let base = before.and_then(|text| file::without(entry.kind, text, &entry.pieces, was_there));
                (base, Vec::new(), record::merged(&entry.pieces, &change.pieces))
            }
            None => (change.before.clone(), Vec::new(), change.pieces.clone()),
        };
        written.extend(change.after.as_deref().map(hash));
        let original = base.as_deref().map(hash);
        originals.extend(base);
        record.files.retain(|entry| entry.path != change.path);
        record.files.push(Entry { path: change.path.clone(), kind: change.kind, original, written, pieces });
    }
    Ok((record, originals))
}

/// What would take back all that was enabled.
pub fn disable(root: &Root) -> Result<Plan, SettingsError> {
    let mut plan = Plan {
        changes: Vec::new(),
        regenerations: Vec::new(),
        notes: Vec::new(),
        record: None,
        originals: Vec::new(),
    };
    let Some(record) = Record::load(root).map_err(SettingsError::Record)? else {
        // Something was begun, but nothing written yet.
        plan.record = Record::is_begun(root).then(Record::default);
        return Ok(plan);
    };
    for entry in &record.files {
        let before = place::read(root, &entry.path)
            .map_err(|source| SettingsError::Read { path: entry.path.clone(), source })?;
        let Some(text) = &before else {
            // Whoever took the file away took what was written with it.
            continue;
        };
        let after = if entry.knows(Some(text)) {
            entry.original(root).map_err(SettingsError::Record)?
        } else {
            plan.notes.push(format!(
                "`{}` was edited since: only what was written into it is taken out",
                entry.path.display()
            ));
            file::without(entry.kind, text, &entry.pieces, entry.original.is_some())
        };
        if before != after {
            plan.changes.push(Change {
                path: entry.path.clone(),
                before,
                after,
                kind: entry.kind,
                pieces: Vec::new(),
            });
        }
    }
    let layout = Layout::find(root);
    let is_made = record.files.iter().any(|entry| entry.kind == Kind::GrubDefaults);
    if is_made && layout.entries.is_none() {
        plan.regenerations = tool::regenerations(root, &layout);
    }
    if !plan.changes.is_empty() {
        plan.notes.push("a reboot is needed before it is so".to_owned());
    }
    plan.record = Some(record);
    Ok(plan)
}

/// Which way a plan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Enable,
    Disable,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self, direction: Direction) -> bool {
        let recorded = direction == Direction::Disable && self.record.is_some();
        self.changes.is_empty() && self.regenerations.is_empty() && !recorded
    }

    /// Carries it out. Below another root than `/` no program is run.
    pub fn apply(&self, root: &Root, direction: Direction) -> Result<(), ApplyError> {
        self.apply_by(root, direction, &Disk::default())
    }

    fn apply_by(&self, root: &Root, direction: Direction, disk: &Disk) -> Result<(), ApplyError> {
        if self.is_empty(direction) {
            return Ok(());
        }
        let state = |source| ApplyError::Write { path: PathBuf::from(record::DIRECTORY), source };
        let made = Record::prepare(root, disk).map_err(state)?;
        let _lock = lock(root)?;
        for change in &self.changes {
            let now = place::read(root, &change.path);
            if now.ok() != Some(change.before.clone()) {
                return Err(ApplyError::Changed { path: change.path.clone() });
            }
        }
        let mut record = self.record.clone().unwrap_or_default();
        let base = root.path("/");
        let below = |place: &PathBuf| Some(Path::new("/").join(place.strip_prefix(&base).ok()?));
        record.directories.extend(made.iter().filter_map(below));
        if direction == Direction::Enable {
            for change in &self.changes {
                let write = |source| ApplyError::Write { path: change.path.clone(), source };
                let place = place::resolve(root, &change.path).map_err(write)?;
                let missing = place.ancestors().skip(1).take_while(|place| !place.exists());
                let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
                record.directories.extend(missing.iter().rev().filter_map(below));
            }
            record.save(root, disk, &self.originals).map_err(state)?;
        }
        for change in &self.changes {
            let write = |source| ApplyError::Write { path: change.path.clone(), source };
            let place = place::resolve(root, &change.path).map_err(write)?;
            match &change.after {
                None => disk.remove(&place).map_err(write)?,
                Some(content) => {
                    let directory = place.parent().unwrap_or(&place);
                    disk.make_directories(directory, 0o755).map_err(write)?;
                    disk.put(&place, content, 0o644).map_err(write)?;
                }
            }
        }
        if root.is_live() {
            for regeneration in &self.regenerations {
                regeneration.run().map_err(ApplyError::Tool)?;
            }
        }
        if direction == Direction::Disable {
            for entry in &record.files {
                let place = place::resolve(root, &entry.path).map_err(state)?;
                disk.sweep(&place).map_err(state)?;
            }
            Record::forget(root, disk).map_err(state)?;
            for directory in record.directories.iter().rev() {
                let place = place::resolve(root, directory).map_err(state)?;
                disk.remove_directory(&place).map_err(state)?;
            }
        }
        Ok(())
    }
}

/// The directory, locked.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A child that was just started holds the directory open too: closing it would not do. It ends with the
        // process anyway.
        let _ = rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock);
    }
}

/// One at a time.
fn lock(root: &Root) -> Result<Lock, ApplyError> {
    let path = PathBuf::from(record::DIRECTORY);
    let place = place::resolve(root, &path);
    let directory =
        place.and_then(File::open).map_err(|source| ApplyError::Write { path: path.clone(), source })?;
    match rustix::fs::flock(&directory, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(directory)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(ApplyError::Locked),
        Err(error) => Err(ApplyError::Write { path, source: error.into() }),
    }
}

#[cfg(test)]
mod tests;
