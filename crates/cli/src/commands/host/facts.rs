//! `sevirt host facts`: what is known about a host, and what could not be looked at.

mod rows;

use std::process::ExitCode;

use crate::facts::FactsArgs;
use crate::render::print;

/// Show what is known about a host
///
/// The JSON that `--json` prints is taken by `--facts FILE` of every command that judges by a host.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sevirt host facts\n  sevirt host facts --json > host.json\n  sevirt lint --facts host.json guest.xml"
)]
pub(crate) struct Args {
    /// Print JSON; docs/facts.md names every key
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    facts: FactsArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let facts = args.facts.gather()?.with_emulators()?.into_facts();
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&facts.to_json())?)
    } else {
        rows::table(&facts)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
