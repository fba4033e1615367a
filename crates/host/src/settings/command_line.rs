//! Words for the kernel's command line, wherever a system keeps it.

use std::path::{Path, PathBuf};

use crate::boot::grub::{DEFAULTS, EVERY_ENTRY};
use crate::boot::shell::{End, Piece as ShellPiece, Word};
use crate::boot::value::{Origin, Scripts, Source, Value};
use crate::boot::{Layout, bls, command_line, grub};
use crate::facts::Fact;

use qemu::Technology;

use super::SettingsError;
use super::draft::Draft;
use super::file::{Kind, command_lines, padded};
use super::text::{Amendment, Edit, Piece, amend, before_init, is_well, splice, written};

/// The file from which new kernels' entries are made (kernel-install(8)).
const KERNEL_COMMAND_LINE: &str = "/etc/kernel/cmdline";

/// Drafts all that the next boot, and the boots of kernels to come, need. Whether there was any place for it.
pub(crate) fn draft(
    draft: &mut Draft<'_>,
    layout: &Layout,
    technology: Technology,
) -> Result<bool, SettingsError> {
    let mut found = false;
    if let Some((_, entries)) = &layout.entries {
        for entry in entries {
            draft_entry(draft, layout, entry, technology)?;
        }
        found = true;
    }
    if !matches!(layout.defaults, Fact::Absent) || (layout.entries.is_none() && !layout.generated.is_empty())
    {
        draft_defaults(draft, technology)?;
        found = true;
    }
    let path = Path::new(KERNEL_COMMAND_LINE);
    if let Some(content) = draft.read(path, Kind::CommandLine)? {
        let lines = command_lines(&content);
        let end = lines.last().map_or(0, |line| line.end);
        let value = written(&content, 0, lines);
        let amendment = amend(&value, technology);
        add_plainly(draft, path, &value, end, amendment)?;
        found = true;
    }
    Ok(found)
}

/// Makes the edits, and adds what is missing at `end`.
fn add_plainly(
    draft: &mut Draft<'_>,
    path: &Path,
    value: &Value,
    end: usize,
    mut amendment: Amendment,
) -> Result<(), SettingsError> {
    let words = amendment.missing.join(" ");
    if !words.is_empty() {
        let (at, text) = match before_init(value) {
            Some(origin) => (origin.span.start, format!("{words} ")),
            None if value.bytes.is_empty() => (end, words),
            None => (end, format!(" {words}")),
        };
        amendment.edits.push(Edit { source: 0, start: at, end: at, text });
        let piece = |word| (0, Piece::Word { before: None, after: word });
        amendment.pieces.extend(amendment.missing.drain(..).map(piece));
    }
    draft.edit(&[path.to_owned()], &amendment.edits, &amendment.pieces)
}

/// One Boot Loader Specification entry, and the variable that it takes words from.
fn draft_entry(
    draft: &mut Draft<'_>,
    layout: &Layout,
    entry: &Path,
    technology: Technology,
) -> Result<(), SettingsError> {
    let Some(content) = draft.read(entry, Kind::Entry)? else { return Ok(()) };
    let block = match &layout.environment {
        Some(path) => draft.read(path, Kind::Environment)?.map(|content| (path.clone(), content)),
        None => None,
    };
    let block_text = block.as_ref().map(|(_, content)| content.as_slice()).unwrap_or_default();
    let variables = grub::environment(block_text);
    let options = bls::values(&content, "options");
    // The entry's own bytes are those of source 0, the block's of source 1.
    let own = written(&content, 0, options.clone());
    let own_text = String::from_utf8_lossy(&own.bytes).into_owned();
    let fallback = layout.variables(draft.root);
    let mut value = Value::default();
    let mut done = 0;
    let mut variable = None;
    let references = if own_text.len() == own.bytes.len() { bls::references(&own_text) } else { Vec::new() };
    for (name, span) in references {
        copy(&mut value, &own, done..span.start);
        done = span.end;
        match variables.get(name) {
            Some(place) => {
                let words = written(block_text, 1, [place.clone()]);
                copy(&mut value, &words, 0..words.bytes.len());
                if name == "kernelopts" {
                    variable = Some(place.clone());
                }
            }
            None => {
                let words = fallback.get(name).map(String::as_bytes).unwrap_or_default();
                value.bytes.extend_from_slice(words);
                value.origins.extend(words.iter().map(|_| None));
            }
        }
    }
    copy(&mut value, &own, done..own.bytes.len());
    let mut amendment = amend(&value, technology);
    if let (Some((path, block)), Some(place)) = (block, variable) {
        let missing = std::mem::take(&mut amendment.missing);
        let paths = [entry.to_owned(), path.clone()];
        draft.edit(&paths, &amendment.edits, &amendment.pieces)?;
        if amendment.edits.iter().any(|edit| edit.source == 1) {
            // Places in the block have moved: what is missing is added in another round.
            pad(draft, &path)?;
            return draft_entry(draft, layout, entry, technology);
        }
        let rest = Amendment { missing, ..Amendment::default() };
        add_plainly(draft, &path, &written(&block, 0, [place.clone()]), place.end, rest)?;
        return pad(draft, &path);
    }
    let Some(last) = options.last() else {
        let words = amendment.missing.join(" ");
        let line = format!("options {words}");
        let gap = if content.is_empty() || content.ends_with(b"\n") { "" } else { "\n" };
        let after = [&content, gap.as_bytes(), line.as_bytes(), b"\n"].concat();
        draft.write(entry, Some(after), [Piece::Line(line)]);
        return Ok(());
    };
    add_plainly(draft, entry, &own, last.end, amendment)
}

