//! `sevirt host disable`: takes back what `sevirt host enable` wrote, and nothing else.

use std::process::ExitCode;

use host::settings::{self, Direction};

use super::settings::SettingsArgs;

/// Take back what `sevirt host enable` has written
///
/// Files that nobody has edited since get back the bytes that they had; from others only the words that were written
/// are taken out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt host disable\n  sevirt host disable --apply")]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = settings::disable(&args.settings.root()?)?;
    let nothing = "`sevirt host enable` has written nothing here; nothing to do";
    args.settings.carry_out(&plan, Direction::Disable, nothing)
}
