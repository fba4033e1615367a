//! QEMU's last words: the end of what it writes to its standard error, bounded, and fit for a terminal.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

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

    /// The end of what QEMU wrote to its log.
    pub(super) fn read_end(&mut self, path: &Path, start: u64) {
        // Nobody can be told more by a log that cannot be read.
        if let Ok(end) = end_of(path, start) {
            self.push(&end);
        }
    }

    fn finish_line(&mut self) {
        let line = std::mem::take(&mut self.current);
        let line = printable(&String::from_utf8_lossy(&line));
        // QEMU tells where it put a pseudo terminal, and what it was told to trace, which are no complaints.
        if line.is_empty() || line.starts_with("char device redirected to ") || line.contains(REQUEST) {
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

/// The end of what a guest's QEMU wrote to a log that was so long when it was started. A log that was begun anew
/// meanwhile is shorter than that.
fn end_of(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = if start <= length { start } else { 0 };
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(LOG_END))))?;
    let mut end = Vec::new();
    file.take(LOG_END).read_to_end(&mut end)?;
    Ok(end)
}

/// What a guest that has shut down did, by QEMU's log. QEMU writes a line there when somebody asks for a shutdown (see
/// [`super::Query::TraceShutdown`]), and none when a guest reboots that must not: there the reboot itself ends it.
pub(super) fn why_shut_down(path: &Path, start: u64) -> &'static str {
    let Ok(end) = end_of(path, start) else { return POWERED_OFF };
    let text = String::from_utf8_lossy(&end);
    let asked = text.lines().rev().find_map(|line| line.split_once(REQUEST));
    match asked.map(|(_, reason)| reason.trim()) {
        None => "guest-reset",
        Some("8") => "guest-panic",
        Some(_) => POWERED_OFF,
    }
}

/// QEMU's `ShutdownCause` of a guest that has powered itself off.
pub(super) const POWERED_OFF: &str = "guest-shutdown";

/// QEMU's trace event for a shutdown, and before the number of its `ShutdownCause`.
const REQUEST: &str = "qemu_system_shutdown_request reason=";

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
    fn a_reboot_is_told_from_a_shutdown_by_the_log() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let earlier = "qemu_system_shutdown_request reason=6\n";
        let start = u64::try_from(earlier.len()).unwrap();
        for (since, expected) in [
            ("char device redirected to /dev/pts/3 (label charserial0)\n", "guest-reset"),
            ("qemu_system_shutdown_request reason=6\n", POWERED_OFF),
            ("2026-11-23T10:55:25.123456Z 7@1.5:qemu_system_shutdown_request reason=8\n", "guest-panic"),
        ] {
            std::fs::write(log.path(), format!("{earlier}{since}")).unwrap();
            assert_eq!(why_shut_down(log.path(), start), expected, "{since}");
            let mut words = LastWords::default();
            words.read_end(log.path(), start);
            assert_eq!(words.into_lines(), [""; 0]);
        }
        assert_eq!(why_shut_down(Path::new("/nonexistent"), 0), POWERED_OFF);
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
