//! What the daemon knows of its host: facts, and what QEMU binaries can do. Both are kept in memory for as long as they
//! hold, which is looked at anew whenever they are wanted. Everything here may block, for milliseconds where something
//! has changed: call it from where blocking is allowed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::host::{Fact, Facts, User};
use domain::Domain;
use qemu::Caps;
use qemu::caps::Part;
use rpc::error::RemoteError;

use super::Failure;
use crate::locked;
use crate::probe::{Accelerator, FOR_A_START, Memory, ProbeError};

/// How long facts are believed of which no file tells that they have changed: how many encrypted guests run, how much
/// memory there is, what the next boot will do.
const BELIEVED: Duration = Duration::from_secs(1);

/// sevirt's own user, which guests run as where it exists.
const QEMU_USER: &str = "sevirt-qemu";

/// Nodes of which only access counts; their times change with their use.
const DEVICES: [&str; 2] = ["/dev/kvm", "/dev/sev"];

/// Files whose few bytes are facts.
const VALUES: [&str; 5] = [
    "/sys/module/kvm_amd/parameters/sev",
    "/sys/module/kvm_amd/parameters/sev_es",
    "/sys/module/kvm_amd/parameters/sev_snp",
    "/sys/fs/selinux/enforce",
    "/run/sevirt/simulated",
];

/// Files and directories that change when a fact does.
const FILES: [&str; 7] = [
    "/etc/passwd",
    "/etc/group",
    "/usr/share/qemu/firmware",
    "/etc/qemu/firmware",
    "/usr/share/OVMF",
    "/usr/share/edk2/ovmf",
    "/usr/share/qemu",
];

/// The host.
#[derive(Debug)]
pub(crate) struct Host {
    emulators: Memory,
    facts: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    facts: Arc<Facts>,
    stamps: Stamps,
    gathered: Instant,
}

/// What shows that facts have changed.
#[derive(Debug, PartialEq, Eq)]
struct Stamps {
    devices: Vec<Option<[u64; 5]>>,
    values: Vec<Option<Vec<u8>>>,
    files: Vec<Option<[i64; 5]>>,
}

impl Host {
    /// `cache` is where QEMU's answers are remembered beyond this process.
    pub(crate) fn new(cache: Option<PathBuf>) -> Self {
        Self { emulators: Memory::new(cache), facts: Mutex::default() }
    }

    /// The facts, but those about emulators and about the files that a domain names.
    pub(crate) fn facts(&self) -> Arc<Facts> {
        let mut known = locked(&self.facts);
        if let Some(known) = known.as_ref().filter(|known| known.gathered.elapsed() < BELIEVED)
            && Stamps::of(&known.facts) == known.stamps
        {
            return Arc::clone(&known.facts);
        }
        let gathered = Instant::now();
        let mut facts = ::host::probe(&::host::Root::live());
        facts.qemu_user = Fact::Known(qemu_user(&facts));
        let facts = Arc::new(facts);
        // What changes while it is looked at shows in a second at the latest.
        *known = Some(Known { facts: Arc::clone(&facts), stamps: Stamps::of(&facts), gathered });
        facts
    }

    /// The facts with those about the domain's firmware and emulator: what lint judges it by.
    pub(crate) fn facts_about(&self, domain: &Domain) -> Facts {
        let mut facts = Facts::clone(&self.facts());
        for path in rules::images(domain) {
            facts.images.entry(path.to_owned()).or_insert_with(|| ::host::firmware_image(path));
        }
        let emulator = crate::start::emulator(domain);
        facts.emulators.push(crate::emulator::facts(&emulator, |path| {
            self.emulators.caps(path, Accelerator::Kvm, FOR_A_START)
        }));
        facts
    }

    /// What a start with `emulator` needs to know of it.
    pub(crate) fn caps(&self, emulator: &Path) -> Result<Arc<Caps>, Failure> {
        self.caps_with(emulator, Accelerator::Kvm, FOR_A_START)
    }

