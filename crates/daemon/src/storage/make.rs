//! Volumes are made, copied, resized, wiped and removed.

use std::fs::{File, Permissions as Mode};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

use rpc::error::Code;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::directory::{Directory, checked};
use super::qemu_img::{self, local};
use super::volume::{Kind, resolved};
use super::wanted::Format;
use super::{Failure, Pool, Volume, Wanted, fault};

/// Of files that are made, unless something else is wanted.
const MODE: u32 = 0o600;
/// How long a chain of images may be.
const CHAIN_MAX: usize = 64;

/// `virStorageVolCreateFlags`, as far as they can be honoured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CreateFlags {
    pub(crate) preallocate_metadata: bool,
}

/// `virStorageVolResizeFlags`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ResizeFlags {
    pub(crate) allocate: bool,
    pub(crate) delta: bool,
    pub(crate) shrink: bool,
}

/// `virStorageVolWipeAlgorithm`, as far as it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Zero,
}

/// A file that is being made: it goes again unless it is finished.
struct Making<'d> {
    directory: &'d Directory,
    name: &'d str,
    file: File,
    finished: bool,
}

impl<'d> Making<'d> {
    fn start(directory: &'d Directory, name: &'d str) -> Result<Self, Failure> {
        let file = directory.create(name)?;
        Ok(Self { directory, name, file, finished: false })
    }

    /// Gives it to whom it is to belong, and puts it on disk.
    fn finish(mut self, wanted: &Wanted) -> Result<(), Failure> {
        let failed = |error| self.directory.failed("finish", self.name, error);
        let permissions = &wanted.permissions;
        fchown(&self.file, permissions.owner, permissions.group).map_err(failed)?;
        let mode = Mode::from_mode(permissions.mode.unwrap_or(MODE));
        self.file.set_permissions(mode).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        self.directory.sync()?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = self.directory.remove(self.name, false)
        {
            tracing::warn!(%error, "a volume that could not be made is left over");
        }
    }
}

impl Pool {
    /// Makes a new volume.
    pub(crate) fn make_volume(&self, wanted: &Wanted, flags: CreateFlags) -> Result<(), Failure> {
        let directory = self.directory()?;
        let making = Making::start(&directory, &wanted.name)?;
        match wanted.format {
            Format::Raw => {
                let size = wanted.capacity.unwrap_or(0);
                refuse_metadata(flags)?;
                making.file.set_len(size).map_err(|error| directory.failed("size", &wanted.name, error))?;
                allocate(
                    &directory,
                    &wanted.name,
                    &making.file,
                    wanted.allocation.unwrap_or(size).min(size),
                )?;
            }
            Format::Qcow2 => {
                let options = options(wanted, flags);
                let (name, size) = (local(&wanted.name), wanted.capacity.map(|size| size.to_string()));
                let mut arguments = vec!["create", "-q", "-f", "qcow2", "-o", &options];
                if let Some(backing) = &wanted.backing {
                    arguments.extend(["-b", &backing.path, "-F", backing.format.name()]);
                }
                arguments.push(&name);
                arguments.extend(size.as_deref());
                qemu_img::run(&directory, &arguments)?;
            }
        }
        making.finish(wanted)
    }

    /// Makes a volume with the contents of one that may be in another pool.
    pub(crate) fn copy_volume(
        &self,
        wanted: &Wanted,
        from: &Self,
        source: &str,
        flags: CreateFlags,
    ) -> Result<(), Failure> {
        let original = from.volume(source)?;
        if original.kind != Kind::File {
            return Err(fault(Code::OPERATION_INVALID, format!("volume '{source}' is a directory")));
        }
        let format = copied_format(from, &original)?;
        let directory = self.directory()?;
        let making = Making::start(&directory, &wanted.name)?;
        if wanted.format == Format::Raw {
            refuse_metadata(flags)?;
        }
        let options = options(wanted, flags);
        // The original has another place, so it is named as a whole: a path that begins with `/` is no option.
        let (original_path, name) = (original.path.to_string_lossy(), local(&wanted.name));
        let mut arguments = vec!["convert", "-q", "-f", format, "-O", wanted.format.name()];
        if wanted.format == Format::Qcow2 {
            arguments.extend(["-o", &options]);
        }
        if let Some(backing) = &wanted.backing {
            arguments.extend(["-B", &backing.path, "-F", backing.format.name()]);
        }
        arguments.extend([original_path.as_ref(), &name]);
        qemu_img::run(&directory, &arguments)?;
        if let Some(size) = wanted.capacity.filter(|size| *size > original.capacity) {
            match wanted.format {
                Format::Raw => {
                    making
                        .file
                        .set_len(size)
                        .map_err(|error| directory.failed("size", &wanted.name, error))?;
                }
                Format::Qcow2 => {
                    qemu_img::run(&directory, &["resize", "-q", "-f", "qcow2", &name, &size.to_string()])?;
                }
            }
        }
        making.finish(wanted)
    }

