//! The `sevirt` binary: parses the command line, calls the crate that does the work, renders its answer.
//!
//! What it deliberately does not do: decide anything. A command here is parse → call → render.

mod commands;
mod facts;
mod input;
mod owner;
mod render;
mod replace;
mod style;
mod tech;

use std::process::ExitCode;

use clap::Parser as _;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::style::Chain;

fn main() -> ExitCode {
    withhold_memory();
    let cli = commands::Cli::parse();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => {
            style::complain(&Chain(&error));
            ExitCode::from(commands::COULD_NOT)
        }
    }
}

/// Owners' keys and secrets lie in this process's memory: it leaves no core dump, and other processes of the same user
/// cannot read it. QEMU and other children are not concerned, since what they execute starts anew.
fn withhold_memory() {
    // Every kernel that runs SEV guests has it.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_withheld() {
        withhold_memory();
        let now = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(now, DumpableBehavior::NotDumpable);
    }
}
