//! The paths that a command line names: what QEMU is told to open it must be able to see.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is shown to QEMU for the absolute paths in its arguments: files and directories as they are, and for a socket, or
/// what is not there yet, the directory that it lies in. `hidden` are sevirt's own directories, of which single files
/// are shown and nothing else.
pub(super) fn shown(arguments: &[OsString], hidden: &[PathBuf]) -> BTreeSet<PathBuf> {
    paths(arguments).iter().filter_map(|path| place(path, hidden)).collect()
}

fn place(path: &Path, hidden: &[PathBuf]) -> Option<PathBuf> {
    // Devices are made one by one, and the rest is the kernel's.
    if ["/dev", "/proc", "/sys"].iter().any(|kernels| path.starts_with(kernels)) {
        return None;
    }
    let is_file = std::fs::metadata(path).is_ok_and(|found| found.is_file());
    if is_file {
        return Some(path.to_owned());
    }
    let place = if path.is_dir() { path } else { path.parent()? };
    let is_ours = hidden.iter().any(|hidden| place.starts_with(hidden));
    (place.is_dir() && place.parent().is_some() && !is_ours).then(|| place.to_owned())
}

fn paths(arguments: &[OsString]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut is_for_the_guest = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        // What the guest's kernel is told names files of the guest.
        if std::mem::replace(&mut is_for_the_guest, text == "-append") {
            continue;
        }
        match serde_json::from_str(&text) {
            Ok(value @ Value::Object(_)) => of_json(&value, &mut found),
            _ => values(&text).iter().for_each(|value| of_text(value, &mut found)),
        }
    }
    found
}

fn of_json(value: &Value, found: &mut BTreeSet<PathBuf>) {
    match value {
        Value::String(text) => of_text(text, found),
        Value::Array(values) => values.iter().for_each(|value| of_json(value, found)),
        Value::Object(members) => members.values().for_each(|value| of_json(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A path, or one behind a word such as `unix:`.
fn of_text(text: &str, found: &mut BTreeSet<PathBuf>) {
    let path = if text.starts_with('/') {
        Some(text)
    } else {
        text.split_once(':')
            .map(|(_, rest)| rest)
            .filter(|rest| rest.starts_with('/') && !rest.starts_with("//"))
    };
    found.extend(path.map(PathBuf::from));
}

/// The values of `word,key=value,…`, where a comma in a value is written twice.
fn values(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            pieces.push(String::new());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push(character);
        }
    }
    let value = |piece: String| match piece.split_once('=') {
        Some((key, value)) if !key.contains('/') => value.to_owned(),
        _ => piece,
    };
    pieces.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_either_form() {
        let arguments = [
            "-kernel",
            "/k/a,,b",
            "-append",
            "root=/dev/vda init=/sbin/init",
            "-blockdev",
            r#"{"driver":"raw","file":{"driver":"file","filename":"/d/\"x,y"}}"#,
            "-chardev",
            "socket,id=charserial0,path=/s/a=b,,c,server=on",
            "-vnc",
            "vnc=unix:/v/sock,audiodev=audio1",
            "-drive",
            "file=nbd://host/x",
            "-name",
            "guest=a/b",
        ];
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let expected = ["/d/\"x,y", "/k/a,b", "/s/a=b,c", "/v/sock"];
        assert_eq!(paths(&arguments), expected.map(PathBuf::from).into());
    }

    #[test]
    fn of_sevirts_own_directories_single_files_are_shown() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        std::fs::create_dir_all(here.join("state/nvram")).unwrap();
        std::fs::create_dir(here.join("disks")).unwrap();
        for name in ["state/nvram/a", "disks/a"] {
            std::fs::write(here.join(name), "x").unwrap();
        }
        let hidden = [here.join("state")];
        #[track_caller]
        fn check(path: &Path, hidden: &[PathBuf], expected: Option<&Path>) {
            assert_eq!(place(path, hidden).as_deref(), expected);
        }
        check(&here.join("state/nvram/a"), &hidden, Some(&here.join("state/nvram/a")));
        check(&here.join("state/nvram"), &hidden, None);
        check(&here.join("state/nvram/new.sock"), &hidden, None);
        check(&here.join("disks/a"), &hidden, Some(&here.join("disks/a")));
        check(&here.join("disks/new.sock"), &hidden, Some(&here.join("disks")));
        check(&here.join("missing/new.sock"), &hidden, None);
        check(Path::new("/new.sock"), &hidden, None);
        check(Path::new("/dev/shm/x"), &hidden, None);
    }
}
