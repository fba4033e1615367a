//! The demo guest: a disk image that boots through OVMF, looks for itself whether SEV is active, writes down what it saw,
//! and powers off, at once or when its power button is pressed.
//!
//! ```text
//! GPT disk ─ ESP (FAT32) ─ EFI/BOOT/BOOTX64.EFI  unified kernel image: systemd's stub, kernel, initrd, command line
//!                        └ SEVIRT/REPORT.TXT     what the guest saw, written when it ran
//! ```
//!
//! Everything comes from the distribution but a script of ours; the same inputs give the same bytes. The initrd also serves
//! a kernel that is booted directly: with `sevirt.report=console` on its command line the report goes to the consoles only.

mod disk;
mod fat;
mod guest;
mod read;
mod report;
mod uki;
mod window;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub use disk::DiskError;
pub use guest::{CONSOLE_OPTION, Guest, GuestError};
pub use read::{ReadError, read_report};
pub use report::{Report, ReportError};
pub use uki::UkiError;

/// Changes when the same inputs would give another image.
const LAYOUT: u32 = 1;

/// How the image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As a disk has it.
    Raw,
    /// QEMU's format, which holds only what is used.
    Qcow2,
}

/// What the guest does after its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It powers itself off.
    PowersOff,
    /// It waits for its power button, as `virsh shutdown` presses it.
    Stays,
}

/// What to build and from what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the image goes.
    pub output: PathBuf,
    /// How it is stored.
    pub format: Format,
    /// What the guest does when it has reported.
    pub afterwards: Afterwards,
    /// The root below which the kernel, its modules and systemd's stub are installed: `/` on an ordinary machine.
    pub root: PathBuf,
    /// A statically linked busybox.
    pub busybox: PathBuf,
    /// The program that converts images; needed for [`Format::Qcow2`].
    pub qemu_img: PathBuf,
}

/// What a build came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Built {
    /// The image was made.
    New,
    /// The image that was there is made of the same inputs and has not changed since.
    Cached,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("take the guest's parts from this machine")]
    Guest(#[from] GuestError),
    #[error("systemd's boot stub `{}` is not installed (on Debian and Ubuntu: the package systemd-boot-efi)", path.display())]
    NoStub { path: PathBuf },
    #[error("read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("append to systemd's boot stub `{}`", path.display())]
    Uki { path: PathBuf, source: UkiError },
    #[error("lay out the disk")]
    Disk(#[from] DiskError),
    #[error("write `{}`", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("start `{}`", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("`{} {operation}` failed: {message}", program.display())]
    QemuImg { program: PathBuf, operation: &'static str, message: String },
}

/// Builds the image, unless the one that is there is the same.
///
/// # Errors
/// When a part is missing or the image cannot be written; what was there before is left as it was.
pub fn build(options: &Options) -> Result<Built, ImageError> {
    let guest = Guest::find(&options.root, &options.busybox)?;
    let stub = options.root.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    if !stub.exists() {
        return Err(ImageError::NoStub { path: stub });
    }
    let command_line = match options.afterwards {
        Afterwards::PowersOff => guest::COMMAND_LINE.to_owned(),
        Afterwards::Stays => format!("{} {}", guest::COMMAND_LINE, guest::STAY_OPTION),
    };
    let inputs = inputs(&guest, &stub, options.format, &command_line)?;
    let record = record_path(&options.output);
    let present = || Some(format!("{inputs}{}", identity(&options.output)?));
    if present().is_some() && fs::read_to_string(&record).ok() == present() {
        return Ok(Built::Cached);
    }

    let initrd = guest.initrd()?;
    let kernel = guest.kernel()?;
    let stub_bytes = fs::read(&stub).map_err(|source| ImageError::Read { path: stub.clone(), source })?;
    let sections = [
        (".osrel", guest.os_release().into_bytes()),
        (".cmdline", command_line.into_bytes()),
        (".initrd", initrd),
        (".linux", kernel),
    ];
    let uki = uki::append(&stub_bytes, &sections).map_err(|source| ImageError::Uki { path: stub, source })?;

    // A temporary file beside the output takes its place at once, or leaves nothing.
    let write_error = |source| ImageError::Write { path: options.output.clone(), source };
    let directory = options.output.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let temporary = || tempfile::Builder::new().prefix(".image-").tempfile_in(directory).map_err(write_error);
    let raw = temporary()?;
    disk::write(raw.as_file(), &uki)?;
    let finished = match options.format {
        Format::Raw => raw,
        Format::Qcow2 => {
            let qcow2 = temporary()?;
            convert(&options.qemu_img, "raw", raw.path(), "qcow2", qcow2.path())?;
            qcow2
        }
    };
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    finished.as_file().set_permissions(permissions).map_err(write_error)?;
    finished.persist(&options.output).map_err(|error| write_error(error.error))?;
    if let Some(contents) = present() {
        let mut record_file = temporary()?;
        record_file.write_all(contents.as_bytes()).map_err(write_error)?;
        record_file.persist(&record).map_err(|error| write_error(error.error))?;
    }
    Ok(Built::New)
}

/// What the image is made of, a line for each file.
fn inputs(guest: &Guest, stub: &Path, format: Format, command_line: &str) -> Result<String, ImageError> {
    let mut text = format!("layout {LAYOUT} {format:?}\n{command_line}\n{}\n", guest::fingerprint());
    for path in guest.files().chain([stub]) {
        let Some(identity) = identity(path) else {
            return Err(ImageError::Read { path: path.into(), source: io::ErrorKind::NotFound.into() });
        };
        text.push_str(&identity);
    }
    Ok(text)
}

/// A file's path, size and times: another file, or a changed one, has others.
fn identity(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let (size, seconds, nanoseconds) = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    Some(format!("{} {size} {seconds}.{nanoseconds:09} {}\n", path.display(), metadata.ino()))
}

fn record_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".inputs");
    name.into()
}

/// Has `qemu-img` write an image in another format.
fn convert(program: &Path, from: &str, source: &Path, to: &str, target: &Path) -> Result<(), ImageError> {
    let started = Command::new(program)
        .args(["convert", "-f", from, "-O", to])
        .args([source, target])
        .stdin(Stdio::null())
        .output();
    let output = started.map_err(|source| ImageError::Start { program: program.into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ImageError::QemuImg { program: program.into(), operation: "convert", message })
}
