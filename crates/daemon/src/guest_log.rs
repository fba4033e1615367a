//! What QEMU writes of each guest: `NAME.log`, to which QEMU appends by itself, so that it goes on without the daemon.
//!
//! Each start begins with a line that says when it was and with what, and the command line. A guest can make QEMU write
//! as much as it likes: while the daemon runs, a file that has grown too long becomes `NAME.log.0`, in place of the one
//! before, and begins anew. While no daemon runs nobody watches, and the next one begins with a look.

#![expect(unsafe_code, reason = "the runtime wants a promise for each descriptor that it watches")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::vm::Log;

/// How long a log may become, in bytes, before it begins anew.
const LONGEST: u64 = 2 << 20;

/// Opens a guest's log for QEMU to append to, with the line that begins a start.
pub(crate) fn open(path: &Path, qemu: &str, command_line: &str) -> io::Result<Log> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    bound(path, LONGEST)?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let kernel = rustix::system::uname();
    let header = format!(
        "{}: starting up sevirt {}, QEMU {qemu}, kernel {}\n{}",
        now(),
        env!("CARGO_PKG_VERSION"),
        kernel.release().to_string_lossy(),
        printable(command_line)
    );
    file.write_all(header.as_bytes())?;
    let start = file.metadata()?.len();
    Ok(Log { file, path: path.to_owned(), start })
}

/// Removes a log, and what was put aside of it.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    for path in [path.to_owned(), path.with_extension("log.0")] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Puts a log that is too long aside.
fn bound(path: &Path, longest: u64) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.len() > longest => {}
        _ => return Ok(()),
    }
    // QEMU has the file open, so it is the copy that gets another name.
    let mut aside = path.as_os_str().to_owned();
    aside.push(".0");
    let directory = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let mut copy = tempfile::NamedTempFile::new_in(directory)?;
    let mut log = File::open(path)?;
    let length = log.metadata()?.len();
    // Of a flood, its end.
    io::Seek::seek(&mut log, io::SeekFrom::Start(length.saturating_sub(longest)))?;
    io::copy(&mut io::Read::take(log, longest), &mut copy)?;
    copy.persist(PathBuf::from(aside))?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// Keeps the logs of a directory bounded, as long as it is not dropped.
pub(crate) async fn keep_bounded(directory: PathBuf) {
    if let Err(error) = watch(&directory, LONGEST).await {
        tracing::warn!(path = %directory.display(), %error, "guests' logs are not kept bounded");
    }
}

async fn watch(directory: &Path, longest: u64) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    inotify::add_watch(&queue, directory, WatchFlags::MODIFY | WatchFlags::ONLYDIR)?;
    // SAFETY: an owned descriptor gives its own number, which nothing replaces.
    let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) }
        .map_err(|error| error.into_parts().1)?;
    for entry in fs::read_dir(directory)?.flatten() {
        bound_one(directory, &entry.file_name(), longest);
    }
    loop {
        let mut ready = queue.readable().await?;
        let changed = changed(queue.get_ref())?;
        ready.clear_ready();
        for name in changed {
            bound_one(directory, &name, longest);
        }
    }
}

fn bound_one(directory: &Path, name: &OsString, longest: u64) {
    let path = directory.join(name);
    if path.extension().is_some_and(|extension| extension == "log")
        && let Err(error) = bound(&path, longest)
    {
        tracing::warn!(path = %path.display(), %error, "a guest's log is too long and cannot be put aside");
    }
}

/// The names of the files that were written to; after an overflow of the queue, nobody's.
fn changed(queue: &OwnedFd) -> io::Result<BTreeSet<OsString>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(queue, &mut buffer);
    let mut names = BTreeSet::new();
    loop {
        match reader.next() {
            Ok(event) => {
                let name =
                    event.file_name().map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()).to_owned());
                names.extend(name);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(names),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Without what could move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The time as QEMU's own lines have it: UTC, by ISO 8601.
pub(crate) fn now() -> String {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(elapsed.as_secs(), elapsed.subsec_micros())
}

fn timestamp(seconds: u64, microseconds: u32) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microseconds:06}Z")
}

/// Year, month and day of a day since 1970, by counting years that begin in March, so that leap days end them.
fn date(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 was 719468 days before; 400 years have 146097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn times_are_as_date_prints_them() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(951_782_400, 1), "2000-02-29T00:00:00.000001Z");
        assert_eq!(timestamp(951_868_799, 0), "2000-02-29T23:59:59.000000Z");
        assert_eq!(timestamp(1_767_225_599, 999_999), "2025-12-31T23:59:59.999999Z");
        assert_eq!(timestamp(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
    }

    #[test]
    fn a_log_begins_with_what_is_started_and_is_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log/a.log");
        let log = open(&path, "10.0.2", "/bin/qemu \\\n-append 'a\x1bb'\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(log.start, text.len() as u64);
        assert!(text.contains("starting up sevirt"), "{text}");
        assert!(text.ends_with("-append 'a\u{fffd}b'\n"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(open(&path, "10.0.2", "second\n").unwrap());
        assert!(fs::read_to_string(&path).unwrap().starts_with(&text));
    }

    #[tokio::test]
    async fn a_flood_is_bounded_while_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let other = directory.path().join("other");
        fs::write(&other, vec![b'x'; 5000]).unwrap();
        // One that is too long from the start, and one that becomes so.
        fs::write(directory.path().join("old.log"), vec![b'x'; 5000]).unwrap();
        let here = directory.path().to_owned();
        let keeper = tokio::spawn(async move { watch(&here, 1000).await });
        let mut log = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let aside = directory.path().join("a.log.0");
        let flood = async {
            while !aside.exists() {
                log.write_all(b"a line of a hundred bytes, or nearly so\n").unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), flood).await.unwrap();
        keeper.abort();
        let length = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
        assert!(length("a.log.0") <= 1000);
        assert_eq!((length("old.log"), length("old.log.0"), length("other")), (0, 1000, 5000));
    }
}
