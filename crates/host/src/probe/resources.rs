//! What guests compete for: memory, encryption keys, and the limits that the administrator set.

use std::path::Path;

use crate::facts::{Asids, Cgroup, CgroupVersion, Count, Fact, LockedMemory, Slice};
use crate::root::Root;

const CGROUPS: &str = "/sys/fs/cgroup";
/// Where the misc controller of version 2, of version 1 and of a hybrid has its root.
const MISC: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/misc", "/sys/fs/cgroup/unified"];
/// systemd's unit files, lowest precedence first (systemd.unit(5)).
const UNITS: [&str; 6] = [
    "/usr/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/run/systemd/system",
    "/etc/systemd/system",
    "/run/systemd/system.control",
    "/etc/systemd/system.control",
];
const SLICE: &str = "machine.slice";

/// `MemTotal` of `/proc/meminfo`, KiB.
pub(super) fn memory(root: &Root) -> Fact<u64> {
    root.text("/proc/meminfo").and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
    })
}

pub(super) fn locked_memory(root: &Root) -> Fact<LockedMemory> {
    if root.is_live() {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock);
        return Fact::Known(LockedMemory { soft: limit.current, hard: limit.maximum });
    }
    Fact::of_option(root.description().and_then(|description| description.limits.memlock))
}

pub(super) fn cgroup(root: &Root) -> Fact<Cgroup> {
    let has = |path: &str| root.status(&format!("{CGROUPS}/{path}")).is_ok();
    root.names(CGROUPS).and_then(|names| {
        let version = if has("cgroup.controllers") {
            CgroupVersion::V2
        } else if has("unified/cgroup.controllers") {
            CgroupVersion::Hybrid
        } else if !names.is_empty() {
            CgroupVersion::V1
        } else {
            return None;
        };
        Some(Cgroup { version })
    })
}

/// Lines of `sev N` and `sev_es N`.
pub(super) fn asids(root: &Root) -> Fact<Asids> {
    let number = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    };
    for directory in MISC {
        let capacity = root.text(&format!("{directory}/misc.capacity"));
        if capacity == Fact::Absent {
            continue;
        }
        let used = root.text(&format!("{directory}/misc.current"));
        return capacity.and_then(|capacity| {
            let count = |name: &str| {
                let used = used.known().and_then(|text| number(text, name)).unwrap_or(0);
                number(&capacity, name).map(|capacity| Count { capacity, used })
            };
            let none = Count { capacity: 0, used: 0 };
            let (sev, sev_es) = (count("sev"), count("sev_es"));
            (sev.is_some() || sev_es.is_some())
                .then(|| Asids { sev: sev.unwrap_or(none), sev_es: sev_es.unwrap_or(none) })
        });
    }
    Fact::Absent
}

pub(super) fn machine_slice(root: &Root) -> Fact<Slice> {
    match live(root) {
        Fact::Absent => configured(root),
        other => other,
    }
}

/// The slice's own cgroup.
fn live(root: &Root) -> Fact<Slice> {
    // What version 1 shows for no limit: the largest multiple of a page.
    const NONE: u64 = 0x7fff_ffff_ffff_f000;
    let value = |path: &str| -> Fact<Option<u64>> {
        root.text(&format!("{CGROUPS}/{path}"))
            .map(|text| text.trim().parse().ok().filter(|bytes| *bytes < NONE))
    };
    let (v2, v1) = (format!("{SLICE}/memory"), format!("memory/{SLICE}/memory"));
    match value(&format!("{v2}.max")) {
        Fact::Absent => {}
        other => {
            let further = |name: &str| value(&format!("{v2}.{name}")).known().copied().flatten();
            let (memory_high, memory_current) = (further("high"), further("current"));
            return other.map(|memory_max| Slice { memory_high, memory_max, memory_current });
        }
    }
    value(&format!("{v1}.limit_in_bytes")).map(|memory_max| {
        let memory_current = value(&format!("{v1}.usage_in_bytes")).known().copied().flatten();
        Slice { memory_high: None, memory_max, memory_current }
    })
}

/// What systemd will set when the slice starts.
fn configured(root: &Root) -> Fact<Slice> {
    // The unit file itself: only the one that counts most.
    let unit = UNITS.iter().rev().map(|directory| root.text(&format!("{directory}/{SLICE}")));
    let mut files = vec![unit.into_iter().find(|text| *text != Fact::Absent).unwrap_or(Fact::Absent)];
    // Drop-ins of every directory, by name; one of the same name counts only where precedence is highest.
    let mut drop_ins: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    for unit in ["slice.d", "machine.slice.d"] {
        for directory in UNITS {
            let directory = format!("{directory}/{unit}");
            for name in root.names(&directory).known().into_iter().flatten() {
                if Path::new(name).extension().is_some_and(|extension| extension == "conf") {
                    drop_ins.insert(name.clone(), format!("{directory}/{name}"));
                }
            }
        }
    }
    files.extend(drop_ins.values().map(|path| root.text(path)));
    let memory = memory(root).known().map(|kib| kib.saturating_mul(1024));
    let mut slice = None;
    for file in files {
        match file {
            Fact::Known(text) => apply(slice.get_or_insert_default(), &text, memory),
            Fact::Absent => {}
            unreadable => return unreadable.map(|_| Slice::default()),
        }
    }
    Fact::of_option(slice)
}

