//! `sevirt lab-agent`: what the lab's outer machine runs as its first process. Of no use to anyone else.

use std::process::ExitCode;

/// The first process of the lab's machine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(Args {}: &Args) -> ExitCode {
    let code = ::lab::agent::run();
    crate::style::complain(&"this command is for the lab's own machine; try `sevirt lab shell`");
    code
}
