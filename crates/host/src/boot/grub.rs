//! GRUB: its defaults, from which `grub-mkconfig` makes `grub.cfg`; `grub.cfg` itself; and its environment block.
//!
//! `grub-mkconfig` sources `/etc/default/grub`, and on Debian and its relatives `/etc/default/grub.d/*.cfg` after it;
//! an ordinary entry gets `$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT` (`/etc/grub.d/10_linux`). GRUB's manual,
//! “Simple configuration handling” and “The GRUB environment block”.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::facts::Fact;
use crate::root::Root;

use super::value::{Scripts, Source, Value};

/// The file that people edit.
pub const DEFAULTS: &str = "/etc/default/grub";
/// Files that are read after it, where `grub-mkconfig` does that.
pub const MORE_DEFAULTS: &str = "/etc/default/grub.d";
/// Words of every entry.
pub const EVERY_ENTRY: &str = "GRUB_CMDLINE_LINUX";
/// Words of ordinary entries, not of those for recovery; they follow the others.
pub const ORDINARY_ENTRIES: &str = "GRUB_CMDLINE_LINUX_DEFAULT";

/// Where distributions keep `grub.cfg`, and the environment block beside it.
const DIRECTORIES: [&str; 2] = ["/boot/grub2", "/boot/grub"];
/// Where it is on EFI systems of RHEL 8 and older, and of Fedora 33 and older.
const EFI_DIRECTORY: &str = "/boot/efi/EFI";
/// What `grub-mkconfig` writes into all that it makes; a file without it is a stub that leads to the real one.
const GENERATED: &str = "### BEGIN /etc/grub.d/";

/// The `grub.cfg` files that `grub-mkconfig` made, each with its text.
pub(crate) fn generated(root: &Root) -> Vec<(PathBuf, String)> {
    let mut places: Vec<PathBuf> =
        DIRECTORIES.iter().map(|place| Path::new(place).join("grub.cfg")).collect();
    if let Fact::Known(names) = root.names(EFI_DIRECTORY) {
        places.extend(names.iter().map(|name| Path::new(EFI_DIRECTORY).join(name).join("grub.cfg")));
    }
    let read = |place: PathBuf| {
        let text = root.text(&place.to_string_lossy()).known()?.clone();
        text.contains(GENERATED).then_some((place, text))
    };
    places.into_iter().filter_map(read).collect()
}

/// Where `grub.cfg` belongs on this layout, whether it is there or not.
pub(crate) fn config_place(root: &Root) -> PathBuf {
    if let Some((place, _)) = generated(root).into_iter().next() {
        return place;
    }
    let has = |directory: &str| matches!(root.names(directory), Fact::Known(_));
    let directory = DIRECTORIES.iter().find(|directory| has(directory)).unwrap_or(&"/boot/grub");
    Path::new(directory).join("grub.cfg")
}

/// The environment block.
pub(crate) fn environment_place(root: &Root) -> Option<PathBuf> {
    let blocks = DIRECTORIES.iter().map(|directory| Path::new(directory).join("grubenv"));
    blocks.into_iter().find(|place| matches!(root.text(&place.to_string_lossy()), Fact::Known(_)))
}

/// The files of defaults that there are, in the order in which they are sourced.
pub(crate) fn defaults_places(root: &Root) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(DEFAULTS)];
    if sources_more(root)
        && let Fact::Known(names) = root.names(MORE_DEFAULTS)
    {
        let names = names.iter().filter(|name| name.ends_with(".cfg") && !name.starts_with('.'));
        places.extend(names.map(|name| Path::new(MORE_DEFAULTS).join(name)));
    }
    places
}

/// Whether this system's `grub-mkconfig` reads the directory: Debian's does, upstream's does not.
fn sources_more(root: &Root) -> bool {
    for program in ["/usr/sbin/grub2-mkconfig", "/usr/sbin/grub-mkconfig", "/usr/bin/grub-mkconfig"] {
        if let Fact::Known(text) = root.text(program) {
            return text.contains("default/grub.d");
        }
    }
    !matches!(root.names("/boot/grub2"), Fact::Known(_))
}

/// The defaults as a shell reads them; absent without `/etc/default/grub`.
pub(crate) fn defaults(root: &Root) -> Fact<Scripts> {
    let mut sources = Vec::new();
    for path in defaults_places(root) {
        let shown = path.to_string_lossy().into_owned();
        match root.text(&shown) {
            Fact::Known(text) => sources.push(Source { path, text: text.into_bytes() }),
            Fact::Absent if shown == DEFAULTS => return Fact::Absent,
            Fact::Absent => {}
            Fact::Unreadable { path, errno, why } => return Fact::Unreadable { path, errno, why },
        }
    }
    match Scripts::parse(sources) {
        Ok(scripts) => Fact::Known(scripts),
        Err(error) => Fact::Unreadable {
            path: error.path.display().to_string(),
            errno: 0,
            why: error.source.to_string(),
        },
    }
}

/// The command line that the defaults give to an ordinary entry, without what `grub-mkconfig` adds (`root=…`).
#[must_use]
pub fn ordinary_entry(defaults: &Scripts) -> Value {
    let part = |name| defaults.value(name).cloned().unwrap_or_default();
    part(EVERY_ENTRY).followed_by(&part(ORDINARY_ENTRIES))
}

