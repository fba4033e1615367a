//! libvirt with its remembered answers, and the QEMU binaries of another machine. Those of this machine only answer
//! when they are started, which is the caller's business.

use std::path::{Path, PathBuf};

use crate::facts::{CapabilityCache, Dependency, Emulator, Fact, Libvirt};
use crate::root::Root;

/// Where distributions have QEMU.
const EMULATORS: [&str; 3] = ["/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm", "/usr/bin/qemu-kvm"];
const LIBVIRT_DAEMONS: [&str; 2] = ["/usr/sbin/virtqemud", "/usr/sbin/libvirtd"];
const LIBRARY_DIRECTORIES: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
const CACHES: &str = "/var/cache/libvirt/qemu/capabilities";
/// The emulator stands among the first lines.
const CACHE_HEAD: u64 = 8 << 10;
/// Where distributions have QEMU's modules.
const QEMU_MODULES: [&str; 4] =
    ["/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib64/qemu-kvm", "/usr/lib64/qemu", "/usr/lib/qemu"];
const DEVICES: [&str; 2] = ["/dev/kvm", "/dev/sev"];

impl Root {
    /// The QEMU binaries of distributions that are there, each once.
    #[must_use]
    pub fn emulators(&self) -> Vec<PathBuf> {
        let mut found: Vec<(PathBuf, PathBuf)> = Vec::new();
        for path in EMULATORS.map(Path::new) {
            let described = self.description().is_some_and(|description| description.qmp.contains_key(path));
            if !described && self.open_file(path).is_err() {
                continue;
            }
            let resolved = self.canonical(path);
            if !found.iter().any(|(_, other)| *other == resolved) {
                found.push((path.to_owned(), resolved));
            }
        }
        found.into_iter().map(|(path, _)| path).collect()
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        let canonical = if self.is_live() { std::fs::canonicalize(path) } else { self.resolve(path) };
        canonical.unwrap_or_else(|_| path.to_owned())
    }

    /// What is known of another machine's QEMU binary, which cannot be started here; `None` on this machine.
    #[must_use]
    pub fn emulator(&self, path: &Path) -> Option<Emulator> {
        if self.is_live() {
            return None;
        }
        if let Some(answers) = self.description().and_then(|description| description.qmp.get(path)) {
            return Some(answers.emulator(path));
        }
        let shown = path.to_string_lossy();
        let version = Fact::of_io(&shown, self.open_file(path)).and_try(&shown, |_| {
            Err("a binary of another machine is not started, and no host.toml says what it answers"
                .to_owned())
        });
        Some(Emulator { path: path.to_owned(), version, ..Emulator::default() })
    }
}

/// Another machine's binaries; none of this machine.
pub(super) fn emulators(root: &Root) -> Vec<Emulator> {
    if root.is_live() {
        return Vec::new();
    }
    let described = root.description().into_iter().flat_map(|description| description.qmp.keys());
    let mut paths = root.emulators();
    paths.extend(
        described.filter(|path| !EMULATORS.iter().any(|known| path.as_path() == Path::new(known))).cloned(),
    );
    paths.iter().filter_map(|path| root.emulator(path)).collect()
}

pub(super) fn libvirt(root: &Root) -> Fact<Libvirt> {
    let found = LIBVIRT_DAEMONS.iter().map(|path| Fact::of_io(path, root.status(path)));
    let daemon = found.into_iter().find(|found| *found != Fact::Absent).unwrap_or(Fact::Absent);
    daemon.map(|_| Libvirt { version: libvirt_version(root), caches: caches(root) })
}

