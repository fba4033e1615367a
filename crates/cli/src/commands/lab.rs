//! `sevirt lab …`: SEV guests on a machine without SEV, in an emulated AMD host with a simulated secure processor.

mod exec;
mod image;
mod progress;
mod run;
mod tell;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::lab::listen::Ending;
use ::lab::outer::Accelerator;
use ::lab::state::State;
use ::lab::tools::Tools;
use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

/// The lab's outer machine could not be started, or broke.
const CANNOT_START: u8 = 4;
const TIMED_OUT: u8 = 6;

/// Run SEV guests where there is no SEV: in an emulated AMD host with a simulated secure processor
///
/// The lab is a virtual machine of its own, emulated in software, that plays an AMD host: your own root file system,
/// read-only under a layer that is thrown away; real KVM on an emulated AMD processor; and a simulated secure processor
/// whose keys hang from a root that nothing trusts unless told to. Guests take their real SEV paths there, but their
/// memory is not encrypted.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Exec(exec::ExecArgs),
    Shell(exec::ShellArgs),
    Image(image::ImageArgs),
}

/// What all of the lab's machines have in common.
#[derive(Debug, clap::Args)]
struct Common {
    /// Where the lab keeps its simulated platform [default: $XDG_STATE_HOME/sevirt/lab]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// What executes the outer machine; `kvm` wants an AMD host with nested virtualization and is untested
    #[arg(long, value_enum, default_value = "tcg")]
    accel: Accel,

    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Accel {
    Tcg,
    Kvm,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Run(args) => run::run(&args),
        Command::Exec(args) => exec::exec(args),
        Command::Shell(args) => exec::shell(&args),
        Command::Image(args) => image::image(&args),
    }
}

/// The lab of one command: what it is built from and where it keeps its state.
struct Bench {
    tools: Tools,
    state: State,
    accelerator: Accelerator,
    deadline: Option<Instant>,
}

impl Common {
    fn bench(&self) -> anyhow::Result<Bench> {
        let tools = Tools::find()?;
        let directory = match &self.state_dir {
            Some(directory) => directory.clone(),
            None => ::lab::state::default_directory()?,
        };
        let waiting = || {
            crate::style::note(&format_args!(
                "another lab uses `{}`; waiting for it to end",
                directory.display()
            ));
        };
        let state = State::open(&directory, waiting)?;
        let accelerator = match self.accel {
            Accel::Tcg => Accelerator::Tcg,
            Accel::Kvm => Accelerator::Kvm,
        };
        let deadline = self.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Ok(Bench { tools, state, accelerator, deadline })
    }
}

impl Bench {
    /// Makes the simulated platform's keys, the first time.
    fn platform(&self) -> anyhow::Result<()> {
        let output = std::process::Command::new(&self.tools.sevsim)
            .args(["init", "--state-dir"])
            .arg(self.state.platform())
            .output()
            .with_context(|| format!("start `{}`", self.tools.sevsim.display()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            anyhow::bail!("make the simulated platform's keys: {}", words.trim());
        }
        Ok(())
    }
}

/// The exit code that tells how a machine's job ended.
fn exit_code(ending: &Ending) -> ExitCode {
    ExitCode::from(exit_number(ending))
}

fn exit_number(ending: &Ending) -> u8 {
    match ending {
        Ending::Exited(code) => *code,
        Ending::TimedOut => TIMED_OUT,
        Ending::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
    }
}
