//! QEMU's last words: the end of what it writes to its standard error, bounded, and fit for a terminal.

use std::collections::VecDeque;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::task::Log;

/// How many lines are kept, and how many bytes of each.
const LINES: usize = 12;
const LINE_BYTES: usize = 512;
/// How much of a log's end is looked at.
const LOG_END: u64 = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct LastWords {
    lines: VecDeque<String>,
    current: Vec<u8>,
}

impl LastWords {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.finish_line();
            } else if self.current.len() < LINE_BYTES {
                self.current.push(*byte);
            }
        }
    }

    /// The end of what QEMU wrote to its log. A log that was begun anew meanwhile is shorter than its beginning was.
    pub(super) fn read_end(&mut self, log: &Log) {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(&log.path)?;
            let length = file.metadata()?.len();
            let start = if log.start <= length { log.start } else { 0 };
            file.seek(SeekFrom::Start(start.max(length.saturating_sub(LOG_END))))?;
            let mut end = Vec::new();
            file.take(LOG_END).read_to_end(&mut end)?;
            Ok(end)
        };
        // Nobody can be told more by a log that cannot be read.
        if let Ok(end) = read() {
            self.push(&end);
        }
    }

    fn finish_line(&mut self) {
        let line = std::mem::take(&mut self.current);
        let line = printable(&String::from_utf8_lossy(&line));
        // QEMU tells where it put a pseudo terminal, which is no complaint.
        if line.is_empty() || line.starts_with("char device redirected to ") {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn into_lines(mut self) -> Vec<String> {
        self.finish_line();
        self.lines.into()
    }
}

/// The text without what could move a terminal's cursor, and without the time that `-msg timestamp=on` puts first.
fn printable(line: &str) -> String {
    let line = line.trim();
    let line = match line.split_once(' ') {
        Some((time, rest)) if time.len() >= 20 && time.ends_with("Z") && time.starts_with("20") => {
            rest.trim_start_matches(':').trim_start()
        }
        _ => line,
    };
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: &[&str]) {
        let mut words = LastWords::default();
        for piece in input.chunks(7) {
            words.push(piece);
        }
        assert_eq!(words.into_lines(), expected);
    }

    #[test]
    fn lines_are_kept_without_time_and_control_characters() {
        check(
            b"2026-11-23T10:55:25.123456Z qemu-system-x86_64: no such file\n\nfoo \x1b[31mred\nlast",
            &["qemu-system-x86_64: no such file", "foo \u{fffd}[31mred", "last"],
        );
        check(b"char device redirected to /dev/pts/3 (label charserial0)\n", &[]);
    }

    #[test]
    fn a_flood_is_bounded() {
        let mut words = LastWords::default();
        for number in 0..10_000 {
            words.push(format!("line {number} {}\n", "x".repeat(10_000)).as_bytes());
        }
        let lines = words.into_lines();
        assert_eq!(lines.len(), LINES);
        assert!(lines.iter().all(|line| line.len() == LINE_BYTES));
        assert!(lines.last().is_some_and(|line| line.starts_with("line 9999")));
    }
}
