//! `sevirt caps`: what guests this host can run, as a `<domainCapabilities>` document.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use daemon::domain_caps::{Answer, Offer, Question, QuestionError};
use daemon::start::DEFAULT_EMULATOR;
use domain::model::DomainKind;
use qemu::domain_caps::{DomainCaps, DomainCapsError, Wanted};
use rules::host::Verdict;

use crate::facts::{self, HostFacts};

/// Print what guests this host can run, in the form of `virsh domcapabilities`
///
/// `<sev>` and `<launchSecurity>` list only what this host can really start. QEMU is started where its answers are not
/// remembered; they are remembered for as long as nothing changes that they depend on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sevirt caps\n  sevirt caps --machine q35\n  sevirt caps --explain\n  sevirt caps --virttype qemu"
)]
pub(crate) struct Args {
    /// QEMU binary
    #[arg(long, visible_alias = "emulatorbin", value_name = "PATH", default_value = DEFAULT_EMULATOR)]
    emulator: PathBuf,
    /// Machine type; QEMU's own choice without it
    #[arg(long, value_name = "MACHINE")]
    machine: Option<String>,
    /// Architecture of the guests; the emulator's without it
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// What runs the guests' instructions; KVM where it can be used without it
    #[arg(long, value_name = "TYPE")]
    virttype: Option<VirtType>,
    /// Instead of the document, say which confidential guests can run here, and why others cannot
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum VirtType {
    /// The host's processor, by KVM
    Kvm,
    /// QEMU's own emulation, TCG
    Qemu,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let cache = facts::cache();
    let programs = std::env::var_os("PATH");
    let question = Question {
        emulator: &args.emulator,
        wanted: Wanted {
            machine: args.machine.as_deref(),
            arch: args.arch.as_deref(),
            kind: args.virttype.map(|virttype| match virttype {
                VirtType::Kvm => DomainKind::Kvm,
                VirtType::Qemu => DomainKind::Qemu,
            }),
        },
        cache: cache.as_deref(),
        programs: programs.as_deref(),
    };
    let host = HostFacts::live().into_facts();
    let simulated = host.simulated.clone();
    let answer = question.ask(host).map_err(|error| advised(error, &args.emulator))?;
    let text =
        if args.explain { explanation(&answer, simulated.as_deref()) } else { text_of(&answer.document) };
    write(&text).context("write the answer")?;
    Ok(ExitCode::SUCCESS)
}

/// The document, put where there is room for it.
fn text_of(document: &DomainCaps) -> String {
    let mut text = String::with_capacity(256 << 10);
    put(&mut text, format_args!("{document}"));
    text.pop();
    text
}

/// As it is: nothing in it is coloured, and looking for colours costs more than writing.
fn write(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader who has seen enough is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The error, with what to do about it.
fn advised(error: QuestionError, emulator: &Path) -> anyhow::Error {
    let advice = match &error {
        QuestionError::Document(DomainCapsError::Arch { arch, .. }) => {
            Some(format!("name a QEMU for {arch} guests with --emulator"))
        }
        QuestionError::Document(DomainCapsError::NoKvm { .. }) => {
            Some("ask for --virttype qemu, or see what `sevirt host check` says of KVM".to_owned())
        }
        QuestionError::Document(DomainCapsError::Machine { .. }) => {
            Some(format!("`{} -machine help` lists all", emulator.display()))
        }
        QuestionError::Probe(_) if !emulator.exists() => Some(
            "install QEMU (Debian: qemu-system-x86, Fedora: qemu-kvm), or name it with --emulator".to_owned(),
        ),
        QuestionError::Document(DomainCapsError::NotAsked { .. }) | QuestionError::Probe(_) => None,
    };
    let error = anyhow::Error::from(error);
    match advice {
        None => error,
        Some(advice) => anyhow::anyhow!("{}; {advice}", crate::style::Chain(&error)),
    }
}

fn explanation(answer: &Answer, simulated: Option<&str>) -> String {
    let document = &answer.document;
    let mut text = format!("{}: QEMU {}, {}\n", document.emulator, answer.version, document.machine);
    if let Some(simulator) = simulated {
        put(&mut text, format_args!("simulated platform: {simulator}"));
    }
    answer.technologies.iter().for_each(|offer| explain(&mut text, offer));
    text
}

fn explain(text: &mut String, offer: &Offer) {
    let verdict = match offer.verdict {
        Verdict::Can => "offered",
        Verdict::Cannot => "not offered",
        Verdict::CouldNotTell => "offered, though it could not be told whether it can run",
    };
    let name = offer.technology.to_string();
    put(text, format_args!("{name:8} {verdict}"));
    for reason in &offer.reasons {
        let rule = reason.rule.map(|(code, name)| format!("[{code} {name}] ")).unwrap_or_default();
        put(text, format_args!("         {rule}{}", reason.message));
        for help in reason.help.iter().chain(&reason.commands) {
            put(text, format_args!("           {help}"));
        }
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes all that it is given.
    let _ = writeln!(text, "{line}");
}