    /// The same for another accelerator or with more.
    pub(crate) fn caps_with(
        &self,
        emulator: &Path,
        accelerator: Accelerator,
        parts: &[Part],
    ) -> Result<Arc<Caps>, Failure> {
        self.emulators.caps(emulator, accelerator, parts).map_err(|error| failure(&error))
    }

    /// What `emulator` says now, for those who attest: the platform's certificates can change without a trace.
    #[expect(clippy::unused_self, reason = "one place to ask")]
    pub(crate) fn ask(&self, emulator: &Path) -> Result<Caps, Failure> {
        crate::probe::ask(emulator).map_err(|error| failure(&error))
    }
}

/// Whom QEMU runs as: sevirt's own user where there is one and it may be become, else who runs the daemon.
fn qemu_user(facts: &Facts) -> User {
    let own = facts.qemu_user.known().filter(|user| user.name == QEMU_USER);
    match own {
        Some(user) if rustix::process::geteuid().is_root() => user.clone(),
        _ => User::of_this_process(),
    }
}

/// As libvirt says it of a binary that is not there or is none.
pub(super) fn failure(error: &ProbeError) -> Failure {
    Box::new(match error {
        ProbeError::Emulator { path, source } => RemoteError::system_error(format!(
            "Cannot check QEMU binary {}: {}",
            path.display(),
            crate::os_words(source)
        )),
        ProbeError::NotExecutable { path } => RemoteError::system_error(format!(
            "QEMU binary {} is not executable: Permission denied",
            path.display()
        )),
        other => RemoteError::internal(crate::chain(other)),
    })
}

impl Stamps {
    fn of(facts: &Facts) -> Self {
        let device = |path: &str| {
            let found = fs::metadata(path).ok()?;
            let numbers = [found.uid(), found.gid(), found.mode()].map(u64::from);
            let [uid, gid, mode] = numbers;
            Some([found.ino(), found.rdev(), uid, gid, mode])
        };
        let file = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            let (inode, size) = (found.ino().cast_signed(), found.size().cast_signed());
            Some([inode, size, found.mtime(), found.mtime_nsec(), found.ctime()])
        };
        let firmware = facts.firmware.iter();
        let firmware =
            firmware.flat_map(|loader| [loader.path.as_path(), Path::new(loader.descriptor.executable())]);
        Self {
            devices: DEVICES.map(device).into(),
            values: VALUES.map(|path| fs::read(path).ok()).into(),
            files: FILES.map(Path::new).into_iter().chain(firmware).map(file).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    #[test]
    fn facts_are_kept_until_they_are_old() {
        let host = Host::new(None);
        let first = host.facts();
        assert!(Arc::ptr_eq(&first, &host.facts()));
        locked(&host.facts).as_mut().unwrap().stamps.values[0] = Some(b"changed".to_vec());
        let second = host.facts();
        assert!(!Arc::ptr_eq(&first, &second));
        locked(&host.facts).as_mut().unwrap().gathered -= BELIEVED;
        assert!(!Arc::ptr_eq(&second, &host.facts()));
    }

    #[test]
    fn facts_about_a_domain_have_its_emulator_and_firmware() {
        let document = Document::parse(
            "<domain type='kvm'><os><loader>/nowhere/code.fd</loader></os>
             <devices><emulator>/nowhere/qemu-system-x86_64</emulator></devices></domain>",
        )
        .unwrap();
        let facts = Host::new(None).facts_about(&Domain::read(&document).0);
        assert_eq!(facts.images.get(Path::new("/nowhere/code.fd")), Some(&Fact::Absent));
        let [emulator] = &facts.emulators[..] else { panic!("{:?}", facts.emulators) };
        assert_eq!(emulator.version, Fact::Absent);
    }

    #[test]
    fn what_is_no_emulator_is_refused_as_libvirt_does() {
        let refused = |path: &str| Host::new(None).caps(Path::new(path)).unwrap_err().to_string();
        assert_eq!(
            refused("/nowhere/qemu"),
            "Cannot check QEMU binary /nowhere/qemu: No such file or directory"
        );
        assert_eq!(refused("/etc/passwd"), "QEMU binary /etc/passwd is not executable: Permission denied");
    }
}
