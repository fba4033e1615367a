//! The list of commands. One file each; this one holds only what is common.

mod completions;
mod lab;
mod lab_agent;
mod man;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a command exits with when it could not be carried out: bad usage, unreadable input, a missing tool.
pub(crate) const COULD_NOT: u8 = 2;

/// Launches and manages AMD SEV, SEV-ES and SEV-SNP virtual machines on QEMU/KVM.
#[derive(Debug, Parser)]
#[command(name = "sevirt", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Completions(completions::Args),
    Lab(lab::Args),
    #[command(hide = true)]
    LabAgent(lab_agent::Args),
    Man(man::Args),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Completions(args) => completions::run(&args),
            Self::Lab(args) => lab::run(args),
            Self::LabAgent(args) => Ok(lab_agent::run(&args)),
            Self::Man(args) => man::run(&args),
        }
    }
}
