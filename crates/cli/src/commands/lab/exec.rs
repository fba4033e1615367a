//! `sevirt lab exec` and `sevirt lab shell`: any program, or a shell, inside the lab's outer machine.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use ::lab::job::{Job, Simulation};
use ::lab::listen::{Event, Input, window_size};
use ::lab::machine::{Machine, Setup};
use ::lab::memory;
use anyhow::Context as _;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::progress::Progress;
use super::{Bench, CANNOT_START, Common, exit_code};

/// Memory for what runs in the outer machine, beside the machine's own.
const MEMORY_MIB: u64 = 1024;

/// Variables of the caller that a program inside may want; all else is the outer machine's.
const KEPT: &[&str] = &["TERM", "LANG", "LC_ALL", "RUST_LOG", "RUST_BACKTRACE"];

/// Run a program in the lab's machine, with this machine's files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The program finds /dev/sev, KVM and the simulated secure processor; it is root there. What it writes \
        is thrown away. The exit code is its own; 4 if the lab could not start, 6 if the time was up.\n\n\
        Examples:\n  sevirt lab exec -- dmesg\n  sevirt lab exec --memory 4096 -- virsh domcapabilities"
)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    common: Common,

    /// Memory for what runs there, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB)]
    memory: u64,

    /// Set a variable for the program, or pass on this command's
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<String>,

    /// A plain machine with nested virtualization, without the simulated secure processor
    #[arg(long)]
    no_sim: bool,

    /// Tell the stages of the machine's start on standard error
    #[arg(short, long)]
    verbose: bool,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Open a shell in the lab's machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sevirt lab shell")]
pub(super) struct ShellArgs {
    #[command(flatten)]
    common: Common,

    /// Memory for what runs there, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB)]
    memory: u64,
}

pub(super) fn exec(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let bench = args.common.bench()?;
    let mut environment = environment();
    for assignment in &args.environment {
        let (name, value) = match assignment.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (
                assignment.as_str(),
                env::var(assignment).with_context(|| format!("pass on `{assignment}`"))?,
            ),
        };
        environment.insert(name.to_owned(), value);
    }
    let simulation = (!args.no_sim).then(|| bench.simulation()).transpose()?;
    let job = Job {
        command: args.command,
        directory: env::current_dir().unwrap_or_default(),
        environment,
        simulation,
        ..Job::default()
    };
    let stdin = io::stdin();
    run(&bench, &job, args.memory, Input::stdin(&stdin, false), args.verbose)
}

pub(super) fn shell(args: &ShellArgs) -> anyhow::Result<ExitCode> {
    let stdin = io::stdin();
    anyhow::ensure!(
        stdin.is_terminal() && io::stdout().is_terminal(),
        "a shell wants a terminal; `sevirt lab exec -- COMMAND` does not"
    );
    let bench = args.common.bench()?;
    let input = Input::stdin(&stdin, true);
    let Input::Terminal(terminal) = input else { return Ok(ExitCode::from(CANNOT_START)) };
    let job = Job {
        command: vec!["bash".to_owned(), "-l".to_owned()],
        directory: env::current_dir().unwrap_or_default(),
        environment: environment(),
        terminal: Some(window_size(terminal)),
        simulation: Some(bench.simulation()?),
        ..Job::default()
    };
    run(&bench, &job, args.memory, input, false)
}

/// Runs a job whose streams are this command's.
fn run(
    bench: &Bench,
    job: &Job,
    memory_mib: u64,
    input: Input<'_>,
    verbose: bool,
) -> anyhow::Result<ExitCode> {
    let setup = Setup {
        tools: &bench.tools,
        state: &bench.state,
        accelerator: bench.accelerator,
        memory_mib: memory::reserve(memory_mib)?,
        disks: &[],
        job,
    };
    let progress =
        Progress::new(if verbose { super::progress::Style::Lines } else { super::progress::Style::Spinner });
    let raw = if let Input::Terminal(_) = input { Some(Raw::new()?) } else { None };
    let ended = Machine::start(&setup).map_err(anyhow::Error::new).and_then(|mut machine| {
        let mut on_event = |event: Event<'_>| match event {
            Event::Stage { name, took } => {
                progress.stage(name, took);
                Ok(())
            }
            Event::Stdout(bytes) => {
                progress.hide();
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Event::Stderr(bytes) | Event::Console(bytes) => {
                progress.hide();
                io::stderr().write_all(bytes)
            }
        };
        Ok(machine.listen(input, bench.deadline, &mut on_event)?)
    });
    drop(raw);
    progress.hide();
    match ended {
        Ok(ending) => Ok(exit_code(&ending)),
        Err(error) => {
            crate::style::complain(&crate::style::Chain(&error));
            Ok(ExitCode::from(CANNOT_START))
        }
    }
}

impl Bench {
    pub(super) fn simulation(&self) -> anyhow::Result<Simulation> {
        self.platform()?;
        Ok(Simulation { server: self.tools.sevsim.clone(), shim: self.tools.shim.clone() })
    }
}

/// Root's environment in the outer machine.
pub(super) fn environment() -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from(
        [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOME", "/root"),
            ("USER", "root"),
            ("LOGNAME", "root"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    environment
        .extend(KEPT.iter().filter_map(|name| env::var(name).ok().map(|value| ((*name).to_owned(), value))));
    environment
}

/// The user's terminal without line editing and signals of its own; as before when dropped.
struct Raw(Termios);

impl Raw {
    fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("read the terminal's mode")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw).context("set the terminal's mode")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
