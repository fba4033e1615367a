//! The distribution's program that makes `grub.cfg` from the defaults.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::boot::{Layout, grub};
use crate::root::Root;

/// One `grub.cfg` that has to be made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regeneration {
    pub config: PathBuf,
    /// The program and its arguments; `None` where this system has none.
    pub command: Option<Vec<String>>,
}

/// Why `grub.cfg` was not made anew.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("start `{command}`")]
    Start {
        command: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{command}` failed ({status}); run it again when its complaint is mended")]
    Failed { command: String, status: std::process::ExitStatus },
}

const PROGRAM_DIRECTORIES: [&str; 5] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin"];

fn program(root: &Root, name: &str) -> Option<String> {
    PROGRAM_DIRECTORIES
        .iter()
        .map(|directory| format!("{directory}/{name}"))
        .find(|path| root.path(path).is_file())
}

/// All the `grub.cfg` files of a system. Debian's `update-grub` knows by itself where its own is.
pub(crate) fn regenerations(root: &Root, layout: &Layout) -> Vec<Regeneration> {
    let mut configs: Vec<PathBuf> = layout.generated.iter().map(|(path, _)| path.clone()).collect();
    if configs.is_empty() {
        configs.push(grub::config_place(root));
    }
    let regeneration = |config: PathBuf| {
        let path = config.to_string_lossy().into_owned();
        let update =
            program(root, "update-grub").filter(|_| path == "/boot/grub/grub.cfg").map(|update| vec![update]);
        let make = || program(root, "grub2-mkconfig").or_else(|| program(root, "grub-mkconfig"));
        let command = update.or_else(|| make().map(|make| vec![make, "-o".to_owned(), path]));
        Regeneration { config, command }
    };
    configs.into_iter().map(regeneration).collect()
}

impl Regeneration {
    /// The command as it would be typed.
    #[must_use]
    pub fn shown(&self) -> Option<String> {
        self.command.as_ref().map(|command| command.join(" "))
    }

    /// Runs the program; what it says goes where this process's complaints go.
    pub(crate) fn run(&self) -> Result<(), ToolError> {
        let Some((program, arguments)) = self.command.as_ref().and_then(|command| command.split_first())
        else {
            return Ok(());
        };
        let command = self.shown().unwrap_or_default();
        let output = std::io::stderr();
        let started = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(output).status();
        match started {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ToolError::Failed { command, status }),
            Err(source) => Err(ToolError::Start { command, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_told_with_its_command() {
        let run = |code: &str| {
            let command = Some(["/bin/sh", "-c", code].map(str::to_owned).to_vec());
            Regeneration { config: "/boot/grub/grub.cfg".into(), command }.run()
        };
        assert!(run("exit 0").is_ok());
        assert_eq!(
            run("exit 3").unwrap_err().to_string(),
            "`/bin/sh -c exit 3` failed (exit status: 3); run it again when its complaint is mended"
        );
    }
}
