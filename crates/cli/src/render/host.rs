//! A judged host: for people, as JSON, and as virt-host-validate prints it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use host::{Emulator, Facts};
use rules::host::{Effect, HostFinding, HostReport, Judgement, Validation, Verdict, When};
use rules::{Severity, Technology};
use serde::Serialize;

use crate::style::ERROR;

const BOLD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const UNSURE: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// Verdicts in a table, then what was found: what prevents first, in the order in which it is mended.
pub(crate) fn text(facts: &Facts, report: &HostReport, technologies: &[Technology]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{BOLD}{}{BOLD:#}", headline(facts));
    if report.simulated.is_some() {
        let _ = writeln!(out, "{UNSURE}simulated platform: memory is not encrypted{UNSURE:#}");
    }
    let _ = writeln!(out, "\n{:<10}{:<16}{:<18}first thing to do", "", "now", "after a reboot");
    for technology in technologies {
        let Judgement { now, next_boot, .. } = report.judgement(*technology);
        let first = report.first(*technology);
        let todo = first.map_or(String::new(), |finding| match finding.commands.first() {
            Some(command) => command.clone(),
            None => finding.help.clone().unwrap_or_else(|| format!("see {}", finding.code)),
        });
        let row =
            format!("{:<10}{}{}{todo}", technology.to_string(), verdict(now, 16), verdict(next_boot, 18));
        let _ = writeln!(out, "{}", row.trim_end());
    }
    let mut findings: Vec<&HostFinding> = concerned(report, technologies).collect();
    findings.sort_by_key(|finding| (finding.effect, finding.severity));
    for finding in findings {
        out.push('\n');
        describe(&mut out, finding);
    }
    out
}

/// What was found about any of the technologies.
fn concerned<'r>(
    report: &'r HostReport,
    technologies: &'r [Technology],
) -> impl Iterator<Item = &'r HostFinding> {
    let about = |finding: &&HostFinding| finding.technologies.iter().any(|it| technologies.contains(it));
    report.findings.iter().filter(about)
}

fn headline(facts: &Facts) -> String {
    let vendor = facts.cpu.vendor.known().map_or("processor unknown", String::as_str);
    let generation = facts.cpu.generation().map_or(String::new(), |name| format!(" ({name})"));
    let kernel = facts.kernel_release.known().map_or("unknown", String::as_str);
    let qemu = facts.emulators.iter().find_map(|Emulator { version, .. }| version.known());
    let qemu = qemu.map_or(String::new(), |version| format!(", QEMU {version}"));
    format!("{vendor}{generation}, Linux {kernel}{qemu}")
}

fn verdict(verdict: Verdict, width: usize) -> String {
    let style = match verdict {
        Verdict::Can => GOOD,
        Verdict::Cannot => ERROR,
        Verdict::CouldNotTell => UNSURE,
    };
    let word = verdict.to_string();
    let fill = width.saturating_sub(word.len());
    format!("{style}{word}{style:#}{:fill$}", "")
}

fn describe(out: &mut String, finding: &HostFinding) {
    let (style, word) = match (finding.effect, finding.severity) {
        (Effect::Prevents, _) => (ERROR, "cannot"),
        (Effect::Unclear, _) => (UNSURE, "unclear"),
        (Effect::Remark, Severity::Note) => (NOTE, "note"),
        (Effect::Remark, _) => (UNSURE, "warning"),
    };
    let names: Vec<String> = finding.technologies.iter().map(ToString::to_string).collect();
    let when = match finding.when {
        When::Now => ", now",
        When::NextBoot => ", after a reboot",
        When::Always => "",
    };
    let HostFinding { code, message, .. } = finding;
    let _ = writeln!(
        out,
        "{style}{word}{style:#} {code} {BOLD}{message}{BOLD:#} {QUIET}({}{when}){QUIET:#}",
        names.join(", ")
    );
    for evidence in &finding.evidence {
        let rules::host::Evidence { fact, source, value } = evidence;
        let _ = writeln!(out, "    {QUIET}found{QUIET:#} {fact} = {value} {QUIET}({source}){QUIET:#}");
    }
    if let Some(help) = &finding.help {
        let _ = writeln!(out, "    {QUIET}help{QUIET:#}  {help}");
    }
    for command in &finding.commands {
        let _ = writeln!(out, "    {QUIET}type{QUIET:#}  {GOOD}{command}{GOOD:#}");
    }
}

/// The shape of `--format json`; `docs/host-check.md` tells it, and it only grows.
#[derive(Debug, Serialize)]
struct Shape<'r> {
    version: u32,
    simulated: Option<&'r str>,
    generation: Option<&'static str>,
    technologies: Vec<Judged<'r>>,
    findings: Vec<&'r HostFinding>,
}

#[derive(Debug, Serialize)]
struct Judged<'r> {
    #[serde(flatten)]
    judgement: Judgement,
    reasons: Vec<&'r str>,
    first: Option<First<'r>>,
}

#[derive(Debug, Serialize)]
struct First<'r> {
    code: &'r str,
    help: Option<&'r str>,
    command: Option<&'r str>,
}

pub(crate) fn json(
    facts: &Facts,
    report: &HostReport,
    technologies: &[Technology],
) -> serde_json::Result<String> {
    let judged = |technology: &Technology| {
        let mut reasons: Vec<&str> =
            report.against(*technology, When::Always).map(|finding| finding.code).collect();
        reasons.dedup();
        let first = report.first(*technology).map(|finding| First {
            code: finding.code,
            help: finding.help.as_deref(),
            command: finding.commands.first().map(String::as_str),
        });
        Judged { judgement: report.judgement(*technology), reasons, first }
    };
    let shape = Shape {
        version: 1,
        simulated: report.simulated.as_deref(),
        generation: facts.cpu.generation(),
        technologies: technologies.iter().map(judged).collect(),
        findings: concerned(report, technologies).collect(),
    };
    Ok(serde_json::to_string_pretty(&shape)? + "\n")
}

/// As `virt-host-validate qemu` of libvirt 11.3 prints them: its columns, and its colours on a terminal.
pub(crate) fn libvirt(lines: &[Validation]) -> String {
    let line = |line: &Validation| {
        let outcome = match line.outcome {
            Ok(()) => "\x1b[32mPASS\x1b[0m".to_owned(),
            Err(why) => format!("\x1b[33mWARN\x1b[0m ({why})"),
        };
        format!("{:>6}: {:<69}: {outcome}\n", "QEMU", line.check)
    };
    lines.iter().map(line).collect()
}
