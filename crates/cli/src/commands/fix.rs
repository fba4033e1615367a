//! `sevirt fix FILE…`: mends what `lint` finds, touching no byte that a fix does not name.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use rules::{Allowed, Fixed, Safety};

use crate::facts::{FactsArgs, HostFacts};
use crate::input::{self, Source};
use crate::render::{Judged, Printer, diff, text};
use crate::replace::replace;
use crate::style::{self, Chain, Look};

/// Mend what `lint` finds; only the bytes that a fix names change
///
/// Without `--write` nothing is written: the diff is shown. Exit status: 0 no errors are left, 1 some are, 2 it could not
/// be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt fix guest.xml\n  sevirt fix *.xml --write\n  \
                        virsh dumpxml guest | sevirt fix - --write >fixed.xml")]
pub(crate) struct Args {
    /// Domain XML; a directory stands for all domains in `*.xml` files below it, `-` for standard input, which `--write`
    /// answers on standard output
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Show what would change (the default)
    #[arg(long, conflicts_with = "write")]
    diff: bool,
    /// Replace the files
    #[arg(long)]
    write: bool,
    /// Also make fixes that change the launch measurement or the guest's view of its devices
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
    /// Leave this rule alone (code or name); may be given more than once
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    #[command(flatten)]
    facts: FactsArgs,
}

/// What came of one file.
enum Outcome {
    Mended,
    ErrorsLeft,
    CouldNot,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let allowed = Allowed::named(args.allow.iter().map(String::as_str))?;
    let mut facts = args.facts.gather()?;
    let mut out = Printer::new();
    let (mut errors_left, mut could_not) = (false, false);
    for source in input::sources(&args.files) {
        let outcome = source.map_err(anyhow::Error::from);
        match outcome.and_then(|source| one(args, &source, &mut facts, &allowed, &mut out)) {
            Ok(Outcome::Mended) => {}
            Ok(Outcome::ErrorsLeft) => errors_left = true,
            Ok(Outcome::CouldNot) => could_not = true,
            Err(error) => {
                could_not = true;
                style::complain(&Chain(&error));
            }
        }
    }
    out.flush()?;
    Ok(match (could_not, errors_left) {
        (true, _) => ExitCode::from(super::COULD_NOT),
        (false, true) => ExitCode::from(super::FOUND),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn one(
    args: &Args,
    source: &Source,
    facts: &mut HostFacts,
    allowed: &Allowed,
    out: &mut Printer,
) -> anyhow::Result<Outcome> {
    let input = source.read()?;
    let document = match input.parse() {
        Ok(document) => document,
        Err(error) => {
            let look = Look::of(&std::io::stderr());
            let shown = text::render(&Judged::ill_formed(input, &error), look);
            std::io::stderr().lock().write_all(shown.as_bytes())?;
            return Ok(Outcome::CouldNot);
        }
    };
    if source.passes_over(&document) {
        style::passed_over(&input.name, document.root().name());
        return Ok(Outcome::Mended);
    }
    let safety = if args.allow_unsafe { Safety::Unsafe } else { Safety::Safe };
    let facts = facts.about(&document);
    let Fixed { document: fixed, applied } = rules::fix(&document, facts, allowed, safety);
    if !args.write {
        let diff = diff::unified(&input.name, document.text(), fixed.text());
        let shown = if out.look.colour { style::diff(&diff) } else { diff };
        out.print(&shown)?;
    } else if let Some(path) = source.path() {
        if !applied.is_empty() {
            replace(path, document.text(), fixed.text())
                .with_context(|| format!("write `{}`", input.name))?;
        }
    } else {
        out.print(fixed.text())?;
    }
    let mut told = anstream::stderr().lock();
    for fix in &applied {
        writeln!(told, "{}: {} {}: {}", input.name, fix.code, fix.name, fix.title)?;
    }
    if applied.is_empty() {
        writeln!(told, "{}: nothing to fix", input.name)?;
    }
    if !rules::lint(&fixed, facts, allowed).has_errors() {
        return Ok(Outcome::Mended);
    }
    writeln!(told, "{}: errors are left that no fix was made for; `sevirt lint` shows them", input.name)?;
    Ok(Outcome::ErrorsLeft)
}
