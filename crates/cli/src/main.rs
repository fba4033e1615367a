//! The `sevirt` binary: parses the command line, calls the crate that does the work, renders its answer.
//!
//! What it deliberately does not do: decide anything. A command here is parse → call → render.

mod commands;
mod facts;
mod input;
mod owner;
mod render;
mod style;

use std::process::ExitCode;

use clap::Parser as _;

use crate::style::Chain;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    match cli.command.run() {
        Ok(code) => code,
        Err(error) => {
            style::complain(&Chain(&error));
            ExitCode::from(commands::COULD_NOT)
        }
    }
}
