//! Small files of `/proc` and `/sys`, of this machine or of a tree that stands for one.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// More than any file has that is read here; `/proc/cpuinfo` and `/proc/stat` of a large host come closest.
const LIMIT: u64 = 4 << 20;

/// Where `/proc` and `/sys` are.
#[derive(Debug, Clone)]
pub(super) struct Sys {
    root: PathBuf,
}

impl Sys {
    pub(super) fn live() -> Self {
        Self { root: PathBuf::from("/") }
    }

    #[cfg(test)]
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// A file's text without white space around it; `None` where there is no such file.
    pub(super) fn text(&self, absolute: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.path(absolute)).ok()?.take(LIMIT).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.trim().to_owned())
    }

    pub(super) fn number<N: std::str::FromStr>(&self, absolute: impl AsRef<Path>) -> Option<N> {
        self.text(absolute)?.parse().ok()
    }

    /// A list such as `0-3,8`, in order; what is no list is none.
    pub(super) fn list(&self, absolute: impl AsRef<Path>) -> Option<Vec<u32>> {
        ranges(&self.text(absolute)?)
    }

    /// The numbers of entries that are called `prefix`, the number and `suffix`, in order.
    pub(super) fn numbered(&self, directory: impl AsRef<Path>, prefix: &str, suffix: &str) -> Vec<u32> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
        let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok();
        let mut numbers: Vec<u32> =
            entries.filter_map(|entry| number(&entry.file_name().to_string_lossy())).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Whether a directory has any entry.
    pub(super) fn has_entries(&self, directory: impl AsRef<Path>) -> bool {
        fs::read_dir(self.path(directory)).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// A line `NAME: NUMBER kB` of a file such as `/proc/meminfo`, KiB.
    pub(super) fn kib(&self, absolute: impl AsRef<Path>, name: &str) -> Option<u64> {
        let text = self.text(absolute)?;
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            // Of a NUMA node they begin with `Node 0 `.
            let key = key.rsplit(' ').next()?;
            (key == name).then(|| value.trim().trim_end_matches(" kB").parse().ok()).flatten()
        })
    }
}

/// `0-3,8` as numbers; a number larger than Linux has for a processor makes it no list.
fn ranges(text: &str) -> Option<Vec<u32>> {
    const MOST: u32 = 1 << 16;
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Numbers in order as `0-3,8`.
pub(super) fn shown(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let run = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_shown() {
        for (text, numbers) in
            [("0-3,8", vec![0, 1, 2, 3, 8]), ("5", vec![5]), ("", vec![]), ("0,2-3", vec![0, 2, 3])]
        {
            assert_eq!(ranges(text), Some(numbers.clone()), "{text}");
            assert_eq!(shown(&numbers), text);
        }
        for text in ["a", "1-", "0-4294967295", "-", "3-1"] {
            assert_eq!(ranges(text), None, "{text}");
        }
    }
}
