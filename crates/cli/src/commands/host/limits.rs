//! `sevirt host limits`: what guests take against what the host has, and a ceiling for all of them.

mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use daemon::systemd::{SLICE, Systemd};
use host::{Root, ceiling};
use rules::capacity::{Capacity, Guest};

use crate::commands::FOUND;
use crate::facts::FactsArgs;
use crate::input::Input;
use crate::render::{diff, print};
use crate::style;

/// Where sevirt's daemon and libvirt keep the domains that are defined.
const DEFINED: [&str; 2] = ["/var/lib/sevirt/domains", "/etc/libvirt/qemu"];

/// Weigh what guests pin against RAM, machine.slice and ASIDs, and set a ceiling for all of them
///
/// What each guest takes is computed from its XML, item by item. Without files, the domains that sevirt and
/// libvirt have defined are looked at; of two with one UUID the one of sevirt. The ceiling (MemoryMax of machine.slice) keeps guests from locking all of the host's memory; it is shown
/// first, and set by systemd, or written to a drop-in where systemd does not run.
///
/// Exit status: 0 all guests can run at once, 1 they cannot, 2 could not do it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sevirt host limits\n  sevirt host limits a.xml b.xml --items\n  sevirt host limits --domains /etc/libvirt/qemu --apply"
)]
pub(crate) struct Args {
    /// Domain XML; `-` is standard input
    #[arg(value_name = "FILE", conflicts_with = "domains")]
    files: Vec<String>,
    /// Every `.xml` file of this directory
    #[arg(long, value_name = "DIR")]
    domains: Option<PathBuf>,
    /// Show every item of what a guest takes
    #[arg(long)]
    items: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Set the ceiling; without this nothing is changed
    #[arg(long, conflicts_with = "facts")]
    apply: bool,
    #[command(flatten)]
    facts: FactsArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let root = args.facts.root()?;
    let mut facts = args.facts.gather()?;
    let mut guests = Vec::new();
    let mut known = BTreeSet::new();
    for file in args.inputs(&root)? {
        let input = Input::read(&file)?;
        let document = input.parse().with_context(|| format!("read domain `{}`", input.name))?;
        // A domain that was imported is still libvirt's, too; it runs once.
        let uuid = document.root().child("uuid").map(|uuid| uuid.text().trim().to_ascii_lowercase());
        let is_first = uuid.is_none_or(|uuid| known.insert(uuid));
        if is_first || !args.files.is_empty() {
            guests.push(Guest::read(&document, facts.about(&document)));
        }
    }
    let capacity = Capacity::of(guests, &facts.into_facts());
    let shown = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&show::json(&capacity))?)
    } else {
        show::text(&capacity, args.items)
    };
    print(&shown)?;
    if let Some(proposed) = capacity.proposed.filter(|proposed| capacity.ceiling != Some(*proposed)) {
        ceiling(args, &root, proposed)?;
    } else if !args.json && capacity.proposed.is_some() {
        style::note(&"the ceiling is as it has to be; nothing to do");
    }
    Ok(if capacity.fits == Some(false) { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

/// Shows the ceiling as a change, and makes it when that was asked for.
fn ceiling(args: &Args, root: &Root, proposed: u64) -> anyhow::Result<()> {
    let systemd = Systemd::find().filter(|_| root.is_live());
    if let Some(systemd) = systemd.filter(|_| args.apply) {
        systemd.set_ceiling(SLICE, proposed)?;
        style::note(&format!("systemd has set MemoryMax of {SLICE} to {proposed}"));
        return Ok(());
    }
    let path = ceiling::DROP_IN;
    if !args.json {
        let before = ceiling::read(root).with_context(|| format!("read `{path}`"))?;
        print(&style::diff(&diff::unified(path, &before, &ceiling::drop_in(proposed))))?;
    }
    if args.apply {
        ceiling::write(root, proposed).with_context(|| format!("write `{path}`"))?;
        style::note(&"`systemctl daemon-reload` makes systemd read it");
    } else if !args.json {
        style::note(&"nothing was changed; `--apply` does it");
    }
    Ok(())
}

impl Args {
    /// The files to look at.
    fn inputs(&self, root: &Root) -> anyhow::Result<Vec<String>> {
        if !self.files.is_empty() {
            return Ok(self.files.clone());
        }
        let unread = |directory: &Path| format!("read directory `{}`", directory.display());
        if let Some(directory) = &self.domains {
            return xml_files(directory).with_context(|| unread(directory));
        }
        let mut all = Vec::new();
        for directory in DEFINED.map(|directory| root.path(directory)) {
            match xml_files(&directory) {
                Ok(files) => all.extend(files),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| unread(&directory)),
            }
        }
        Ok(all)
    }
}

fn xml_files(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "xml") && path.is_file() {
            files.push(path.to_string_lossy().into_owned());
        }
    }
    files.sort();
    Ok(files)
}