/// Assignments of a unit file's `[Slice]` section (systemd.resource-control(5)).
fn apply(slice: &mut Slice, text: &str, memory: Option<u64>) {
    let mut in_section = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_section = line == "[Slice]";
            continue;
        }
        let Some((name, value)) =
            line.split_once('=').filter(|_| in_section && !line.starts_with(['#', ';']))
        else {
            continue;
        };
        let place = match name.trim() {
            "MemoryHigh" => &mut slice.memory_high,
            // The older name sets the older controller's limit.
            "MemoryMax" | "MemoryLimit" => &mut slice.memory_max,
            _ => continue,
        };
        match value.trim() {
            "" | "infinity" => *place = None,
            value => {
                // A value that systemd does not understand changes nothing.
                if let Some(bytes) = size(value, memory) {
                    *place = Some(bytes);
                }
            }
        }
    }
}

/// `12G`, `50%` of the memory, or bytes.
fn size(text: &str, memory: Option<u64>) -> Option<u64> {
    if let Some(percent) = text.strip_suffix('%') {
        let (whole, hundredths) = percent.split_once('.').unwrap_or((percent, "0"));
        let hundredths: u64 = format!("{hundredths:0<2}").get(..2)?.parse().ok()?;
        let share = whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(hundredths)?;
        return u64::try_from(u128::from(memory?) * u128::from(share) / 10_000).ok();
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split)?;
    let shift = match unit.trim().trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        "E" => 60,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = tree.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::at(tree.path().to_owned());
        (tree, root)
    }

    #[test]
    fn the_running_slice_counts_before_its_configuration() {
        let files = [
            ("/sys/fs/cgroup/machine.slice/memory.max", "34359738368\n"),
            ("/sys/fs/cgroup/machine.slice/memory.high", "max\n"),
            ("/sys/fs/cgroup/machine.slice/memory.current", "4096\n"),
            ("/etc/systemd/system/machine.slice.d/50-limit.conf", "[Slice]\nMemoryMax=1G\n"),
        ];
        let (_tree, root) = root_with(&files);
        let expected = Slice { memory_high: None, memory_max: Some(32 << 30), memory_current: Some(4096) };
        assert_eq!(machine_slice(&root), Fact::Known(expected));
        let (_tree, root) = root_with(&files[3..]);
        let expected = Slice { memory_max: Some(1 << 30), ..Slice::default() };
        assert_eq!(machine_slice(&root), Fact::Known(expected));
    }

    #[test]
    fn version_1_has_its_own_files() {
        let directory = "/sys/fs/cgroup/memory/machine.slice/memory";
        let (_tree, root) = root_with(&[
            (&format!("{directory}.limit_in_bytes"), "9223372036854771712\n"),
            (&format!("{directory}.usage_in_bytes"), "1048576\n"),
        ]);
        let expected = Slice { memory_current: Some(1 << 20), ..Slice::default() };
        assert_eq!(machine_slice(&root), Fact::Known(expected));
        assert_eq!(cgroup(&root), Fact::Known(Cgroup { version: CgroupVersion::V1 }));
    }

    #[test]
    fn unit_files_and_drop_ins_are_put_together_as_systemd_does() {
        let (_tree, root) = root_with(&[
            ("/proc/meminfo", "MemTotal:       1000 kB\n"),
            ("/usr/lib/systemd/system/machine.slice", "[Unit]\nMemoryMax=7\n[Slice]\nMemoryMax=5G\n"),
            ("/etc/systemd/system/machine.slice.d/10-a.conf", "[Slice]\n# MemoryHigh=1\nMemoryHigh=50%\n"),
            ("/etc/systemd/system/machine.slice.d/20-b.conf", "[Slice]\nMemoryMax=infinity\n"),
            ("/etc/systemd/system/machine.slice.d/30-c.conf", "[Slice]\nMemoryMax=lots\nMemoryMax = 2M\n"),
            ("/usr/lib/systemd/system/machine.slice.d/30-c.conf", "[Slice]\nMemoryMax=9G\n"),
            ("/etc/systemd/system/machine.slice.d/40-d.txt", "[Slice]\nMemoryMax=1\n"),
        ]);
        let expected = Slice { memory_high: Some(512_000), memory_max: Some(2 << 20), memory_current: None };
        assert_eq!(machine_slice(&root), Fact::Known(expected));
        let (_tree, root) = root_with(&[]);
        assert_eq!(machine_slice(&root), Fact::Absent);
    }

    #[test]
    fn guests_are_counted_wherever_the_misc_controller_is() {
        for directory in MISC {
            let (_tree, root) = root_with(&[
                (&format!("{directory}/misc.capacity"), "sev 410\nsev_es 99\n"),
                (&format!("{directory}/misc.current"), "sev 3\nsev_es 0\n"),
            ]);
            let expected =
                Asids { sev: Count { capacity: 410, used: 3 }, sev_es: Count { capacity: 99, used: 0 } };
            assert_eq!(asids(&root), Fact::Known(expected), "{directory}");
        }
        let (_tree, root) = root_with(&[("/sys/fs/cgroup/misc.capacity", "\n")]);
        assert_eq!(asids(&root), Fact::Absent);
    }

    #[test]
    fn sizes_are_systemds() {
        let cases = [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("2K", Some(2048)),
            ("1T", Some(1 << 40)),
            ("12.5%", Some(125)),
            ("100%", Some(1000)),
            ("99999999999999E", None),
            ("G", None),
            ("-1", None),
            ("1X", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text, Some(1000)), bytes, "{text}");
        }
    }
}
