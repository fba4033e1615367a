//! `sevsim`: the simulated AMD secure processor as a process.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};
use sim::client::DEFAULT_SOCKET;
use sim::keys::{NoRandomness, Random};
use sim::server::{self, Server};
use sim::setup::{self, Done, TRUST_ROOT};

/// A simulator of AMD's secure processor, for machines without SEV
///
/// It owns a platform's keys and guests and answers the firmware commands that the preload library libsevsim.so forwards from
/// QEMU and host tools. It signs what it measures with real cryptography, by keys that were made on this machine. Nothing
/// trusts these keys unless it is told to, and no memory is encrypted: never use it for anything that must stay secret.
#[derive(Parser)]
#[command(name = "sevsim", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a root, a chip and a platform's keys, where they are missing
    Init {
        /// Where the keys lie; made with mode 0700
        #[arg(long, value_name = "DIR")]
        state_dir: PathBuf,
    },
    /// Answer commands until SIGTERM or SIGINT
    Serve {
        /// What `sevsim init` made
        #[arg(long, value_name = "DIR")]
        state_dir: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
        socket: PathBuf,
        /// Permissions of the socket, octal: whoever may write to it may use the platform
        #[arg(long, value_name = "MODE", default_value = "600", value_parser = octal_mode)]
        socket_mode: u32,
        /// Write no line for each command to standard error
        #[arg(long)]
        quiet: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            server::log_to_stderr(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Init { state_dir } => {
            let (state, done) = setup::init(&state_dir, &mut SystemRandom)?;
            let what = match done {
                Done::Made => "made a simulated platform in",
                Done::Nothing => "there is a complete simulated platform in",
            };
            let id: String = state.chip.id().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            say(&format!(
                "{what} {}\nchip {id}…\ntrust root {}",
                state_dir.display(),
                state_dir.join(TRUST_ROOT).display()
            ))
        }
        Action::Serve { state_dir, socket, socket_mode, quiet } => {
            let (stop, signalled) = UnixStream::pair().context("make a socket pair")?;
            for signal in [SIGTERM, SIGINT] {
                let waker = signalled.try_clone().context("duplicate a socket")?;
                signal_hook::low_level::pipe::register(signal, waker).context("handle SIGTERM and SIGINT")?;
            }
            let log = if quiet { server::no_log } else { server::log_to_stderr };
            let server = Server::bind(&state_dir, &socket, socket_mode, Box::new(SystemRandom), log)?;
            say(&format!("sevsim: listening on {}", server.socket().display()))?;
            Ok(server.run(stop)?)
        }
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("write to standard output")
}

fn octal_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("permissions are up to three octal digits".to_owned()),
    }
}

/// The operating system's randomness.
struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|_| NoRandomness)
    }
}