    /// Changes what a guest sees of a volume; `size` is in bytes.
    pub(crate) fn resize_volume(&self, name: &str, size: u64, flags: ResizeFlags) -> Result<(), Failure> {
        let volume = self.volume(name)?;
        let directory = self.directory()?;
        let found = directory.find_to_write(name)?.ok_or_else(|| no_file(name))?;
        let invalid = |words: &str| Err(fault(Code::INVALID_ARG, words));
        let size = match (flags.delta, flags.shrink) {
            (false, _) => Some(size),
            (true, false) => volume.capacity.checked_add(size),
            (true, true) => Some(volume.capacity.saturating_sub(size)),
        };
        let Some(size) = size.filter(|size| i64::try_from(*size).is_ok()) else {
            return invalid("the new size is too large");
        };
        if size < volume.allocation && !flags.shrink {
            return invalid("can't shrink capacity below existing allocation");
        }
        if size < volume.capacity && !flags.shrink {
            return invalid(
                "Can't shrink capacity below current capacity unless shrink flag explicitly specified",
            );
        }
        match volume.image.format {
            "raw" => {
                found.file.set_len(size).map_err(|error| directory.failed("resize", name, error))?;
                allocate(&directory, name, &found.file, if flags.allocate { size } else { 0 })
            }
            "qcow2" if !flags.allocate => {
                let (name, size) = (local(name), size.to_string());
                let mut arguments = vec!["resize", "-q", "-f", "qcow2"];
                arguments.extend(flags.shrink.then_some("--shrink"));
                arguments.extend([name.as_str(), size.as_str()]);
                qemu_img::run(&directory, &arguments)
            }
            "qcow2" => Err(super::unsupported("preallocated growth of a qcow2 volume (--allocate)")),
            other => Err(super::unsupported(format!("resizing a volume of format '{other}'"))),
        }
    }

    pub(crate) fn remove_volume(&self, name: &str) -> Result<(), Failure> {
        let directory = self.directory()?;
        checked(name)?;
        let kind = self.volume(name)?.kind;
        // A link is removed as such, whatever it leads to.
        let is_link = self.live.as_ref().is_some_and(|live| live.path.join(name).is_symlink());
        directory.remove(name, kind == Kind::Directory && !is_link)
    }

    /// Writes zeroes over all of a volume's file; of a sparse one the blocks are given back.
    pub(crate) fn wipe_volume(&self, name: &str, algorithm: Algorithm) -> Result<(), Failure> {
        let Algorithm::Zero = algorithm;
        let directory = self.directory()?;
        let mut found = directory.find_to_write(name)?.ok_or_else(|| no_file(name))?;
        let failed = |error| directory.failed("wipe", name, error);
        let length = found.metadata.len();
        if found.metadata.blocks().saturating_mul(512) < length {
            // Giving the blocks back leaves zeroes, and fills no disk with them.
            found.file.set_len(0).and_then(|()| found.file.set_len(length)).map_err(failed)?;
            return found.file.sync_all().map_err(failed);
        }
        found.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let zeroes = vec![0; 1 << 20];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(zeroes.len());
            let piece = zeroes.get(..most).unwrap_or_default();
            found.file.write_all(piece).map_err(failed)?;
            left = left.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
        }
        found.file.sync_all().map_err(failed)
    }
}

