//! What a plan needs to know of this host.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use domain::Domain;
use domain::model::GenId;
use domain::model::graphics::GraphicsKind;
use domain::model::sysinfo::SmbiosMode;
use host::Facts;
use qemu::Caps;
use qemu::plan::{Displays, InheritedFds, MemoryDirs, SevParams, Surroundings};

use super::clock;

/// What runs domains that name no emulator.
pub const DEFAULT_EMULATOR: &str = "/usr/bin/qemu-system-x86_64";

/// Ports that displays may take.
const DISPLAY_PORTS: std::ops::Range<u16> = 5900..6000;

pub(super) fn surroundings(
    domain: &Domain,
    caps: &Caps,
    facts: &Facts,
    domain_dir: &Path,
    monitor: i32,
) -> Surroundings {
    let from_caps = caps.sev.as_ref().ok();
    let sev =
        from_caps.map(|sev| SevParams { cbitpos: sev.cbitpos, reduced_phys_bits: sev.reduced_phys_bits });
    Surroundings {
        domain_dir: domain_dir.to_owned(),
        nvram_dir: nvram_dir(domain_dir),
        fds: InheritedFds { monitor, ..InheritedFds::default() },
        sev,
        firmware: (facts.firmware_for(domain.launch_security.is_some()))
            .map(|loader| loader.descriptor.clone())
            .collect(),
        memory_dirs: memory_dirs(domain, domain_dir),
        displays: displays(domain),
        generation_id: matches!(domain.genid, Some(GenId::Generate))
            .then(|| uuid::Uuid::new_v4().to_string()),
        host_smbios: (domain.os.smbios == Some(SmbiosMode::Host)).then(crate::smbios::of_host).flatten(),
        clock: clock::now(),
        emulator: Some(PathBuf::from(DEFAULT_EMULATOR)),
        user: user(),
        path: variable("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ..Surroundings::default()
    }
}

/// Whom QEMU runs as: sevirt's own user.
fn user() -> String {
    let id = rustix::process::geteuid();
    let named = || variable("USER").unwrap_or_else(|| id.as_raw().to_string());
    if id.is_root() { "root".to_owned() } else { named() }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where variable stores go that the domain names no file for.
fn nvram_dir(domain_dir: &Path) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/sevirt/nvram");
    }
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    kept_state(absolute("XDG_STATE_HOME"), absolute("HOME"), domain_dir)
}

/// Below the user's own state; for a user without any, the variables go with the guest. A directory with a known name
/// where everybody may write could be somebody else's.
fn kept_state(state: Option<PathBuf>, home: Option<PathBuf>, domain_dir: &Path) -> PathBuf {
    let state = state.or_else(|| Some(home?.join(".local/state")));
    state.map_or_else(|| domain_dir.to_owned(), |state| state.join("sevirt/nvram"))
}

/// A port for each kind of display that leaves the choice to the host.
fn displays(domain: &Domain) -> Displays {
    let mut displays = Displays::default();
    let mut free = DISPLAY_PORTS.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    for graphics in &domain.devices.graphics {
        match &graphics.kind {
            GraphicsKind::Vnc(vnc) if vnc.ports.port.is_none_or(|port| port == 0) => {
                displays.vnc_port = free.next();
            }
            GraphicsKind::Spice(spice) if spice.ports.port.is_none_or(|port| port == 0) => {
                displays.spice_port = free.next();
            }
            _ => {}
        }
    }
    displays
}

fn memory_dirs(domain: &Domain, domain_dir: &Path) -> MemoryDirs {
    let mut dirs = MemoryDirs { files: domain_dir.join("memory"), ..MemoryDirs::default() };
    if domain.memory_backing.hugepages.is_some() {
        dirs.huge_pages = huge_pages(&fs::read_to_string("/proc/self/mounts").unwrap_or_default());
        dirs.default_huge_page_kib =
            default_huge_page(&fs::read_to_string("/proc/meminfo").unwrap_or_default());
    }
    dirs
}

/// Mounted huge page directories by page size in KiB, from `/proc/self/mounts`.
pub(crate) fn huge_pages(mounts: &str) -> BTreeMap<u64, PathBuf> {
    let mut found = BTreeMap::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(path), Some("hugetlbfs"), Some(options)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let size = options.split(',').find_map(|option| option.strip_prefix("pagesize="));
        let Some(kib) = size.and_then(page_size) else { continue };
        found.entry(kib).or_insert_with(|| PathBuf::from(path));
    }
    found
}

/// `2M`, `1024M` or `1G`, in KiB.
fn page_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "K" => Some(number),
        "M" => number.checked_mul(1 << 10),
        "G" => number.checked_mul(1 << 20),
        _ => None,
    }
}

fn default_huge_page(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_never_kept_where_others_may_write() {
        let path = |text: &str| Some(PathBuf::from(text));
        let run = Path::new("/run/user/7/sevirt/guests/a");
        assert_eq!(kept_state(path("/state"), path("/home/a"), run), Path::new("/state/sevirt/nvram"));
        assert_eq!(kept_state(None, path("/home/a"), run), Path::new("/home/a/.local/state/sevirt/nvram"));
        assert_eq!(kept_state(None, None, run), run);
    }

    #[test]
    fn huge_page_mounts_are_found_by_size() {
        let mounts = "proc /proc proc rw 0 0\n\
            hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n\
            none /mnt/huge hugetlbfs rw,pagesize=1024M 0 0\n";
        let found = huge_pages(mounts);
        let expected = [(2048, "/dev/hugepages"), (1 << 20, "/mnt/huge")];
        assert_eq!(found, expected.map(|(kib, path)| (kib, PathBuf::from(path))).into());
        assert_eq!(default_huge_page("MemTotal: 1 kB\nHugepagesize:       2048 kB\n"), Some(2048));
    }
}
