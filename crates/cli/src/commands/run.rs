//! `sevirt run FILE`: one guest in the foreground, from its XML to its end.

mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use attest::sev::certs::Certificate;
use attest::sev::digest::LaunchDigest;
use attest::sev::secret::{self as launch_secret, Entry};
use clap::ValueEnum;
use daemon::isolate::Isolation;
use daemon::probe;
use daemon::start::{self, Attest, Options, StartError};
use daemon::vm::{self, Console, End, Foreground};
use domain::model::launch_security::LaunchSecurity;
use domain::{Document, Domain};
use host::Facts;
use rules::{Allowed, Severity};

use super::{COULD_NOT, certs, secret};
use crate::facts::{HostFacts, cached_caps};
use crate::input::Input;
use crate::owner::{read_blob, read_secret};
use crate::render::Judged;
use crate::style::{self, Chain};

use report::Reporter;

/// Refused because lint found errors.
const REFUSED: u8 = 3;
const CANNOT_START: u8 = 4;
const UNTRUSTED: u8 = 5;

/// Run a guest in the foreground, without a daemon, until it ends
///
/// Lint judges the domain first; what it calls an error is not started. With --attest the guest stays paused until its
/// owner's side has verified the platform's certificates and the launch measurement.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sevirt run guest.xml
  sevirt run guest.xml --attest --trust-root milan --cek cek.cert
  sevirt run guest.xml --attest --trust-root ask_ark.cert --secret disk-passphrase=passphrase.txt
  sevirt run guest.xml --paused-only --format json

Exit status: 0 the guest ended well, 2 usage or unreadable input, 3 refused by lint, 4 cannot start,
5 attestation failed, 6 timed out, 7 QEMU or the guest died; stopped by a signal, 128 and its number.")]
pub(crate) struct Args {
    /// Domain XML; `-` is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Let the guest run only if its launch measurement is the expected one
    #[arg(long, requires = "trust_root")]
    attest: bool,
    /// The root to trust: a file with ARK and ASK, or naples, rome, milan, genoa or turin for AMD's own
    #[arg(long, value_name = "FILE|GENERATION", requires = "attest")]
    trust_root: Option<String>,
    /// The CEK with AMD's signature, for platforms that export it without
    #[arg(long, value_name = "FILE", requires = "attest")]
    cek: Option<PathBuf>,
    /// The launch digest to accept, instead of the one of the domain's own files
    #[arg(long, value_name = "HEX", requires = "attest")]
    expect_digest: Option<LaunchDigest>,
    /// A secret to inject once the guest is attested: its GUID, or `disk-passphrase`, and the file whose bytes it is
    #[arg(long = "secret", value_name = "GUID=FILE", requires = "attest", value_parser = secret::parse_source)]
    secrets: Vec<secret::Source>,
    /// Where secrets go, as a guest physical address, for firmware that sets no area aside
    #[arg(long, value_name = "GPA", requires = "secrets", value_parser = parse_address)]
    secret_address: Option<u64>,
    /// End once the guest is set up, measured and, with --attest, verified, without running it
    #[arg(long)]
    paused_only: bool,
    /// Where the guest's console goes: `stdio`, `none`, or a file or device; `none` with --format json
    #[arg(long, value_name = "stdio|none|PATH")]
    console: Option<String>,
    /// End the guest if it has not ended by itself after this many seconds
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Do not refuse for this rule (code or name); may be given more than once
    #[arg(long, value_name = "RULE")]
    allow: Vec<String>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people, on standard error; standard output is the guest's
    Text,
    /// One JSON object a line on standard output
    Json,
}

/// A run that ended before there was a guest.
struct Refusal {
    exit: u8,
    reason: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut reporter = Reporter::new(args.format);
    let exit = match start_and_wait(args, &mut reporter) {
        Ok(end) => end,
        Err(refusal) => {
            reporter.refused(refusal.exit, &refusal.reason);
            refusal.exit
        }
    };
    match reporter.finish() {
        // How the guest ended says more than that nobody reads it.
        Err(error) if exit != 0 => style::complain(&Chain(&error)),
        finished => finished?,
    }
    Ok(ExitCode::from(exit))
}

