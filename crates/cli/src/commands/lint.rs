//! `sevirt lint FILE…`: what will stop a domain from running as a confidential guest on this host.

use std::process::ExitCode;

use clap::ValueEnum;
use rules::{Allowed, Severity};

use crate::facts::{FactsArgs, HostFacts};
use crate::input::Input;
use crate::render::{Judged, json, print, sarif, text};
use crate::style::{self, Chain};

/// Say what will stop a domain from starting as a confidential guest on this host
///
/// Exit status: 0 no errors found, 1 errors found, 2 a file could not be read.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sevirt lint guest.xml\n  virsh dumpxml guest | sevirt lint --format json -"
)]
pub(crate) struct Args {
    /// Domain XML; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Do not complain about this rule (code or name); may be given more than once
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    #[command(flatten)]
    facts: FactsArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, with the places in the source
    Text,
    /// A JSON array of findings
    Json,
    /// SARIF 2.1.0, for code scanners
    Sarif,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let allowed = Allowed::named(args.allow.iter().map(String::as_str))?;
    let mut facts = args.facts.gather()?;
    let mut could_not = false;
    let mut judged = Vec::new();
    for file in &args.files {
        match Input::read(file) {
            Ok(input) => judged.push(judge(input, &mut facts, &allowed)),
            Err(error) => {
                could_not = true;
                style::complain(&Chain(&error.into()));
            }
        }
    }
    let shown = match args.format {
        Format::Text => judged.iter().map(text::render).collect(),
        Format::Json => json::render(&judged)?,
        Format::Sarif => sarif::render(&judged)?,
    };
    print(&shown)?;
    let errors = judged.iter().any(|judged| judged.count(Severity::Error) > 0);
    Ok(match (could_not, errors) {
        (true, _) => ExitCode::from(super::COULD_NOT),
        (false, true) => ExitCode::from(super::FOUND),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn judge(input: Input, facts: &mut HostFacts, allowed: &Allowed) -> Judged {
    match input.parse() {
        Err(error) => Judged::ill_formed(input, &error),
        Ok(document) => {
            let report = rules::lint(&document, facts.about(&document), allowed);
            Judged { input, document: Some(document), findings: report.findings, allowed: report.allowed }
        }
    }
}
