//! `sevirt lint FILE…`: what will stop a domain from running as a confidential guest on this host.

use std::process::ExitCode;

use clap::ValueEnum;
use domain::Domain;
use rules::{Allowed, Neighbours};

use crate::facts::{FactsArgs, HostFacts};
use crate::input::{self, Input, Source};
use crate::render::text::Tally;
use crate::render::{Judged, Printer, json, sarif, text};
use crate::style::{self, Chain, Look};

/// Say what will stop a domain from starting as a confidential guest on this host
///
/// Exit status: 0 no errors found, 1 errors found, 2 a file could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt lint guest.xml\n  sevirt lint /etc/libvirt/qemu\n  \
                        virsh dumpxml guest | sevirt lint --format json -")]
pub(crate) struct Args {
    /// Domain XML; a directory stands for all domains in `*.xml` files below it, `-` for standard input
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
    let mut out = Printer::new();
    let mut output = Output::new(args.format, out.look);
    out.print(&output.head()?)?;
    let mut failures = Vec::new();
    let sources = input::sources(&args.files);
    if sources.is_empty() {
        style::note(&format!("no `.xml` file is below {}: nothing was judged", args.files.join(", ")));
    }
    let several = sources.len() > 1;
    let mut tally = Tally::default();
    let mut neighbours = Neighbours::default();
    for source in sources {
        match source.and_then(|source| Ok((source.read()?, source))) {
            Err(error) => {
                let error = anyhow::Error::from(error);
                style::complain(&Chain(&error));
                failures.push(Chain(&error).to_string());
            }
            Ok((input, source)) => {
                let Some(judged) = judge(input, &source, &mut facts, &allowed, &mut neighbours) else {
                    continue;
                };
                tally.add(Tally::of(&judged));
                out.print(&output.add(&judged, several)?)?;
                if out.closed {
                    break;
                }
            }
        }
    }
    out.print(&output.end(&tally, &failures, several)?)?;
    out.flush()?;
    Ok(match (failures.is_empty(), tally.refused) {
        (false, _) => ExitCode::from(super::COULD_NOT),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(super::FOUND),
    })
}

/// None for a document that is no domain and that nobody called one.
fn judge(
    input: Input,
    source: &Source,
    facts: &mut HostFacts,
    allowed: &Allowed,
    neighbours: &mut Neighbours,
) -> Option<Judged> {
    match input.parse() {
        Err(error) => Some(Judged::ill_formed(input, &error)),
        Ok(document) if source.passes_over(&document) => {
            style::passed_over(&input.name, document.root().name());
            None
        }
        Ok(document) => {
            let (domain, problems) = Domain::read(&document);
            let facts = facts.about_domain(&domain);
            let mut report = rules::lint_read(&document, domain, &problems, facts, allowed);
            neighbours.judge(&input.name, &document, &mut report, allowed);
            Some(Judged::new(input, document, report.findings, report.allowed))
        }
    }
}

/// What is printed, in each format: a head, a piece for each input, an end.
enum Output {
    Text(Look),
    Json(json::Array),
    Sarif(sarif::Log),
}

impl Output {
    fn new(format: Format, look: Look) -> Self {
        match format {
            Format::Text => Self::Text(look),
            Format::Json => Self::Json(json::Array::default()),
            Format::Sarif => Self::Sarif(sarif::Log::default()),
        }
    }

    fn head(&self) -> anyhow::Result<String> {
        match self {
            Self::Text(_) | Self::Json(_) => Ok(String::new()),
            Self::Sarif(_) => sarif::Log::head(),
        }
    }

    fn add(&mut self, judged: &Judged, several: bool) -> anyhow::Result<String> {
        match self {
            // Among many, those that nothing is wrong with are only counted.
            Self::Text(_) if several && judged.findings.is_empty() && judged.allowed.is_empty() => {
                Ok(String::new())
            }
            Self::Text(look) if several => Ok(format!("{}\n", text::render(judged, *look))),
            Self::Text(look) => Ok(text::render(judged, *look)),
            Self::Json(array) => array.add(judged),
            Self::Sarif(log) => log.add(judged),
        }
    }

    fn end(&self, tally: &Tally, failures: &[String], several: bool) -> anyhow::Result<String> {
        match self {
            Self::Text(_) if several => Ok(text::total(tally, failures.len())),
            Self::Text(_) => Ok(String::new()),
            Self::Json(array) => Ok(array.end().to_owned()),
            Self::Sarif(log) => log.end(failures),
        }
    }
}
