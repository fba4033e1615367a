//! What is written down of a guest in the background, so that whoever comes after can take it over or end it.
//!
//! Four files in the guest's run directory tell everything, at any instant at which the daemon may be killed:
//!
//! 1. `status.json`, phase `starting`, is there before QEMU's process is. Whoever finds it and nothing more had no guest.
//! 2. `process` is written by the child itself, before it looks whether its parent still lives, and before it becomes
//!    QEMU. So there is no QEMU that is not in it: a child whose parent died before that look goes no further, and one
//!    whose parent died after it has written its line.
//! 3. `live.xml` is the running domain, written before phase `started`.
//! 4. `status.json`, phase `started`, is there before anybody is told that the guest was started. Without it, a process
//!    that is in `process` is a start that nobody waits for any more, and is ended.
//!
//! A guest that is launched anew by another QEMU says so in `status.json` before its QEMU is asked to end, and its
//! directory stays, with this file and `live.xml` alone, until the new guest is in one of its own and has been started.
//!
//! Process numbers come again; a process is known by its number, its start time and the boot that it belongs to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use qemu::Technology;
use qemu::qmp::command::{SevGuest, SevState};
use serde::{Deserialize, Serialize};

use super::life::{Reactions, Standing};

pub(super) const STATUS: &str = "status.json";
pub(super) const LIVE: &str = "live.xml";
pub(super) const PROCESS: &str = "process";

/// The form of `status.json` that is written. Fields that a later form adds are kept as they are.
const VERSION: u32 = 1;

/// A status longer than this is none.
const LONGEST: u64 = 1 << 20;

/// `status.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub uuid: String,
    pub name: String,
    /// The domain's number while it runs.
    pub id: u32,
    /// `/proc/sys/kernel/random/boot_id` of the boot in which it was started.
    pub boot: String,
    pub phase: Phase,
    /// How it stood last.
    pub standing: Standing,
    pub reactions: Reactions,
    pub technology: Option<Technology>,
    #[serde(default)]
    pub sev: Option<SevLaunch>,
    /// It was started to stay paused, until somebody has looked at its measurement; so it is whenever it is relaunched.
    #[serde(default)]
    pub paused: bool,
    /// Why it cannot run here although it can be launched.
    #[serde(default)]
    pub cannot_resume: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub started: u64,
    #[serde(default)]
    pub emulator: PathBuf,
    /// Where QEMU's output goes, and how long that file was before.
    #[serde(default)]
    pub log: Option<PathBuf>,
    #[serde(default)]
    pub log_start: u64,
    /// QEMU's control group.
    #[serde(default)]
    pub group: Option<PathBuf>,
    /// Codes of lint's findings that it was started in spite of.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// What lint warned of: it may tell why the guest dies.
    #[serde(default)]
    pub warned: Vec<String>,
    /// It is to end with the connection of the client that started it.
    #[serde(default)]
    pub bound: bool,
    /// It ends to be launched anew, from what it ran as: whoever finds its QEMU gone does that. Its directory stays until
    /// that is done.
    #[serde(default)]
    pub relaunch: bool,
    /// QEMU's log tells when a shutdown is asked for.
    #[serde(default)]
    pub traced: bool,
    /// What a later form says beyond this one.
    #[serde(flatten)]
    pub later: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Starting,
    Started,
}

/// What is kept of a confidential guest's launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SevLaunch {
    /// Measurement and nonce (48 bytes), base64. SEV-SNP guests have none.
    pub measurement: Option<String>,
    pub api_major: u8,
    pub api_minor: u8,
    pub build_id: u8,
    pub policy: u64,
    /// Whether it is a SEV-SNP guest.
    pub snp: bool,
}

impl SevLaunch {
    pub(super) fn of(sev: &SevState, measurement: Option<String>) -> Self {
        let (policy, snp) = match sev.guest {
            SevGuest::Sev { policy, .. } => (policy.into(), false),
            SevGuest::Snp { policy } => (policy, true),
        };
        let SevState { api_major, api_minor, build_id, .. } = *sev;
        Self { measurement, api_major, api_minor, build_id, policy, snp }
    }
}

impl Record {
    /// Of a guest that is about to be started.
    pub fn new(uuid: String, name: String, id: u32) -> Self {
        Self {
            version: VERSION,
            uuid,
            name,
            id,
            boot: boot(),
            phase: Phase::Starting,
            standing: Standing::Held,
            reactions: Reactions::USUAL,
            technology: None,
            sev: None,
            paused: false,
            cannot_resume: None,
            started: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            emulator: PathBuf::new(),
            log: None,
            log_start: 0,
            group: None,
            allowed: Vec::new(),
            warned: Vec::new(),
            bound: false,
            relaunch: false,
            traced: false,
            later: serde_json::Map::new(),
        }
    }

    pub(super) fn write(&self, run_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        replace(&run_dir.join(STATUS), &text)
    }

    pub(super) fn read(run_dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&read_bounded(&run_dir.join(STATUS))?)?)
    }
}

/// Puts a file with these contents in another's place, whole or not at all. It need not outlive a power failure: no
/// guest does.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(contents)?;
    fs::rename(&new, path)
}

pub(super) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > 16 * LONGEST {
        return Err(io::Error::other("it is too long"));
    }
    fs::read(path)
}

/// This boot's own name.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// A process's number and the time of its start, in ticks since boot: both as in `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessId {
    pub(super) pid: u32,
    pub(super) start: u64,
}

impl ProcessId {
    /// From the text of `/proc/PID/stat`.
    fn of(stat: &str) -> Option<Self> {
        let pid = stat.split(' ').next()?.parse().ok()?;
        // The name may hold anything, parentheses too.
        let (_, rest) = stat.rsplit_once(") ")?;
        // The state is the third field, the start time the 22nd.
        let start = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, start })
    }

    /// What the child wrote of itself. `None`: there is no child.
    pub(super) fn recorded(run_dir: &Path) -> Option<Self> {
        Self::of(&String::from_utf8_lossy(&read_bounded(&run_dir.join(PROCESS)).ok()?))
    }

    /// Whether that very process is there now, dead ones that nobody has reaped left out.
    pub(super) fn lives(self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        let dead = stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X', 'x']));
        !dead && Self::of(&stat) == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::life::Still;
    use super::*;

    #[test]
    fn a_record_is_read_as_written_and_keeps_what_it_does_not_know() {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record::new("u".into(), "a".into(), 7);
        record.standing = Standing::Still(Still::IoError);
        record.later.insert("colour".into(), "green".into());
        record.write(directory.path()).unwrap();
        assert_eq!(Record::read(directory.path()).unwrap(), record);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "the temporary file is left");
    }

    #[test]
    fn a_record_of_the_first_form_can_always_be_read() {
        let text = r#"{"version": 1, "uuid": "u", "name": "a", "id": 1, "boot": "b", "phase": "started",
            "standing": {"running": {"unpaused": false}}, "technology": null,
            "reactions": {"poweroff": "destroy", "reboot": "restart", "crash": "preserve"}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.standing, Standing::Running { unpaused: false });
        assert_eq!((record.phase, record.paused, record.sev), (Phase::Started, false, None));
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        let stat = "71 (a) b) (c) S 1 71 71 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 0 0";
        assert_eq!(ProcessId::of(stat), Some(ProcessId { pid: 71, start: 9876 }));
        assert_eq!(ProcessId::of(""), None);
        let own = ProcessId::of(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(own.lives());
        assert!(!ProcessId { start: own.start + 1, ..own }.lives());
    }
}
