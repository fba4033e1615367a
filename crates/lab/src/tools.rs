//! The parts from which the lab is built: QEMU, busybox, and sevirt's own binaries and libraries.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest QEMU whose emulation of AMD's virtualization carries the lab.
const OLDEST_QEMU: u32 = 10;

const QEMU: &str = "qemu-system-x86_64";
const QEMU_IMG: &str = "qemu-img";
const BUSYBOX: &str = "busybox";

/// What was found.
#[derive(Debug, Clone)]
pub struct Tools {
    pub qemu: PathBuf,
    pub qemu_img: PathBuf,
    /// A statically linked one.
    pub busybox: PathBuf,
    /// This very program, which the outer machine runs as its agent.
    pub sevirt: PathBuf,
    /// The simulated secure processor.
    pub sevsim: PathBuf,
    /// The library that offers it to QEMU.
    pub shim: PathBuf,
    /// The library that cures the emulating QEMU of its fault with CR8.
    pub cr8: PathBuf,
}

/// What is missing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("`{program}` is not installed (on Debian and Ubuntu: the package {package})")]
    Missing { program: &'static str, package: &'static str },
    #[error("`{}` needs a dynamic loader and cannot run in an initramfs (on Debian and Ubuntu: the package busybox-static)", path.display())]
    DynamicBusybox { path: PathBuf },
    #[error("`{file}` is not beside the sevirt program in `{}`; SEVIRT_LIB_DIR can name another directory", directory.display())]
    Part { file: &'static str, directory: PathBuf },
    #[error("find this program's own file")]
    Own(#[source] io::Error),
    #[error("`{}` lies below `{hidden}`, which the lab's outer machine has for itself; move it elsewhere", path.display())]
    Hidden { path: PathBuf, hidden: &'static str },
    #[error("ask `{}` for its version", program.display())]
    Version { program: PathBuf, source: io::Error },
    #[error(
        "the lab needs QEMU {OLDEST_QEMU}.0 or newer, and `{}` is {found} \
         (on Debian 12: qemu-system-x86 from bookworm-backports)", program.display()
    )]
    OldQemu { program: PathBuf, found: String },
}

impl Tools {
    /// Finds everything and asks QEMU for its version.
    ///
    /// # Errors
    /// Something is missing or too old; the error names it and where it comes from.
    pub fn find() -> Result<Self, ToolError> {
        let qemu = program(QEMU, "qemu-system-x86")?;
        let (qemu_img, busybox) = (qemu_img()?, busybox()?);
        let sevirt = env::current_exe().map_err(ToolError::Own)?;
        let directory = match env::var_os("SEVIRT_LIB_DIR") {
            Some(directory) => PathBuf::from(directory),
            None => sevirt.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let part = |file: &'static str| {
            let path = directory.join(file);
            let path =
                path.canonicalize().map_err(|_| ToolError::Part { file, directory: directory.clone() });
            path.and_then(visible_inside)
        };
        let tools = Self {
            qemu,
            qemu_img,
            busybox,
            sevsim: part("sevsim")?,
            shim: part("libsevsim.so")?,
            cr8: part("libsevirt_cr8.so")?,
            sevirt: visible_inside(sevirt)?,
        };
        check_version(&tools.qemu)?;
        Ok(tools)
    }
}

/// The program that makes and converts disk images.
///
/// # Errors
/// It is not installed.
pub fn qemu_img() -> Result<PathBuf, ToolError> {
    program(QEMU_IMG, "qemu-utils")
}

/// A busybox that runs in an initramfs.
///
/// # Errors
/// It is not installed, or is not statically linked.
pub fn busybox() -> Result<PathBuf, ToolError> {
    let path = program(BUSYBOX, "busybox-static")?;
    let dynamic = std::fs::read(&path).is_ok_and(|elf| needs_loader(&elf));
    if dynamic { Err(ToolError::DynamicBusybox { path }) } else { Ok(path) }
}

/// The outer machine sees the host's files but for those directories that it has for itself.
fn visible_inside(path: PathBuf) -> Result<PathBuf, ToolError> {
    match hidden_inside(&path) {
        Some(hidden) => Err(ToolError::Hidden { path, hidden }),
        None => Ok(path),
    }
}

/// The directory, if any, that hides a host's path inside the outer machine.
#[must_use]
pub fn hidden_inside(path: &Path) -> Option<&'static str> {
    ["/run", "/proc", "/sys", "/dev"].into_iter().find(|hidden| path.starts_with(hidden))
}

fn program(name: &'static str, package: &'static str) -> Result<PathBuf, ToolError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        // Where an ordinary user's PATH does not lead.
        .chain(["/usr/sbin", "/sbin", "/usr/libexec"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
        .ok_or(ToolError::Missing { program: name, package })
}

/// Whether an ELF file names an interpreter.
fn needs_loader(elf: &[u8]) -> bool {
    use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
    let Ok(file) = ElfFile64::<object::Endianness>::parse(elf) else {
        return false;
    };
    let endian = file.endian();
    file.elf_header()
        .program_headers(endian, elf)
        .is_ok_and(|headers| headers.iter().any(|header| header.p_type(endian) == object::elf::PT_INTERP))
}

fn check_version(qemu: &Path) -> Result<(), ToolError> {
    let failed = |source| ToolError::Version { program: qemu.to_owned(), source };
    let output = Command::new(qemu).arg("--version").stdin(Stdio::null()).output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version =
        version(&text).ok_or_else(|| failed(io::Error::other(format!("it said `{}`", text.trim()))))?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= OLDEST_QEMU) {
        Ok(())
    } else {
        Err(ToolError::OldQemu { program: qemu.to_owned(), found: version.to_owned() })
    }
}

fn version(text: &str) -> Option<&str> {
    text.split_once("version ")?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"), Some("10.0.2"));
        assert_eq!(version("no such thing"), None);
    }

    #[test]
    fn what_the_outer_machine_hides_is_known() {
        assert_eq!(hidden_inside(Path::new("/run/user/1000/sevirt")), Some("/run"));
        assert_eq!(hidden_inside(Path::new("/runtime/sevirt")), None);
    }

    #[test]
    fn an_old_qemu_is_refused_by_version() {
        let directory = tempfile::tempdir().unwrap();
        let qemu = directory.path().join("qemu");
        for (version, sound) in [("7.2.9", false), ("10.0.2", true), ("nonsense", false)] {
            std::fs::write(&qemu, format!("#!/bin/sh\necho QEMU emulator version {version}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&qemu, mode).unwrap();
            assert_eq!(check_version(&qemu).is_ok(), sound, "{version}");
        }
    }

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        let own = std::fs::read(env::current_exe().unwrap()).unwrap();
        assert!(needs_loader(&own));
        assert!(!needs_loader(b"#!/bin/sh\n"));
    }
}