/// A `menuentry` of `grub.cfg`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct MenuEntry {
    title: String,
    id: String,
    /// Which of the items of the first level it is, or is in.
    position: usize,
    /// The kernel's command line.
    command_line: Option<String>,
}

/// The command line of the entry that `grub.cfg` boots by default.
pub(crate) fn default_command_line(config: &str, wanted: Option<&str>) -> Option<String> {
    let entries = menu(config);
    let wanted = wanted.unwrap_or("0");
    let leaf = wanted.rsplit('>').next().unwrap_or(wanted);
    let chosen = match leaf.parse::<usize>() {
        Ok(position) if !wanted.contains('>') => entries.iter().find(|entry| entry.position == position),
        _ => entries.iter().find(|entry| entry.title == leaf || entry.id == leaf),
    };
    chosen.or_else(|| entries.first()).and_then(|entry| entry.command_line.clone())
}

fn menu(config: &str) -> Vec<MenuEntry> {
    let mut entries: Vec<MenuEntry> = Vec::new();
    let (mut submenu, mut items) = (false, 0);
    for line in config.lines() {
        let words = words(line);
        let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
        match word(0) {
            "submenu" => {
                submenu = true;
                items += 1;
            }
            "menuentry" => {
                let id =
                    words.iter().position(|word| matches!(word.as_str(), "--id" | "$menuentry_id_option"));
                items += usize::from(!submenu);
                entries.push(MenuEntry {
                    title: word(1).to_owned(),
                    id: id.map(|at| word(at + 1).to_owned()).unwrap_or_default(),
                    position: items - 1,
                    command_line: None,
                });
            }
            // `grub-mkconfig` closes an entry with an indented brace only inside a submenu.
            "}" if line.starts_with('}') => submenu = false,
            "linux" | "linux16" | "linuxefi" => {
                if let Some(entry) = entries.last_mut().filter(|entry| entry.command_line.is_none()) {
                    let quoted = |word: &String| {
                        if word.contains([' ', '\t']) { format!("\"{word}\"") } else { word.clone() }
                    };
                    let arguments: Vec<String> = words.iter().skip(2).map(quoted).collect();
                    entry.command_line = Some(arguments.join(" "));
                }
            }
            _ => {}
        }
    }
    entries
}

/// The words of one line of GRUB's script, quotes and backslashes taken off.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    let mut quote = None;
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, ' ' | '\t') => found.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    found.extend(word);
    found
}

/// What a line `set NAME="…"` of `grub.cfg` sets; the last one counts.
pub(crate) fn set_variable(config: &str, name: &str) -> Option<String> {
    config.lines().rev().find_map(|line| {
        let words = words(line);
        let assignment = words.get(1).filter(|_| words.first().is_some_and(|word| word == "set"))?;
        assignment.strip_prefix(name)?.strip_prefix('=').map(str::to_owned)
    })
}

/// The variables of an environment block: the bytes of each value.
#[must_use]
pub fn environment(block: &[u8]) -> BTreeMap<String, Range<usize>> {
    let mut found = BTreeMap::new();
    let mut start = 0;
    while let Some(rest) = block.get(start..).filter(|rest| !rest.is_empty()) {
        // A backslash keeps a line feed in the value.
        let mut length = 0;
        while rest.get(length).is_some_and(|byte| *byte != b'\n') {
            length += if rest.get(length) == Some(&b'\\') { 2 } else { 1 };
        }
        let length = length.min(rest.len());
        let line = rest.get(..length).unwrap_or_default();
        if let Some(sign) = line.iter().position(|byte| *byte == b'=').filter(|_| !line.starts_with(b"#")) {
            let name = String::from_utf8_lossy(line.get(..sign).unwrap_or_default()).into_owned();
            found.insert(name, start + sign + 1..start + length);
        }
        start += length + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_entry_is_found_by_number_title_and_id() {
        let config = "### BEGIN /etc/grub.d/10_linux ###\nmenuentry 'Debian' --class debian $menuentry_id_option 'simple-1' {\n\tlinux\t/vmlinuz root=UUID=1 ro  quiet \"a b\"\n}\nsubmenu 'Advanced options' $menuentry_id_option 'advanced' {\n\tmenuentry 'Debian, old' $menuentry_id_option 'old-1' {\n\t\tlinux /vmlinuz-old ro x='1 2'\n\t}\n}\nmenuentry 'memtest' {\n\tlinux16 /memtest\n}\n";
        let at = |wanted| default_command_line(config, wanted);
        assert_eq!(at(None).unwrap(), "root=UUID=1 ro quiet \"a b\"");
        assert_eq!(at(Some("2")).unwrap(), "");
        assert_eq!(at(Some("advanced>old-1")).unwrap(), "ro \"x=1 2\"");
        assert_eq!(at(Some("Debian, old")).unwrap(), "ro \"x=1 2\"");
        assert_eq!(at(Some("gone")).unwrap(), "root=UUID=1 ro quiet \"a b\"");
    }

    #[test]
    fn an_environment_block_is_read() {
        let block = b"# GRUB Environment Block\nsaved_entry=abc-6.1\nkernelopts=root=/dev/sda1 ro\\\nx\n####";
        let found = environment(block);
        let value = |name: &str| String::from_utf8_lossy(&block[found[name].clone()]).into_owned();
        assert_eq!(value("saved_entry"), "abc-6.1");
        assert_eq!(value("kernelopts"), "root=/dev/sda1 ro\\\nx");
    }
}
