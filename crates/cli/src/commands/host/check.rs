//! `sevirt host check`: can this host run confidential guests, and if not, why and what to do first.

use std::process::ExitCode;

use clap::ValueEnum;
use rules::Technology;
use rules::host::{HostReport, Verdict, check, validate};

use crate::commands::{COULD_NOT, FOUND};
use crate::facts::FactsArgs;
use crate::render::{host, print};
use crate::tech::Tech;

/// Say whether this host can run confidential guests, now and after the next boot, and what to do first if not
///
/// Exit status: 0 it can, 1 it cannot, 2 that could not be told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt host check\n  sevirt host check --tech sev-snp\n  \
                        sevirt host check --format json --root /mnt/other-machine\n  \
                        sevirt explain HOST016")]
pub(crate) struct Args {
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Judge only these technologies; the exit status is that of the worst [default: all, exit status by sev]
    #[arg(long, value_enum, value_name = "TECHNOLOGY", value_delimiter = ',')]
    tech: Vec<Tech>,
    #[command(flatten)]
    facts: FactsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object; docs/host-check.md tells its shape
    Json,
    /// The secure-guest lines of `virt-host-validate qemu`
    Libvirt,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let facts = args.facts.gather()?.with_emulators()?.into_facts();
    let report = check(&facts);
    let asked: Vec<Technology> = args.tech.iter().copied().map(Technology::from).collect();
    let shown = if asked.is_empty() { Technology::ALL.to_vec() } else { asked.clone() };
    print(&match args.format {
        Format::Text => host::text(&facts, &report, &shown),
        Format::Json => host::json(&facts, &report, &shown)?,
        Format::Libvirt => host::libvirt(&validate(&facts)),
    })?;
    let decisive = if asked.is_empty() { vec![Technology::Sev] } else { asked };
    Ok(exit_code(&report, &decisive))
}

fn exit_code(report: &HostReport, technologies: &[Technology]) -> ExitCode {
    let any = |verdict| technologies.iter().any(|technology| report.judgement(*technology).now == verdict);
    if any(Verdict::Cannot) {
        ExitCode::from(FOUND)
    } else if any(Verdict::CouldNotTell) {
        ExitCode::from(COULD_NOT)
    } else {
        ExitCode::SUCCESS
    }
}
