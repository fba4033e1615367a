//! The list of commands. One file each; this one holds only what is common.

mod argv;
mod caps;
mod certs;
mod completions;
mod daemon;
mod digest;
mod explain;
mod fix;
mod host;
mod import;
mod lab;
mod lab_agent;
mod lint;
mod man;
mod measure;
pub(crate) mod run;
mod secret;
mod secure;
mod session;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a command exits with when it could not be carried out: bad usage, unreadable input, a missing tool.
pub(crate) const COULD_NOT: u8 = 2;

/// What a command that judges exits with when it found errors.
pub(crate) const FOUND: u8 = 1;

/// Launches and manages AMD SEV, SEV-ES and SEV-SNP virtual machines on QEMU/KVM.
#[derive(Debug, Parser)]
#[command(name = "sevirt", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Argv(argv::Args),
    Caps(caps::Args),
    Certs(certs::Args),
    Completions(completions::Args),
    Daemon(daemon::Args),
    Digest(digest::Args),
    Explain(explain::Args),
    Fix(fix::Args),
    Host(host::Args),
    Import(import::Args),
    Lab(lab::Args),
    #[command(hide = true)]
    LabAgent(lab_agent::Args),
    Lint(lint::Args),
    Man(man::Args),
    Measure(measure::Args),
    Run(run::Args),
    Secret(secret::Args),
    Secure(secure::Args),
    Session(session::Args),
    Verify(verify::Args),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Argv(args) => argv::run(&args),
            Self::Caps(args) => caps::run(&args),
            Self::Certs(args) => certs::run(&args),
            Self::Completions(args) => completions::run(&args),
            Self::Daemon(args) => daemon::run(&args),
            Self::Digest(args) => digest::run(args),
            Self::Explain(args) => explain::run(&args),
            Self::Fix(args) => fix::run(&args),
            Self::Host(args) => host::run(&args),
            Self::Import(args) => import::run(&args),
            Self::Lab(args) => lab::run(args),
            Self::LabAgent(args) => Ok(lab_agent::run(&args)),
            Self::Lint(args) => lint::run(&args),
            Self::Man(args) => man::run(&args),
            Self::Measure(args) => measure::run(&args),
            Self::Run(args) => run::run(&args),
            Self::Secret(args) => secret::run(&args),
            Self::Secure(args) => secure::run(&args),
            Self::Session(args) => session::run(&args),
            Self::Verify(args) => verify::run(&args),
        }
    }
}
