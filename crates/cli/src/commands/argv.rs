//! `sevirt argv FILE`: the command line that would run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use domain::Domain;
use domain::model::ProblemKind;

use crate::facts::HostFacts;
use crate::facts::cached_caps;
use crate::input::Input;
use crate::style;

/// Where the files of a run would lie; a real start makes a directory of its own.
const RUN_DIRECTORY: &str = "/run/sevirt/guests/NAME";
/// The first descriptor after the standard ones; a real start passes the one it has.
const MONITOR: i32 = 3;

/// Print the QEMU command line of a domain, in the form of `virsh domxml-to-native qemu-argv`
///
/// It is what `sevirt run` would execute, except for the names of the run's own directory and descriptors. Nothing is
/// started but, where its abilities are not known yet, the QEMU binary that is asked for them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Domain XML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let input = Input::read(&args.file)?;
    let document = input.parse().with_context(|| format!("`{}` is not well-formed", input.name))?;
    let (domain, problems) = Domain::read(&document);
    for problem in &problems {
        let place = document.position(problem.span.start);
        let kind = match problem.kind {
            ProblemKind::Malformed => "malformed",
            ProblemKind::NotModelled => "not modelled",
        };
        style::note(&format_args!(
            "{}:{}:{}: {kind}: {}",
            input.name, place.line, place.column, problem.message
        ));
    }
    let mut host = HostFacts::live();
    host.about(&document);
    let caps = cached_caps(&daemon::start::emulator(&domain))?;
    let directory = PathBuf::from(RUN_DIRECTORY.replace("NAME", &domain.name.replace('/', "_")));
    let plan = daemon::start::plan(domain, &caps, &host.into_facts(), Path::new(&directory), MONITOR)?;
    for note in plan.notes() {
        style::note(note);
    }
    for left_out in plan.unmodelled() {
        style::note(&format_args!("not carried out: {left_out}"));
    }
    std::io::stdout().lock().write_all(plan.to_shell().as_bytes()).context("write the command line")?;
    Ok(ExitCode::SUCCESS)
}
