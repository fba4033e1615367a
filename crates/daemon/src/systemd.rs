//! systemd's D-Bus interface, as far as guests' memory needs it: a scope for a guest, and the ceiling of a slice.
//!
//! The calls are made by `busctl`, which is there wherever systemd is: a D-Bus library would be the daemon's heaviest
//! dependency, for three calls. Their arguments are made by pure functions.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The slice that guests run in.
pub const SLICE: &str = "machine.slice";

/// There is this directory where systemd runs the system (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// How long an answer may take, in seconds.
const TIMEOUT: &str = "--timeout=10";

/// systemd's manager on the system's bus.
#[derive(Debug, Clone)]
pub struct Systemd {
    busctl: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    #[error("run `{}`", program.display())]
    Run {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("systemd refuses {method}: {reason}")]
    Refused { method: &'static str, reason: String },
}

impl Systemd {
    /// Where systemd runs the system.
    #[must_use]
    pub fn find() -> Option<Self> {
        let busctl = ["/usr/bin/busctl", "/bin/busctl"].into_iter().map(Path::new).find(|path| path.exists());
        busctl.filter(|_| Path::new(BOOTED).is_dir()).map(Self::by)
    }

    /// By a given `busctl`.
    #[must_use]
    pub fn by(busctl: &Path) -> Self {
        Self { busctl: busctl.to_owned() }
    }

    /// Puts a process into a new scope in the slice of guests. `limit` is in bytes.
    pub fn start_scope(&self, unit: &str, process: u32, limit: Option<u64>) -> Result<(), SystemdError> {
        self.call("StartTransientUnit", &scope(unit, process, limit))
    }

    /// Sets the ceiling of a slice, in bytes, for now and for later boots.
    pub fn set_ceiling(&self, slice: &str, ceiling: u64) -> Result<(), SystemdError> {
        self.call("SetUnitProperties", &slice_ceiling(slice, ceiling))
    }

    /// Sets limits of a scope until it ends, by the names of systemd.resource-control(5), in bytes; `u64::MAX` is none.
    pub(crate) fn set_limits(&self, unit: &str, limits: &[(&str, u64)]) -> Result<(), SystemdError> {
        self.call("SetUnitProperties", &scope_limits(unit, limits))
    }

    /// Whether the manager answers for a unit; it takes as long as one round trip.
    pub(crate) fn knows(&self, unit: &str) -> bool {
        self.call("GetUnit", &words(&["s", unit])).is_ok()
    }

