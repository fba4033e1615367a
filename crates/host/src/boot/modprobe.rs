//! `/etc/modprobe.d` and its relatives: `options` lines, in the order in which modprobe obeys them.
//!
//! The reference is modprobe.d(5) and kmod's libkmod-config.c: the files of all directories are taken together, sorted
//! by name; of two with one name that of the earlier directory counts, so a link to `/dev/null` there masks it. A
//! backslash joins lines. Options of one module add up and the last of a parameter wins. The kernel's command line
//! comes after them all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use crate::facts::{Fact, ModuleOptions};
use crate::root::Root;

use super::command_line::same_name;

/// Where modprobe looks, first of all names first.
pub const DIRECTORIES: [&str; 5] = [
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];

/// An `options` line and where its words stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionsLine {
    /// From 1; where it begins.
    pub line: usize,
    pub module: String,
    /// The bytes of each `PARAMETER=VALUE` word.
    pub options: Vec<Range<usize>>,
    /// The whole line or lines with the line end.
    pub span: Range<usize>,
}

/// The `options` lines of one file.
#[must_use]
pub fn options(text: &[u8]) -> Vec<OptionsLine> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut number = 1;
    while start < text.len() {
        let (end, joined) = logical_end(text, start);
        let span = start..end;
        let words = words(text, span.clone());
        let mut words = words.into_iter();
        let first = words.next().and_then(|word| text.get(word));
        if first == Some(b"options")
            && let Some(module) = words.next().and_then(|word| text.get(word))
        {
            let module = String::from_utf8_lossy(module).into_owned();
            found.push(OptionsLine { line: number, module, options: words.collect(), span });
        }
        number += joined;
        start = end;
    }
    found
}

/// Where the line that starts at `start` ends, with those joined to it by a backslash; and how many lines that are.
fn logical_end(text: &[u8], start: usize) -> (usize, usize) {
    let mut lines = 1;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(start) {
        match byte {
            b'\n' if escaped => {
                lines += 1;
                escaped = false;
            }
            b'\n' => return (at + 1, lines),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    (text.len(), lines)
}

/// Words between blanks; a backslash with a line feed separates too. A comment has none.
fn words(text: &[u8], line: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut at = line.start;
    while at < line.end {
        let byte = text.get(at).copied().unwrap_or(b'\n');
        let joins = byte == b'\\' && text.get(at + 1) == Some(&b'\n');
        if joins || matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            found.extend(start.take().map(|start| start..at));
            at += if joins { 2 } else { 1 };
            continue;
        }
        if byte == b'#' && found.is_empty() && start.is_none() {
            return Vec::new();
        }
        start = start.or(Some(at));
        at += 1;
    }
    found.extend(start.map(|start| start..line.end));
    found
}

/// The files that modprobe reads, in the order in which it reads them, each with its absolute path below the root.
pub(crate) fn files(root: &Root) -> Vec<PathBuf> {
    let mut chosen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for directory in DIRECTORIES {
        let Fact::Known(names) = root.names(directory) else { continue };
        for name in names.into_iter().filter(|name| name.ends_with(".conf")) {
            let path = PathBuf::from(directory).join(&name);
            chosen.entry(name).or_insert(path);
        }
    }
    chosen.into_values().collect()
}

/// The options that concern SEV, as modprobe will pass them.
pub(crate) fn read(root: &Root) -> Vec<ModuleOptions> {
    let mut found = Vec::new();
    for file in files(root) {
        let Fact::Known(text) = root.text(&file.to_string_lossy()) else { continue };
        for line in options(text.as_bytes()) {
            if !["kvm_amd", "ccp"].iter().any(|module| same_name(module, &line.module)) {
                continue;
            }
            let word = |span: Range<usize>| text.get(span).unwrap_or_default().to_owned();
            found.push(ModuleOptions {
                file: file.clone(),
                line: line.line,
                module: line.module.replace('-', "_"),
                options: line.options.into_iter().map(word).collect(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_skipped() {
        let text =
            b"# options kvm_amd sev=0\r\noptions kvm-amd sev=1 \\\n  sev_es=1\noptions\n  options ccp a=b#c";
        let shown: Vec<_> = options(text)
            .into_iter()
            .map(|line| {
                let words =
                    line.options.into_iter().map(|word| String::from_utf8_lossy(&text[word]).into_owned());
                (line.line, line.module, words.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            shown,
            [
                (2, "kvm-amd".to_owned(), vec!["sev=1".to_owned(), "sev_es=1".to_owned()]),
                (5, "ccp".to_owned(), vec!["a=b#c".to_owned()])
            ]
        );
    }

    #[test]
    fn an_earlier_directory_masks_a_later_one() {
        let tree = tempfile::tempdir().unwrap();
        let root = Root::at(tree.path().to_owned());
        let put = |path: &str, text: &str| {
            let path = root.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("/usr/lib/modprobe.d/kvm.conf", "options kvm_amd sev=0\n");
        put("/usr/lib/modprobe.d/sev.conf", "options kvm_amd sev=1\n");
        put("/usr/lib/modprobe.d/zz.conf", "options kvm-amd sev_es=1\n");
        put("/run/modprobe.d/sev.conf", "options kvm_amd sev=2\n");
        put("/etc/modprobe.d/readme", "options kvm_amd sev=9\n");
        std::os::unix::fs::symlink("/dev/null", root.path("/etc/modprobe.d/../modprobe.d/kvm.conf")).unwrap();
        let shown: Vec<_> = read(&root)
            .into_iter()
            .map(|line| format!("{}:{} {}", line.file.display(), line.line, line.options.join(" ")))
            .collect();
        assert_eq!(shown, ["/run/modprobe.d/sev.conf:1 sev=2", "/usr/lib/modprobe.d/zz.conf:1 sev_es=1"]);
    }
}
