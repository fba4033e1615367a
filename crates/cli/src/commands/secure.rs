//! `sevirt secure FILE --tech …`: turns an ordinary domain into a confidential one.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use rules::secure::{Change, Policy, Secured, Wish, secure};
use rules::{Allowed, Safety, Severity, Technology};

use crate::facts::FactsArgs;
use crate::input::{Input, STDIN, Source};
use crate::render::{Judged, Printer, diff, text};
use crate::replace::replace;
use crate::style::{self, Look};
use crate::tech::Tech;

/// Turn an ordinary domain into a confidential one
///
/// Shows one diff that says of each change what it does to the guest: launch security with this host's figures, memory
/// pinned, firmware that can boot the guest, devices that work in encrypted memory. Changes by which the guest sees
/// other devices, or boots another firmware, are asked for, one by one, on a terminal; elsewhere they want `--unsafe`
/// and are named and left out without it. Nothing is written without `--write`. Exit status: 0 the domain is ready,
/// 1 something was left out or is left to do, 2 it could not be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt secure guest.xml --tech sev-es\n  \
                        sevirt secure guest.xml --tech sev-snp --unsafe --write\n  \
                        virsh dumpxml --inactive guest | sevirt secure - --tech sev --unsafe --write >new.xml\n\n\
                        Policies: no-debug, no-key-sharing, es, no-send, domain, sev for SEV and SEV-ES; smt, migrate, \
                        debug, single-socket, cxl, aes-256-xts, no-power-limits, ciphertext-hiding, no-page-swap for \
                        SEV-SNP; or a number, 0x7. Unless told otherwise nobody may debug the guest or share its key, \
                        and SEV-SNP guests may run on hosts with SMT.")]
pub(crate) struct Args {
    /// Domain XML; `-` is standard input, which `--write` answers on standard output
    #[arg(value_name = "FILE")]
    file: String,
    /// What is to protect the guest
    #[arg(long, value_enum, value_name = "TECHNOLOGY")]
    tech: Tech,
    /// The guest policy: words with commas between them, or a hexadecimal number
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Also make changes by which the guest sees other devices or boots another firmware, without asking
    #[arg(long = "unsafe")]
    allow_unsafe: bool,
    /// Show what would change (the default)
    #[arg(long, conflicts_with = "write")]
    diff: bool,
    /// Replace the file
    #[arg(long)]
    write: bool,
    /// Leave this rule alone (code or name); may be given more than once
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    #[command(flatten)]
    facts: FactsArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let technology = args.tech.into();
    let policy = args.policy.as_deref().map(|words| Policy::parse(words, technology)).transpose()?;
    let wish = Wish { technology, policy };
    let allowed = Allowed::named(args.allow.iter().map(String::as_str))?;
    let mut facts = args.facts.gather()?;
    let input = Input::read(&args.file)?;
    let document = match input.parse() {
        Ok(document) => document,
        Err(error) => {
            let shown = text::render(&Judged::ill_formed(input, &error), Look::of(&io::stderr()));
            io::stderr().lock().write_all(shown.as_bytes())?;
            return Ok(ExitCode::from(super::COULD_NOT));
        }
    };
    anyhow::ensure!(document.root().name() == "domain", "`{}` is no domain", input.name);
    let facts = facts.about(&document);
    let interactive = !args.allow_unsafe
        && args.file != STDIN
        && [io::stdin().is_terminal(), io::stderr().is_terminal()] == [true, true];
    let secured = secure(&document, facts, &allowed, &wish, |change| {
        change.safety == Safety::Safe || args.allow_unsafe || (interactive && ask(change))
    });
    let told = tell(&input.name, technology, &secured, interactive);
    let mut out = Printer::new();
    if args.write {
        anstream::stderr().lock().write_all(told.as_bytes())?;
        write(&args.file, &input, &secured, &mut out)?;
    } else {
        let changes = diff::unified(&input.name, document.text(), secured.document.text());
        out.print(&told)?;
        out.print(&if out.look.colour { style::diff(&changes) } else { changes })?;
    }
    out.flush()?;
    let ready = secured.left_out.is_empty() && !secured.report.has_errors();
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::from(super::FOUND) })
}

fn write(file: &str, input: &Input, secured: &Secured, out: &mut Printer) -> anyhow::Result<()> {
    if file == STDIN {
        out.print(secured.document.text())?;
    } else if let Some(path) = Source::File(file.into()).path()
        && !secured.made.is_empty()
    {
        replace(path, &input.text, secured.document.text())
            .with_context(|| format!("write `{}`", input.name))?;
    }
    Ok(())
}

/// One question on the terminal. What is not answered is not wanted.
fn ask(change: &Change) -> bool {
    let look = Look::of(&io::stderr());
    let mut stderr = anstream::stderr().lock();
    let effect = capitalised(&change.effect);
    let question = format!("{}: {}\n  {effect}.\n", change.topic, change.title);
    let asked = write!(stderr, "\n{}make this change? [y/N] ", wrap(look, &question))
        .and_then(|()| stderr.flush())
        .is_ok();
    let mut answer = String::new();
    asked && io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// What stands before the diff, in lines that `patch` passes over.
fn tell(name: &str, technology: Technology, secured: &Secured, asked: bool) -> String {
    let mut out = String::new();
    let changes = secured.made.len();
    let plural = if changes == 1 { "" } else { "s" };
    let _ = writeln!(out, "{name}: {technology}, {changes} change{plural}");
    for (number, change) in (1..).zip(&secured.made) {
        let _ = writeln!(out, "{number}. {}: {}", change.topic, change.title);
        let _ = writeln!(out, "   {}.", capitalised(&change.effect));
    }
    if !secured.left_out.is_empty() {
        let why = if asked { "not wanted" } else { "not made without `--unsafe`" };
        let _ = writeln!(out, "Left out, {why}:");
        for change in &secured.left_out {
            let _ = writeln!(out, "-  {}: {}", change.topic, change.title);
            let _ = writeln!(out, "   {}.", capitalised(&change.effect));
        }
    }
    let worth = |severity: &Severity| *severity != Severity::Note;
    let left: Vec<_> = secured.report.findings.iter().filter(|it| worth(&it.severity)).collect();
    if !left.is_empty() {
        let _ = writeln!(out, "Left to do:");
        for finding in left {
            let position = secured.document.position(finding.span.start);
            let (severity, code, message) = (finding.severity, finding.code, &finding.message);
            let _ = writeln!(out, "-  {position}: {severity} {code}: {message}");
        }
    }
    // The same on every day and in every window, so that it can be kept with the diff.
    let look = Look { colour: false, width: Some(98) };
    wrap(look, &out).lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Each line wrapped, what is wrapped as far in as the line's text.
fn wrap(look: Look, text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mark = |letter: char| letter.is_ascii_digit() || matches!(letter, ' ' | '-' | '.');
        let indent = line.len() - line.trim_start_matches(mark).len();
        let (start, rest) = line.split_at(indent);
        let inner = " ".repeat(indent);
        let _ = writeln!(out, "{start}{}", look.wrap(rest, indent).replace('\n', &format!("\n{inner}")));
    }
    out
}