    fn call(&self, method: &'static str, arguments: &[String]) -> Result<(), SystemdError> {
        let output = Command::new(&self.busctl)
            .args(["--system", "--quiet", TIMEOUT, "call"])
            .args([
                "org.freedesktop.systemd1",
                "/org/freedesktop/systemd1",
                "org.freedesktop.systemd1.Manager",
            ])
            .arg(method)
            .args(arguments)
            // It would tell systemd of its own end as if it were this service's.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| SystemdError::Run { program: self.busctl.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        let reason = said.strip_prefix("Call failed: ").unwrap_or(said).to_owned();
        Err(SystemdError::Refused { method, reason })
    }
}

/// The arguments of StartTransientUnit, `ssa(sv)a(sa(sv))`.
fn scope(unit: &str, process: u32, limit: Option<u64>) -> Vec<String> {
    let mut properties = vec![
        words(&["Description", "s", "a guest of sevirt"]),
        words(&["Slice", "s", SLICE]),
        words(&["PIDs", "au", "1", &process.to_string()]),
        // The guest's processes are sevirt's to move, and nobody else's.
        words(&["Delegate", "b", "true"]),
        words(&["CollectMode", "s", "inactive-or-failed"]),
        words(&["MemoryAccounting", "b", "true"]),
        words(&["TasksMax", "t", &MOST_THREADS.to_string()]),
    ];
    if let Some(limit) = limit {
        properties.push(words(&["MemoryMax", "t", &limit.to_string()]));
    }
    let mut arguments = words(&["ssa(sv)a(sa(sv))", unit, "fail", &properties.len().to_string()]);
    arguments.extend(properties.into_iter().flatten());
    arguments.push("0".into());
    arguments
}

/// The arguments of SetUnitProperties, `sba(sv)`, persistent.
fn slice_ceiling(slice: &str, ceiling: u64) -> Vec<String> {
    words(&["sba(sv)", slice, "false", "1", "MemoryMax", "t", &ceiling.to_string()])
}

/// The arguments of SetUnitProperties, `sba(sv)`, for now.
fn scope_limits(unit: &str, limits: &[(&str, u64)]) -> Vec<String> {
    let mut arguments = words(&["sba(sv)", unit, "true", &limits.len().to_string()]);
    for (name, limit) in limits {
        arguments.extend(words(&[name, "t", &limit.to_string()]));
    }
    arguments
}

/// How many threads a guest's QEMU may have: far more than processors, disks and displays need, far fewer than a host.
pub(crate) const MOST_THREADS: u32 = 16_384;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How much of a guest's name goes into a unit's, which is a file's name too: 255 bytes at most, with what follows.
const LONGEST_NAME: usize = 200;

/// A unit's name for a guest: what systemd does not take in a name is escaped (systemd.unit(5)). It names the process
/// that makes it, and has something random, so that no other unit or control group ever had it.
#[must_use]
pub fn scope_name(guest: &str, process: u32, random: u32) -> String {
    let mut name = String::from("sevirt-");
    for byte in guest.bytes() {
        if name.len() >= LONGEST_NAME {
            break;
        }
        if byte.is_ascii_alphanumeric() || b"_.".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("\\x{byte:02x}"));
        }
    }
    format!("{name}-{process}.{random:08x}.scope")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program in busctl's place that writes down what it is asked, and then does as it is told.
    fn fake(directory: &Path, then: &str) -> Systemd {
        let path = directory.join("busctl");
        let record = directory.join("asked");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\n{then}\n", record.display());
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Systemd::by(&path)
    }

    #[test]
    fn a_scope_is_asked_for_with_the_methods_signature() {
        let directory = tempfile::tempdir().unwrap();
        fake(directory.path(), "exit 0").start_scope("sevirt-a-7.scope", 7, Some(4096)).unwrap();
        let asked = std::fs::read_to_string(directory.path().join("asked")).unwrap();
        expect_test::expect![[r#"
            --system
            --quiet
            --timeout=10
            call
            org.freedesktop.systemd1
            /org/freedesktop/systemd1
            org.freedesktop.systemd1.Manager
            StartTransientUnit
            ssa(sv)a(sa(sv))
            sevirt-a-7.scope
            fail
            8
            Description
            s
            a guest of sevirt
            Slice
            s
            machine.slice
            PIDs
            au
            1
            7
            Delegate
            b
            true
            CollectMode
            s
            inactive-or-failed
            MemoryAccounting
            b
            true
            TasksMax
            t
            16384
            MemoryMax
            t
            4096
            0
        "#]]
        .assert_eq(&asked);
    }

    #[test]
    fn a_ceiling_is_persistent() {
        let arguments = slice_ceiling(SLICE, 1 << 30).join(" ");
        assert_eq!(arguments, "sba(sv) machine.slice false 1 MemoryMax t 1073741824");
    }

    #[test]
    fn a_scopes_limits_last_as_long_as_it() {
        let arguments = scope_limits("a.scope", &[("MemoryMax", 4096), ("MemoryHigh", u64::MAX)]).join(" ");
        let none = "18446744073709551615";
        assert_eq!(arguments, format!("sba(sv) a.scope true 2 MemoryMax t 4096 MemoryHigh t {none}"));
    }

    #[test]
    fn a_refusal_is_told_in_systemds_words() {
        let directory = tempfile::tempdir().unwrap();
        let refused =
            fake(directory.path(), "echo 'Call failed: Unit a.scope was already loaded' >&2; exit 1");
        let error = refused.start_scope("a.scope", 7, None).unwrap_err();
        assert_eq!(error.to_string(), "systemd refuses StartTransientUnit: Unit a.scope was already loaded");
        let missing = Systemd::by(&directory.path().join("nothing"));
        assert!(matches!(missing.set_ceiling(SLICE, 1), Err(SystemdError::Run { .. })));
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(scope_name("sev-dummy", 7, 0xab), "sevirt-sev\\x2ddummy-7.000000ab.scope");
        assert!(scope_name(&"-".repeat(250), u32::MAX, u32::MAX).len() < 255);
        assert_eq!(scope_name("ž/..", 1, 0), "sevirt-\\xc5\\xbe\\x2f..-1.00000000.scope");
    }
}