fn start_and_wait(args: &Args, reporter: &mut Reporter) -> Result<u8, Refusal> {
    let unusable = |error: anyhow::Error| Refusal { exit: COULD_NOT, reason: Chain(&error).to_string() };
    let allowed = Allowed::named(args.allow.iter().map(String::as_str)).map_err(|e| unusable(e.into()))?;
    let attest = args.attest_options().map_err(unusable)?;
    let console = args.console().map_err(unusable)?;
    // From here on a signal ends the run in order.
    let mut foreground =
        Foreground::new().context("take over the signals that end a program").map_err(unusable)?;

    let input = Input::read(&args.file).map_err(|e| unusable(e.into()))?;
    reporter.stage("read");
    let Judgement { judged, domain, facts, asked } = judge(args.attest, input, &allowed, reporter)?;
    reporter.about(&domain, facts.simulated.as_deref());
    let document = judged.document.as_ref();
    let cannot = |error: &anyhow::Error, path: Option<&Path>| Refusal {
        exit: CANNOT_START,
        reason: located(error, path, &judged.input.name, document),
    };

    let emulator = start::emulator(&domain);
    let probed = match asked {
        Some(caps) => Ok(caps),
        None if args.attest => probe::ask(&emulator).map(Arc::new),
        None => cached_caps(&emulator).map(Arc::new),
    };
    let caps = probed.map_err(|error| cannot(&error.into(), Some(&emulator)))?;
    reporter.stage("probe");
    if let Some(reason) = no_sev(&domain, &caps) {
        reporter.offer_lab(&args.file);
        return Err(Refusal { exit: CANNOT_START, reason });
    }

    let options = Options {
        attest,
        stay_paused: args.paused_only,
        console,
        timeout: args.timeout.map(Duration::from_secs),
        background: None,
        run_base: vm::base(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).as_deref()),
        isolation: Isolation::as_caller(),
    };
    let prepared = start::prepare(domain, &caps, &facts, options).map_err(|error| {
        let exit = if error.is_distrust() { UNTRUSTED } else { CANNOT_START };
        let path = error.path().map(Path::to_owned);
        Refusal { exit, ..cannot(&advised(error), path.as_deref()) }
    })?;
    reporter.prepared(&prepared);
    let outcome = foreground.run(prepared.request, &mut |notice| reporter.notice(&notice));
    reporter.outcome(&outcome);
    if matches!(&outcome.end, End::CannotResume(_)) {
        reporter.note("the guest was set up and measured; --paused-only ends there with success");
    }
    Ok(outcome.end.exit_code())
}

/// A domain that may be started, and what was learnt on the way.
struct Judgement {
    judged: Judged,
    domain: Domain,
    facts: Facts,
    /// What the emulator said, where it was asked now.
    asked: Option<Arc<qemu::Caps>>,
}

/// Reads the domain and asks lint. A remembered answer of QEMU holds the platform's certificates as they were: for an
/// attestation QEMU is asked now, once, and lint judges by that.
fn judge(
    attest: bool,
    input: Input,
    allowed: &Allowed,
    reporter: &mut Reporter,
) -> Result<Judgement, Refusal> {
    let document = match input.parse() {
        Ok(document) => document,
        Err(error) => {
            let judged = Judged::ill_formed(input, &error);
            reporter.findings(&judged);
            return Err(Refusal {
                exit: REFUSED,
                reason: format!("`{}` is not well-formed", judged.input.name),
            });
        }
    };
    let mut host = HostFacts::of_own_guests();
    let (domain, problems) = Domain::read(&document);
    let mut asked = None;
    if attest {
        host.add_emulator_by(start::emulator(&domain), |path| {
            let answer = probe::ask(path).map(Arc::new);
            asked = answer.as_ref().ok().cloned();
            answer
        });
    }
    host.about_domain(&domain);
    let facts = host.into_facts();
    let report = rules::lint_read(&document, domain, &problems, &facts, allowed);
    let judged = Judged::new(input, document, report.findings, report.allowed);
    reporter.findings(&judged);
    reporter.stage("lint");
    let errors = judged.count(Severity::Error);
    if errors > 0 {
        if report.domain.launch_security.is_some() && facts.sev_device.known().is_none() {
            reporter.offer_lab(&judged.input.name);
        }
        let plural = if errors == 1 { "" } else { "s" };
        return Err(Refusal { exit: REFUSED, reason: format!("lint found {errors} error{plural}") });
    }
    Ok(Judgement { judged, domain: report.domain, facts, asked })
}