fn no_file(name: &str) -> Failure {
    fault(Code::NO_STORAGE_VOL, format!("no storage vol with matching name '{name}'"))
}

fn refuse_metadata(flags: CreateFlags) -> Result<(), Failure> {
    if !flags.preallocate_metadata {
        return Ok(());
    }
    let words = "metadata preallocation is not supported for raw volumes";
    Err(fault(Code::CONFIG_UNSUPPORTED, words))
}

/// Reserves the first `bytes` of a file where the file system can.
fn allocate(directory: &Directory, name: &str, file: &File, bytes: u64) -> Result<(), Failure> {
    if bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            tracing::info!(volume = name, "the file system cannot reserve space; the volume is sparse");
            Ok(())
        }
        Err(error) => Err(directory.failed("allocate", name, io::Error::from(error))),
    }
}

/// What `-o` of qemu-img says. Nothing in it comes from a client but numbers and keywords.
fn options(wanted: &Wanted, flags: CreateFlags) -> String {
    let qcow2 = &wanted.qcow2;
    let mut options = format!("compat={}", qcow2.compat.unwrap_or("1.1"));
    if let Some(cluster) = qcow2.cluster {
        options.push_str(&format!(",cluster_size={cluster}"));
    }
    for (has, option) in [
        (qcow2.lazy_refcounts, ",lazy_refcounts=on"),
        (qcow2.extended_l2, ",extended_l2=on"),
        (flags.preallocate_metadata, ",preallocation=metadata"),
    ] {
        if has {
            options.push_str(option);
        }
    }
    options
}

/// The format to read an original as. Its header may have been written by a guest into a disk that was raw: a header
/// that leads to other files is followed only inside the pool, and only where each image names the next one's format.
fn copied_format(pool: &Pool, original: &Volume) -> Result<&'static str, Failure> {
    let format = readable(original)?;
    let mut next = next(original)?;
    for _ in 0..CHAIN_MAX {
        let Some((path, declared)) = next else { return Ok(format) };
        let in_pool = pool.live.as_ref().is_some_and(|live| path.parent() == Some(live.path.as_path()));
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| in_pool);
        let Some(name) = name else {
            return Err(refused(original, &format!("it begins from '{}', outside the pool", path.display())));
        };
        let image = pool.volume(name)?;
        // An image that is declared raw is not looked into.
        if declared == "raw" {
            return Ok(format);
        }
        if declared != readable(&image)? {
            return Err(refused(
                original,
                &format!("its backing image '{name}' is not the {declared} that it is called"),
            ));
        }
        next = self::next(&image)?;
    }
    Err(refused(original, "its chain of backing images does not end"))
}

/// Where an image begins from, and in which format that is.
fn next(image: &Volume) -> Result<Option<(std::path::PathBuf, String)>, Failure> {
    let Some(backing) = &image.image.backing else { return Ok(None) };
    let path = resolved(&image.path, &backing.name);
    let path = path.ok_or_else(|| refused(image, "its backing image is no file"))?;
    let format = backing.format.clone();
    let format =
        format.ok_or_else(|| refused(image, "it does not say of which format its backing image is"))?;
    Ok(Some((path, format)))
}

/// The format of an image that leads nowhere but to its backing image.
fn readable(image: &Volume) -> Result<&'static str, Failure> {
    match (image.image.format, &image.image.qcow2) {
        ("raw" | "iso", _) => Ok("raw"),
        ("qcow2", Some(qcow2)) if qcow2.data_file => Err(refused(image, "its data is in another file")),
        ("qcow2", Some(qcow2)) if qcow2.encrypted => Err(refused(image, "it is encrypted")),
        ("qcow2", _) => Ok("qcow2"),
        (other, _) => Err(refused(image, &format!("its format is {other}"))),
    }
}

fn refused(image: &Volume, why: &str) -> Failure {
    let words =
        format!("volume '{}' is not copied: {why}; use qemu-img convert by hand if you trust it", image.name);
    fault(Code::OPERATION_UNSUPPORTED, words)
}