fn copy(to: &mut Value, from: &Value, range: std::ops::Range<usize>) {
    to.bytes.extend_from_slice(from.bytes.get(range.clone()).unwrap_or_default());
    to.origins.extend_from_slice(from.origins.get(range).unwrap_or_default());
}

/// GRUB's environment block keeps its size.
fn pad(draft: &mut Draft<'_>, path: &Path) -> Result<(), SettingsError> {
    let Some(block) = draft.read(path, Kind::Environment)? else { return Ok(()) };
    let block =
        padded(&block, draft.size(path)).ok_or_else(|| SettingsError::BlockFull { path: path.to_owned() })?;
    draft.write(path, Some(block), []);
    Ok(())
}

/// GRUB's defaults. Of several ways to add a word, the first that has an effect is taken.
fn draft_defaults(draft: &mut Draft<'_>, technology: Technology) -> Result<(), SettingsError> {
    let paths = grub::defaults_places(draft.root);
    let mut texts = Vec::new();
    for path in &paths {
        texts.push(draft.read(path, Kind::GrubDefaults)?.unwrap_or_default());
    }
    let scripts = parse(&paths, &texts)?;
    let value = grub::ordinary_entry(&scripts);
    if let Some(doubt) = value.doubt {
        return Err(SettingsError::Unknown { path: doubt.path, line: doubt.line, why: doubt.why });
    }
    let amendment = amend(&value, technology);
    if amendment.edits.is_empty() && amendment.missing.is_empty() {
        return Ok(());
    }
    let old: Vec<String> = words(&value);
    let changed = amendment.pieces.len();
    for (source, addition) in additions(&scripts, &texts, &amendment.missing) {
        let mut edits = amendment.edits.clone();
        edits.extend(addition);
        let spliced: Option<Vec<Vec<u8>>> =
            texts.iter().enumerate().map(|(source, text)| splice(text, source, &edits)).collect();
        let Some(after) = spliced.as_ref().and_then(|texts| parse(&paths, texts).ok()) else { continue };
        let after = grub::ordinary_entry(&after);
        let new = words(&after);
        let kept = old.iter().filter(|word| new.contains(word)).count();
        if after.doubt.is_some() || !is_well(&after.text(), technology) || kept + changed < old.len() {
            continue;
        }
        let mut pieces = amendment.pieces.clone();
        match edits.last().filter(|edit| edit.text.ends_with('\n')) {
            Some(line) => pieces.push((source, Piece::Line(line.text.trim().to_owned()))),
            None => {
                let added = |word: &String| (source, Piece::Word { before: None, after: word.clone() });
                pieces.extend(amendment.missing.iter().map(added));
            }
        }
        return draft.edit(&paths, &edits, &pieces);
    }
    Err(SettingsError::NotEffective { path: PathBuf::from(DEFAULTS) })
}

fn parse(paths: &[PathBuf], texts: &[Vec<u8>]) -> Result<Scripts, SettingsError> {
    let sources =
        paths.iter().zip(texts).map(|(path, text)| Source { path: path.clone(), text: text.clone() });
    Scripts::parse(sources.collect()).map_err(SettingsError::Script)
}

fn words(value: &Value) -> Vec<String> {
    let text = |span| String::from_utf8_lossy(value.bytes.get(span).unwrap_or_default()).into_owned();
    command_line::words(&value.bytes).into_iter().map(text).collect()
}

/// Ways to add words for every entry, the best first: the file and the edit. Without words, one that does nothing.
fn additions(scripts: &Scripts, texts: &[Vec<u8>], missing: &[String]) -> Vec<(usize, Option<Edit>)> {
    if missing.is_empty() {
        return vec![(0, None)];
    }
    let words = missing.join(" ");
    let mut found = Vec::new();
    let value = scripts.value(EVERY_ENTRY);
    if let Some(Origin { source, span }) = value.and_then(before_init) {
        let edit = Edit { source: *source, start: span.start, end: span.start, text: format!("{words} ") };
        found.push((*source, Some(edit)));
    }
    let assignments: Vec<(usize, &Word)> = scripts.assignments(EVERY_ENTRY).collect();
    let own = assignments.iter().rev().find(|(source, _)| *source == 0);
    for (source, word) in own.into_iter().chain(assignments.last()) {
        found.push((*source, Some(appended(*source, word, &words))));
    }
    let text = texts.first().map(Vec::as_slice).unwrap_or_default();
    let gap = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
    let reference = if value.is_some() { "$GRUB_CMDLINE_LINUX " } else { "" };
    let line = format!("{gap}{EVERY_ENTRY}=\"{reference}{words}\"\n");
    found.push((0, Some(Edit { source: 0, start: text.len(), end: text.len(), text: line })));
    found
}

/// Adds to the end of an assigned word, inside its last quotes or in quotes of its own.
fn appended(source: usize, word: &Word, words: &str) -> Edit {
    let last = word.pieces.iter().rev().find(|piece| !matches!(piece, ShellPiece::Byte(b'\r', _)));
    let gap = match last {
        None | Some(ShellPiece::Byte(b' ' | b'\t' | b'\n', _)) => "",
        Some(_) => " ",
    };
    let (at, text) = match word.end {
        End::Quoted(at) => (at, format!("{gap}{words}")),
        End::Bare(at) => (at, format!("\"{gap}{words}\"")),
    };
    Edit { source, start: at, end: at, text }
}
