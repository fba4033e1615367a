//! `sevirt man [DIR]`: the manual pages, made from the same definitions as the parser.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

/// Print sevirt(1), or write one manual page a command into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt man | man -l -\n  sevirt man /usr/local/share/man/man1")]
pub(crate) struct Args {
    /// Where to write sevirt.1, sevirt-lint.1, …
    directory: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let command = super::Cli::command();
    match &args.directory {
        Some(directory) => clap_mangen::generate_to(command, directory)
            .with_context(|| format!("write manual pages to `{}`", directory.display()))?,
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout().lock())?,
    }
    Ok(ExitCode::SUCCESS)
}