fn no_sev(domain: &Domain, caps: &qemu::Caps) -> Option<String> {
    match (&domain.launch_security, &caps.sev) {
        (Some(LaunchSecurity::Sev(_) | LaunchSecurity::SevSnp(_)), Err(reason)) => {
            Some(format!("this host offers no SEV to guests: QEMU says `{reason}`"))
        }
        _ => None,
    }
}

/// The error with its causes; where it is about a file that the document names, with the place.
fn located(error: &anyhow::Error, path: Option<&Path>, name: &str, document: Option<&Document>) -> String {
    let text = Chain(error).to_string();
    let place = document.zip(path.and_then(Path::to_str)).and_then(|(document, path)| {
        let position = document.position(named_at(document, path)?);
        Some(format!("{name}:{}:{}: ", position.line, position.column))
    });
    format!("{}{text}", place.unwrap_or_default())
}

/// Where the document names a path: as an attribute's value or an element's text.
fn named_at(document: &Document, path: &str) -> Option<usize> {
    let mut waiting = vec![document.root()];
    while let Some(element) = waiting.pop() {
        let attribute = element.attributes().find(|attribute| attribute.value() == path);
        if let Some(attribute) = attribute {
            return Some(attribute.value_span().start);
        }
        if element.text().trim() == path {
            return Some(element.span().start);
        }
        waiting.extend(element.children());
    }
    None
}

fn advised(error: StartError) -> anyhow::Error {
    let advice = match &error {
        StartError::Owner(daemon::owner::OwnerError::Chain(chain)) => {
            Some(certs::advice(&certs::Untrusted::Chain(*chain)))
        }
        _ => None,
    };
    let error = anyhow::Error::from(error);
    match advice {
        Some(advice) => anyhow::anyhow!("{}; {advice}", Chain(&error)),
        None => error,
    }
}

impl Args {
    fn attest_options(&self) -> anyhow::Result<Option<Attest>> {
        let Some(root) = self.trust_root.as_deref().filter(|_| self.attest) else { return Ok(None) };
        let cek = self.cek.as_deref().map(|path| read_blob(path, "CEK", Certificate::parse)).transpose()?;
        let secrets = self.secrets.iter().map(|source| {
            let data = read_secret(&source.path, "secret", launch_secret::MAX_LEN)?;
            Ok(Entry { guid: source.guid, data })
        });
        Ok(Some(Attest {
            root: certs::read_root(root)?,
            cek,
            digest: self.expect_digest,
            secrets: secrets.collect::<anyhow::Result<_>>()?,
            secret_address: self.secret_address,
        }))
    }

    fn console(&self) -> anyhow::Result<Option<Console>> {
        match (self.console.as_deref(), self.format) {
            (Some("none"), _) | (None, Format::Json) => Ok(None),
            (Some("stdio"), Format::Json) => {
                bail!("--console stdio and --format json both need standard output")
            }
            (Some("stdio") | None, Format::Text) => Ok(Some(Console::stdio()?)),
            (Some(path), _) => Ok(Some(Console::path(Path::new(path))?)),
        }
    }
}

/// A guest physical address, decimal or with 0x.
fn parse_address(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16),
        Some(_) => return Err("expected digits after 0x".to_owned()),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected an address, decimal or 0x…".to_owned())
}
