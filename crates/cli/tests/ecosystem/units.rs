//! systemd's own opinion of the units; `scripts/try_systemd.sh` runs them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::SEVIRT;

/// What a program of systemd's says that must succeed.
#[track_caller]
fn accepted(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).env("LC_ALL", "C").args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup.sh --peers installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}\n{said}");
    said.into_owned()
}

#[test]
fn systemd_takes_the_units() {
    let root = tempfile::tempdir().unwrap();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&units).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".service") || name.ends_with(".socket") {
            // Where the program will be, there is none yet.
            let text = fs::read_to_string(entry.path()).unwrap().replace("/usr/bin/sevirt", SEVIRT);
            let path = root.path().join(name);
            fs::write(&path, text).unwrap();
            paths.push(path.to_str().unwrap().to_owned());
        }
    }
    assert_eq!(paths.len(), 5);
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(paths.iter().map(String::as_str));
    // It warns of other units as well, and of what it does not know, and succeeds.
    let said = accepted("systemd-analyze", &arguments);
    assert!(!said.contains("sevirt"), "{said}");
    let users = units.join("sysusers.conf");
    let root = format!("--root={}", root.path().display());
    let said = accepted("systemd-sysusers", &["--dry-run", &root, users.to_str().unwrap()]);
    assert!(said.contains("sevirt-qemu"), "{said}");
}
