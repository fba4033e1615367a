//! `sevirt host …`: what a host is, whether it can run confidential guests, and how to make it.

mod check;
mod disable;
mod enable;
mod facts;
mod limits;
mod settings;

use std::process::ExitCode;

/// Look at the host: what it is and whether it can run confidential guests
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Check(check::Args),
    Disable(disable::Args),
    Enable(enable::Args),
    Facts(facts::Args),
    Limits(limits::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Check(args) => check::run(args),
        Action::Disable(args) => disable::run(args),
        Action::Enable(args) => enable::run(args),
        Action::Facts(args) => facts::run(args),
        Action::Limits(args) => limits::run(args),
    }
}
