//! The same for modprobe: options for `kvm_amd`, which count whenever the module is loaded.

use std::path::{Path, PathBuf};

use crate::boot::command_line::{boolean, same_name};
use crate::boot::modprobe;

use qemu::Technology;

use super::SettingsError;
use super::draft::Draft;
use super::file::Kind;
use super::text::{Edit, Piece};
use super::wish::wishes;

/// The directory that is an administrator's.
const OWN_DIRECTORY: &str = "/etc/modprobe.d";
const OWN_FILE: &str = "sevirt.conf";
const HEADER: &str = "# Written by `sevirt host enable`; `sevirt host disable` takes it away.";

/// An option that is set somewhere.
struct Found {
    file: PathBuf,
    word: std::ops::Range<usize>,
    is_on: bool,
}

/// Drafts `options kvm_amd` for what is not on by them.
pub(crate) fn draft(draft: &mut Draft<'_>, technology: Technology) -> Result<(), SettingsError> {
    let mut missing = Vec::new();
    let mut last_file = String::new();
    for (name, value) in wishes(technology).iter().filter_map(super::wish::Wish::option) {
        let found = last(draft, name)?;
        let word = format!("{name}={value}");
        match found {
            Some(found) if found.is_on => {}
            Some(found) if found.file.parent() == Some(Path::new(OWN_DIRECTORY)) => {
                let content = draft.read(&found.file, Kind::Modprobe)?.unwrap_or_default();
                let before = content.get(found.word.clone()).unwrap_or_default();
                let before = String::from_utf8_lossy(before).into_owned();
                let edit =
                    Edit { source: 0, start: found.word.start, end: found.word.end, text: word.clone() };
                let piece = Piece::Word { before: Some(before), after: word };
                draft.edit(&[found.file], &[edit], &[(0, piece)])?;
            }
            Some(found) => {
                let name = found.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                last_file = last_file.max(name);
                missing.push(word);
            }
            None => missing.push(word),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    // Options of later names win.
    let mut name = OWN_FILE.to_owned();
    if last_file.as_str() > OWN_FILE {
        name = format!("{}_{OWN_FILE}", last_file.trim_end_matches(".conf"));
    }
    let path = Path::new(OWN_DIRECTORY).join(name);
    let line = format!("options kvm_amd {}", missing.join(" "));
    let (content, pieces) = match draft.read(&path, Kind::Modprobe)? {
        None => (
            format!("{HEADER}\n{line}\n").into_bytes(),
            vec![Piece::Line(HEADER.to_owned()), Piece::Line(line)],
        ),
        Some(old) => {
            let gap = if old.is_empty() || old.ends_with(b"\n") { "" } else { "\n" };
            ([&old, gap.as_bytes(), line.as_bytes(), b"\n"].concat(), vec![Piece::Line(line)])
        }
    };
    draft.write(&path, Some(content), pieces);
    Ok(())
}

/// Where an option is set for the last time.
fn last(draft: &mut Draft<'_>, option: &str) -> Result<Option<Found>, SettingsError> {
    let mut found = None;
    for file in modprobe::files(draft.root) {
        // A link to /dev/null masks a file of another directory; nothing is in it.
        let Ok(Some(content)) = draft.read(&file, Kind::Modprobe) else { continue };
        for line in modprobe::options(&content) {
            if !same_name(&line.module, "kvm_amd") {
                continue;
            }
            for word in line.options {
                let text = String::from_utf8_lossy(content.get(word.clone()).unwrap_or_default());
                let (name, value) =
                    text.split_once('=').map_or((&*text, None), |(name, value)| (name, Some(value)));
                if same_name(name, option) {
                    found = Some(Found { file: file.clone(), word, is_on: boolean(value) == Some(true) });
                }
            }
        }
    }
    Ok(found)
}
