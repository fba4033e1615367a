//! Kernel modules: which ones a module needs, in the order of loading, and their bytes, decompressed.
//!
//! Reads `modules.dep` and `modules.builtin` of one installed kernel, which `depmod` wrote; it loads nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// No module of a distribution is larger than this once decompressed.
const LARGEST_MODULE: u64 = 256 << 20;

/// The modules of one installed kernel.
#[derive(Debug, Clone)]
pub struct ModuleTree {
    directory: PathBuf,
    /// A module's name → its file below `directory` and the names of those it needs.
    loadable: BTreeMap<String, Loadable>,
    builtin: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Loadable {
    file: String,
    /// As in `modules.dep`: what is to be loaded first stands last.
    needs: Vec<String>,
}

/// One module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// With underscores, as `lsmod` shows it.
    pub name: String,
    pub path: PathBuf,
}

/// Why modules could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` has no module `{name}`, and it is not built into the kernel", directory.display())]
    Missing { name: String, directory: PathBuf },
    #[error("`{}` is larger than {} MiB once decompressed", path.display(), LARGEST_MODULE >> 20)]
    TooLarge { path: PathBuf },
    #[error("decompress `{}` with `{program}` (is it installed?)", path.display())]
    Decompressor { path: PathBuf, program: &'static str, source: io::Error },
}

impl ModuleTree {
    /// Reads the module lists in `directory`, which is `/lib/modules/VERSION` on an ordinary machine.
    ///
    /// # Errors
    /// `modules.dep` cannot be read. (A missing `modules.builtin` only means that nothing is built in.)
    pub fn open(directory: &Path) -> Result<Self, ModuleError> {
        let path = directory.join("modules.dep");
        let dependencies = fs::read_to_string(&path).map_err(|source| ModuleError::Read { path, source })?;
        let builtin = fs::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
        Ok(Self {
            directory: directory.to_owned(),
            loadable: dependencies.lines().filter_map(dependency_line).collect(),
            builtin: builtin.lines().map(module_name).collect(),
        })
    }

    /// The modules to load, in order, so that each of `wanted` works. What is built in is left out.
    ///
    /// # Errors
    /// One of them does not exist in this kernel.
    pub fn load_order(&self, wanted: &[&str]) -> Result<Vec<Module>, ModuleError> {
        let mut order: Vec<Module> = Vec::new();
        for name in wanted {
            let name = module_name(name);
            let Some(loadable) = self.loadable.get(&name) else {
                if self.builtin.contains(&name) {
                    continue;
                }
                return Err(ModuleError::Missing { name, directory: self.directory.clone() });
            };
            for name in loadable.needs.iter().rev().chain([&name]) {
                let Some(Loadable { file, .. }) = self.loadable.get(name) else {
                    return Err(ModuleError::Missing {
                        name: name.clone(),
                        directory: self.directory.clone(),
                    });
                };
                if order.iter().all(|module| module.name != *name) {
                    order.push(Module { name: name.clone(), path: self.directory.join(file) });
                }
            }
        }
        Ok(order)
    }
}

