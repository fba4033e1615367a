//! Facts about this machine's QEMU binaries, from their own answers.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use host::{Emulator, Fact};
use qemu::Caps;

use crate::probe::ProbeError;

/// The objects that make a confidential guest.
const SEV_OBJECTS: [&str; 2] = ["sev-guest", "sev-snp-guest"];

/// What the binary says of itself, by `caps`, which asks it or remembers. A domain may come from anybody and name any
/// program: only what is QEMU by its name and belongs to root is asked.
pub fn facts<C: AsRef<Caps>>(path: &Path, caps: impl FnOnce(&Path) -> Result<C, ProbeError>) -> Emulator {
    let unknown = |version| Emulator { path: path.to_owned(), version, ..Emulator::default() };
    let unreadable = |errno, why| Fact::Unreadable { path: path.display().to_string(), errno, why };
    match may_be_started(path) {
        Ok(true) => {}
        Ok(false) => {
            let why = "not started to be asked: only root's programs called qemu-system-… or qemu-kvm are";
            return unknown(unreadable(0, why.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return unknown(Fact::Absent),
        Err(error) => return unknown(unreadable(error.raw_os_error().unwrap_or(0), error.to_string())),
    }
    match caps(path) {
        Ok(caps) => answered(path, caps.as_ref()),
        Err(error) => unknown(unreadable(0, crate::chain(&error))),
    }
}

fn may_be_started(path: &Path) -> io::Result<bool> {
    let file = fs::canonicalize(path)?;
    let found = fs::metadata(&file)?;
    let is_named = [Some(path), Some(file.as_path())].into_iter().flatten().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("qemu-system-") || name == "qemu-kvm" || name == "kvm"
    });
    Ok(is_named && found.is_file() && found.uid() == 0 && found.mode() & 0o022 == 0)
}

/// What the facts hold of a binary that gave these answers.
pub(crate) fn answered(path: &Path, caps: &Caps) -> Emulator {
    let version = &caps.version.qemu;
    Emulator {
        path: path.to_owned(),
        version: Fact::Known(format!("{}.{}.{}", version.major, version.minor, version.micro)),
        machines: caps
            .machines
            .iter()
            .map(|machine| machine.name.clone())
            .filter(|name| name != "none")
            .collect(),
        sev_objects: SEV_OBJECTS.into_iter().filter(|object| caps.has(object)).map(str::to_owned).collect(),
        sev_refusal: caps.sev.as_ref().err().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_program_of_whoever_wrote_the_domain_is_not_started() {
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join("started");
        let program = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, format!("#!/bin/sh\ntouch '{}'\n", marker.display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        symlink(program("evil", 0o755), directory.path().join("link")).unwrap();
        for path in
            [program("qemu-img", 0o755), program("qemu-system-x86_64", 0o777), directory.path().join("link")]
        {
            let asked = facts(&path, |path| crate::probe::ask(path).map(std::sync::Arc::new));
            let Fact::Unreadable { errno: 0, .. } = asked.version else { panic!("{path:?} was asked") };
        }
        assert!(!marker.exists());
    }

    #[test]
    fn a_binary_that_is_not_there_is_absent() {
        let asked =
            facts(Path::new("/nowhere/qemu-kvm"), |path| crate::probe::ask(path).map(std::sync::Arc::new));
        assert_eq!(asked.version, Fact::Absent);
    }
}
