//! The outer machine's initramfs: busybox, the modules it needs to see the host's root and to run KVM, the job.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::initramfs::{Initramfs, InitramfsError};
use crate::job::Job;
use crate::kernel::Kernel;
use crate::modules::ModuleError;

/// What the outer machine needs, the channels first: they take a moment to come up.
pub(crate) const MODULES: &[&str] =
    &["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_blk", "kvm-amd"];

/// Parameters of modules. One CPU that is emulated has no time to poll for an inner guest to wake.
const PARAMETERS: &[(&str, &str)] = &[("kvm", "halt_poll_ns=0")];

const SCRIPT: &str = include_str!("outer_init.sh");

/// Why the initramfs could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OuterInitError {
    #[error("read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("read the modules of the outer machine's kernel")]
    Module(#[from] ModuleError),
    #[error("write the job")]
    Job(#[from] serde_json::Error),
    #[error("build the outer machine's initramfs")]
    Build(#[from] InitramfsError),
}

/// Builds it. `agent` is the `sevirt` binary, which takes over once the host's root is in place.
pub(crate) fn build(
    kernel: &Kernel,
    busybox: &Path,
    agent: &str,
    job: &Job,
) -> Result<Vec<u8>, OuterInitError> {
    let read =
        |path: &Path| fs::read(path).map_err(|source| OuterInitError::Read { path: path.to_owned(), source });
    let mut initramfs = Initramfs::new();
    initramfs.file("bin/busybox", 0o755, read(busybox)?).file("init", 0o755, SCRIPT);
    for directory in ["proc", "lower", "changes", "root"] {
        initramfs.directory(directory);
    }
    let mut list = String::new();
    for module in &kernel.modules {
        let path = format!("lab/{}.ko", module.name);
        list += &format!("/{path}");
        for (_, parameters) in PARAMETERS.iter().filter(|(name, _)| *name == module.name) {
            list += &format!(" {parameters}");
        }
        list.push('\n');
        initramfs.file(&path, 0o600, module.read()?);
    }
    initramfs.file("lab/modules", 0o600, list).file("lab/agent", 0o600, agent).file(
        "lab/job.json",
        0o600,
        serde_json::to_vec(job)?,
    );
    Ok(initramfs.build()?)
}
