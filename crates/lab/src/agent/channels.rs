//! The agent's ends of the channels to the host: virtio-serial ports, and the console's pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::job::{Channel, WindowSize};
use crate::wait::poll_until;

/// The ports appear a moment after their driver is loaded.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a channel's port for reading and writing; the kernel lets it be opened once.
pub(super) fn open(channel: Channel) -> io::Result<File> {
    let suffix = format!("p{}", channel.number());
    let port = appearing(Path::new("/dev"), |name| name.starts_with("vport") && name.ends_with(&suffix))?;
    OpenOptions::new().read(true).write(true).open(port)
}

/// Waits for an entry of a directory.
pub(super) fn appearing(directory: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<PathBuf> {
    appearing_unless(directory, wanted, None)
}

/// Waits for an entry of a directory, or for the end of the process that is to make it, which is an error.
pub(super) fn appearing_unless(
    directory: &Path,
    wanted: impl Fn(&str) -> bool,
    process: Option<BorrowedFd<'_>>,
) -> io::Result<PathBuf> {
    let deadline = Instant::now() + PATIENCE;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, directory, inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO)?;
    loop {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(&wanted) {
                return Ok(entry.path());
            }
        }
        let mut descriptors = vec![PollFd::new(&watch, PollFlags::IN)];
        descriptors.extend(process.map(|process| PollFd::from_borrowed_fd(process, PollFlags::IN)));
        if !poll_until(&mut descriptors, Some(deadline))? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if descriptors.get(1).is_some_and(|process| !process.revents().is_empty()) {
            return Err(io::Error::other("it ended at once; the console log has its words"));
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&watch, &mut buffer);
        while reader.next().is_ok() {}
    }
}

/// Copies until the source ends; gives the number of bytes that were written.
pub(super) fn pump(mut from: File, mut to: File) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut buffer = vec![0; 32 << 10];
        let mut written = 0;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return written,
                Ok(length) => {
                    let Some(bytes) = buffer.get(..length) else { return written };
                    if to.write_all(bytes).is_err() {
                        return written;
                    }
                    written += bytes.len() as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal whose last user is gone gives EIO.
                Err(_) => return written,
            }
        }
    })
}

/// Tells a terminal its size.
pub(super) fn resize(terminal: &File, size: WindowSize) {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that cannot be resized stays as it is.
    let _ = tcsetwinsize(terminal, size);
}
