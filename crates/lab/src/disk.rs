//! Disks of the outer machine: throw-away layers over images, which are only read.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tools::Tools;

/// A qcow2 image inside the disk may grow by this much while the guest runs.
const ROOM_TO_GROW: u64 = 64 << 30;
const SERIAL: &str = "sevirt-lab-";
const QCOW2_MAGIC: &[u8] = b"QFI\xfb";

/// An image and the layer over it.
#[derive(Debug, Clone)]
pub struct Disk {
    image: String,
    layer: String,
}

/// Why a disk could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("read disk image `{}`", path.display())]
    Image { path: PathBuf, source: io::Error },
    #[error("disk image `{}` is neither a file nor a block device", path.display())]
    Kind { path: PathBuf },
    #[error("`{}` is not UTF-8, which QEMU's options have to be", path.display())]
    Name { path: PathBuf },
    #[error("put a layer over disk image `{}`", path.display())]
    Layer { path: PathBuf, source: io::Error },
    #[error("copy disk image `{}`", path.display())]
    Flatten { path: PathBuf, source: io::Error },
}

impl Disk {
    /// Makes the layer for the outer machine's disk `index` in `directory`. The image's bytes are shown as they
    /// are; if they are those of a qcow2 image, the disk has room behind them for it to grow.
    ///
    /// # Errors
    /// The image cannot be read, or the layer not be made.
    pub fn create(tools: &Tools, directory: &Path, index: usize, image: &Path) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Image { path: image.to_owned(), source };
        // Absolute, since the layer lies elsewhere.
        let image = image.canonicalize().map_err(failed)?;
        let kind = fs::metadata(&image).map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(DiskError::Kind { path: image });
        }
        let mut file = fs::File::open(&image).map_err(failed)?;
        let size = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
        let mut magic = [0; QCOW2_MAGIC.len()];
        let is_qcow2 = rustix::io::pread(&file, &mut magic, 0).is_ok() && magic == QCOW2_MAGIC;
        let room = if is_qcow2 { ROOM_TO_GROW } else { 0 };
        let size = size.saturating_add(room).next_multiple_of(512);

        let layer = directory.join(format!("disk{index}"));
        let text = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| DiskError::Name { path: path.to_owned() })
        };
        let disk = Self { image: text(&image)?, layer: text(&layer)? };
        let mut command = Command::new(&tools.qemu_img);
        command.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(&image).arg(&layer);
        match carry_out(command.arg(size.to_string())) {
            Ok(()) => Ok(disk),
            Err(source) => Err(DiskError::Layer { path: image, source }),
        }
    }

    /// Writes the disk as the machine has left it to a file: the image's bytes with what was written over them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn flatten(&self, tools: &Tools, to: &Path) -> Result<(), DiskError> {
        let mut command = Command::new(&tools.qemu_img);
        command.args(["convert", "-q", "-f", "qcow2", "-O", "raw", &self.layer]).arg(to);
        carry_out(&mut command)
            .map_err(|source| DiskError::Flatten { path: PathBuf::from(&self.layer), source })
    }

    /// The user's file.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The file that takes what is written.
    #[must_use]
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// The serial number by which disk `index` is found inside, whatever order the kernel finds them in.
    #[must_use]
    pub fn serial(index: usize) -> String {
        format!("{SERIAL}{index}")
    }

    /// The disk with that serial number.
    pub(crate) fn index(serial: &str) -> Option<usize> {
        serial.strip_prefix(SERIAL)?.parse().ok()
    }

    #[cfg(test)]
    pub(crate) fn fixture(image: &str, layer: &str) -> Self {
        Self { image: image.to_owned(), layer: layer.to_owned() }
    }
}

fn carry_out(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