/// The library's file carries the version: `libvirt.so.0.11003.0` is 11.3.0.
fn libvirt_version(root: &Root) -> Fact<String> {
    for directory in LIBRARY_DIRECTORIES {
        // Its link leads to it by name, which is cheaper than reading a directory of thousands of libraries.
        let version = root.link_name(&format!("{directory}/libvirt.so.0")).and_then(|name| version_of(&name));
        let by_link = version.or_else(|| {
            let link = root.link_name(&format!("{directory}/libvirt.so"))?;
            version_of(&link)
        });
        let found = by_link.or_else(|| {
            let names = root.names(directory);
            names.known().into_iter().flatten().find_map(|name| version_of(name))
        });
        if let Some(version) = found {
            return Fact::Known(version);
        }
    }
    Fact::Absent
}

fn version_of(library: &str) -> Option<String> {
    let (release, micro) = library.strip_prefix("libvirt.so.0.")?.split_once('.')?;
    let (release, micro): (u32, u32) = (release.parse().ok()?, micro.parse().ok()?);
    Some(format!("{}.{}.{micro}", release / 1000, release % 1000))
}

fn caches(root: &Root) -> Vec<CapabilityCache> {
    let names = root.names(CACHES);
    let paths: Vec<String> = names
        .known()
        .into_iter()
        .flatten()
        .filter(|name| name.ends_with(".xml"))
        .map(|name| format!("{CACHES}/{name}"))
        .collect();
    if paths.is_empty() {
        return Vec::new();
    }
    let common = dependencies(root);
    paths
        .into_iter()
        .filter_map(|path| {
            let modified = root.status(&path).ok()?.modified;
            let emulator = root.head(&path, CACHE_HEAD).known().and_then(|text| emulator_of(text));
            let binary = emulator.iter().filter_map(|path| {
                let what = path.to_string_lossy().into_owned();
                let changed = root.status(&what).ok()?.changed;
                Some(Dependency { what, changed })
            });
            let mut older_than: Vec<Dependency> = common.iter().cloned().chain(binary).collect();
            older_than.retain(|dependency| dependency.changed > modified);
            Some(CapabilityCache { path: PathBuf::from(path), emulator, modified, older_than })
        })
        .collect()
}

/// The binary that a remembered answer is of.
fn emulator_of(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once("<emulator>")?;
    let (path, _) = rest.split_once("</emulator>")?;
    let path = path.trim();
    // A path with what XML would escape is no path that a distribution has.
    (path.starts_with('/') && !path.contains(['&', '<'])).then(|| PathBuf::from(path))
}

/// What all answers depend on, and when it changed last.
fn dependencies(root: &Root) -> Vec<Dependency> {
    let boot = root
        .text("/proc/stat")
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()));
    let boot = boot.known().map(|changed| Dependency { what: "kernel boot".to_owned(), changed: *changed });
    // A module directory changes when something is installed; a device node when it is made or its access changes.
    let of = |path: &str, time: fn(&crate::root::Status) -> i64| {
        let status = root.status(path).ok()?;
        Some(Dependency { what: path.to_owned(), changed: time(&status) })
    };
    boot.into_iter()
        .chain(QEMU_MODULES.iter().filter_map(|path| of(path, |status| status.modified)))
        .chain(DEVICES.iter().filter_map(|path| of(path, |status| status.changed)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_tells_the_version() {
        assert_eq!(version_of("libvirt.so.0.11003.0").as_deref(), Some("11.3.0"));
        assert_eq!(version_of("libvirt.so.0.5000.1").as_deref(), Some("5.0.1"));
        for name in ["libvirt.so.0", "libvirt-qemu.so.0.11003.0", "libvirt.so.0.x.0", "libvirt.so.0.11003"] {
            assert_eq!(version_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_cache_names_its_emulator() {
        let text = "<qemuCaps>\n  <emulator>/usr/bin/qemu-system-x86_64</emulator>\n  <qemuctime>";
        assert_eq!(emulator_of(text), Some(PathBuf::from("/usr/bin/qemu-system-x86_64")));
        assert_eq!(emulator_of("<emulator>relative</emulator>"), None);
        assert_eq!(emulator_of("<emulator>/usr/bin/qemu"), None);
    }
}