impl Module {
    /// The module as the kernel's `init_module` takes it.
    ///
    /// # Errors
    /// The file cannot be read or decompressed.
    pub fn read(&self) -> Result<Vec<u8>, ModuleError> {
        let read = |source| ModuleError::Read { path: self.path.clone(), source };
        let file = fs::File::open(&self.path).map_err(read)?;
        let mut bytes = Vec::new();
        match self.path.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => {
                let mut decoder = liblzma::read::XzDecoder::new(file).take(LARGEST_MODULE + 1);
                decoder.read_to_end(&mut bytes).map_err(read)?;
            }
            Some("zst") => bytes = self.decompress_with("zstd", file)?,
            Some("gz") => bytes = self.decompress_with("gzip", file)?,
            _ => {
                file.take(LARGEST_MODULE + 1).read_to_end(&mut bytes).map_err(read)?;
            }
        }
        if bytes.len() as u64 > LARGEST_MODULE {
            return Err(ModuleError::TooLarge { path: self.path.clone() });
        }
        Ok(bytes)
    }

    /// The compressions of other distributions are left to their own programs.
    fn decompress_with(&self, program: &'static str, file: fs::File) -> Result<Vec<u8>, ModuleError> {
        let failed = |source| ModuleError::Decompressor { path: self.path.clone(), program, source };
        let mut child = Command::new(program)
            .arg("-dc")
            .stdin(file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut bytes = Vec::new();
        let read = match child.stdout.take() {
            Some(output) => output.take(LARGEST_MODULE + 1).read_to_end(&mut bytes),
            None => Ok(0),
        };
        // The pipe is closed by now, so a program that had more to say ends as well.
        let status = child.wait().map_err(failed)?;
        read.map_err(failed)?;
        if !status.success() && bytes.len() as u64 <= LARGEST_MODULE {
            return Err(failed(io::Error::other(status.to_string())));
        }
        Ok(bytes)
    }
}

/// `kernel/arch/x86/kvm/kvm-amd.ko.xz` and `kvm-amd` are both `kvm_amd`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

fn dependency_line(line: &str) -> Option<(String, Loadable)> {
    let (file, needs) = line.split_once(':')?;
    let needs = needs.split_whitespace().map(module_name).collect();
    Some((module_name(file), Loadable { file: file.to_owned(), needs }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/virt/lib/irqbypass.ko.xz:
kernel/arch/x86/kvm/kvm.ko.xz: kernel/virt/lib/irqbypass.ko.xz
kernel/drivers/crypto/ccp/ccp.ko.xz:
kernel/arch/x86/kvm/kvm-amd.ko.xz: kernel/drivers/crypto/ccp/ccp.ko.xz kernel/arch/x86/kvm/kvm.ko.xz kernel/virt/lib/irqbypass.ko.xz
kernel/fs/broken.ko: kernel/fs/gone.ko
";

    fn tree() -> (tempfile::TempDir, ModuleTree) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("modules.dep"), DEP).unwrap();
        fs::write(directory.path().join("modules.builtin"), "kernel/drivers/tty/serial/8250/8250.ko\n")
            .unwrap();
        let tree = ModuleTree::open(directory.path()).unwrap();
        (directory, tree)
    }

    #[track_caller]
    fn check(wanted: &[&str], want: &[&str]) {
        let (_directory, tree) = tree();
        let order = tree.load_order(wanted).unwrap();
        let names: Vec<_> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, want);
    }

    #[test]
    fn what_a_module_needs_is_loaded_first() {
        check(&["kvm-amd"], &["irqbypass", "kvm", "ccp", "kvm_amd"]);
    }

    #[test]
    fn nothing_is_loaded_twice_and_builtin_modules_not_at_all() {
        check(&["8250", "kvm", "kvm_amd"], &["irqbypass", "kvm", "ccp", "kvm_amd"]);
    }

    #[test]
    fn a_missing_module_or_dependency_is_named() {
        let (_directory, tree) = tree();
        for (wanted, named) in [("nvidia", "nvidia"), ("broken", "gone")] {
            let error = tree.load_order(&[wanted]).unwrap_err();
            assert!(matches!(error, ModuleError::Missing { name, .. } if name == named));
        }
    }

    #[test]
    fn an_xz_module_is_decompressed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.ko.xz");
        let mut encoder = liblzma::write::XzEncoder::new(fs::File::create(&path).unwrap(), 6);
        io::Write::write_all(&mut encoder, b"\x7fELF and so on").unwrap();
        encoder.finish().unwrap();
        assert_eq!(Module { name: "a".into(), path }.read().unwrap(), b"\x7fELF and so on");
    }

    #[test]
    fn a_damaged_module_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.ko.xz", "a.ko.gz"] {
            let path = directory.path().join(name);
            fs::write(&path, b"not compressed").unwrap();
            assert!(Module { name: "a".into(), path }.read().is_err(), "{name}");
        }
    }
}
