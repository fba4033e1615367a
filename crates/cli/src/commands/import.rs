//! `sevirt import [DIR]`: libvirt's domains become sevirt's.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use daemon::import::{self, Destination, Found, Taken};
use daemon::service::Paths;
use rules::{Allowed, Neighbours};

use crate::facts::HostFacts;
use crate::input::{Input, Source};
use crate::render::{Judged, Printer, text};
use crate::style::{self, Look};

use super::FOUND;

/// Define libvirt's domains in sevirt, with what lint finds in them
///
/// Definitions are read from the directory; libvirt's files are never touched. They go to the daemon if it runs, else to
/// its store. Domains that start with the host do so here too; files with firmware variables stay where they are, so a
/// domain should not be started by libvirt any more once it is sevirt's. A domain of which sevirt knows the name is left
/// as it is. Snapshots and saved guests are not imported.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt import --dry-run\n  sevirt import\n  \
                        sevirt import --session ~/.config/libvirt/qemu\n\n\
                        Exit status: 0 all are defined, 1 some are not, 2 the directory or the daemon's store could not be used.")]
pub(crate) struct Args {
    /// Where the definitions are
    #[arg(value_name = "DIR", default_value = "/etc/libvirt/qemu")]
    directory: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Define them in the daemon that keeps everything below this directory
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Define them in qemu:///session, for this user alone
    #[arg(long)]
    session: bool,
}

/// What has come of all definitions.
#[derive(Debug, Default)]
struct Total {
    taken: usize,
    known: usize,
    refused: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let paths = super::daemon::places(args.state_dir.as_deref(), args.session)?;
    let directory = args.directory.display();
    let files =
        import::files(&args.directory).with_context(|| format!("read the directory `{directory}`"))?;
    let mut destination = Where::open(paths, args.dry_run)?;
    let allowed = Allowed::default();
    let mut facts = HostFacts::live();
    let mut neighbours = Neighbours::default();
    let mut total = Total::default();
    let mut out = Printer::new();
    for found in files {
        let source = Source::Found(found.path.clone());
        let input = match source.read() {
            Ok(input) => input,
            Err(error) => {
                total.refused += 1;
                style::complain(&error);
                continue;
            }
        };
        if !import::is_domain(&input.text) {
            style::note(&format_args!("{}: it defines no domain, and is passed over", input.name));
            continue;
        }
        let outcome = destination.take(&input.text, &found, args.dry_run);
        let line = total.add(&input.name, &found, outcome, args.dry_run);
        out.print(&line)?;
        let judged = judge(input, &mut facts, &allowed, &mut neighbours);
        out.print(&findings(&judged, out.look))?;
        if out.closed {
            break;
        }
    }
    out.print(&total.last_line(&destination, args.dry_run))?;
    out.flush()?;
    Ok(if total.refused > 0 { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// Where the definitions go, if they go anywhere.
enum Where {
    There(Box<Destination>),
    /// Nothing may be made, and no daemon runs that could be asked what it knows.
    Nowhere(Paths),
}

impl Where {
    fn open(paths: Paths, dry_run: bool) -> anyhow::Result<Self> {
        let runs = std::os::unix::net::UnixStream::connect(paths.socket()).is_ok();
        if dry_run && !runs {
            return Ok(Self::Nowhere(paths));
        }
        let shown = if runs { paths.socket() } else { paths.state.clone() };
        let opened = Destination::open(paths).with_context(|| format!("use `{}`", shown.display()))?;
        Ok(Self::There(Box::new(opened)))
    }

    fn take(&mut self, text: &str, found: &Found, dry_run: bool) -> Result<(String, Taken), String> {
        let name = import::name_of(text).map_err(|refused| refused.to_string())?;
        let taken = match self {
            Self::Nowhere(paths) if import::is_stored(paths, &name) => Ok(Taken::Known),
            Self::Nowhere(_) => Ok(Taken::New),
            Self::There(destination) if dry_run => {
                destination.knows(&name).map(|known| if known { Taken::Known } else { Taken::New })
            }
            Self::There(destination) => destination.take(text, found.autostart),
        };
        taken.map(|taken| (name, taken)).map_err(|refused| refused.to_string())
    }
}

impl Total {
    /// Counts one definition, and says what came of it.
    fn add(
        &mut self,
        file: &str,
        found: &Found,
        outcome: Result<(String, Taken), String>,
        dry_run: bool,
    ) -> String {
        let starts = if found.autostart { ", and starts with the host" } else { "" };
        match outcome {
            Ok((name, Taken::New)) => {
                self.taken += 1;
                let what = if dry_run { "would be defined" } else { "is defined" };
                format!("{file}: domain `{name}` {what}{starts}\n")
            }
            Ok((name, Taken::Known)) => {
                self.known += 1;
                format!("{file}: domain `{name}` is sevirt's already, and stays as it is\n")
            }
            Err(reason) => {
                self.refused += 1;
                format!("{file}: not defined: {reason}\n")
            }
        }
    }

    fn last_line(&self, destination: &Where, dry_run: bool) -> String {
        let Self { taken, known, refused } = self;
        let by = match destination {
            Where::There(there) => match there.as_ref() {
                Destination::Daemon(_) => "the daemon",
                Destination::Store(_) => "the store of the daemon, which does not run",
            },
            Where::Nowhere(_) => "nobody, as no daemon runs",
        };
        let (what, asked) = if dry_run { ("to define", "asked") } else { ("defined", "by") };
        format!("{taken} {what}, {known} known already, {refused} refused ({asked}: {by})\n")
    }
}

/// Findings of lint, if there are any.
fn findings(judged: &Judged, look: Look) -> String {
    if judged.findings.is_empty() && judged.allowed.is_empty() {
        return String::new();
    }
    format!("{}\n", text::render(judged, look))
}

fn judge(input: Input, facts: &mut HostFacts, allowed: &Allowed, neighbours: &mut Neighbours) -> Judged {
    match input.parse() {
        Err(error) => Judged::ill_formed(input, &error),
        Ok(document) => {
            let facts = facts.about(&document);
            let mut report = rules::lint(&document, facts, allowed);
            neighbours.judge(&input.name, &document, &mut report, allowed);
            Judged::new(input, document, report.findings, report.allowed)
        }
    }
}
