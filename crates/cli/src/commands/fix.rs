//! `sevirt fix FILE`: mends what `lint` finds, touching no byte that a fix does not name.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use rules::{Allowed, Fixed, Safety};

use crate::facts::FactsArgs;
use crate::input::{Input, STDIN};
use crate::render::{Judged, diff, print, text};
use crate::style;

/// Mend what `lint` finds; only the bytes that a fix names change
///
/// Without `--write` nothing is written: the diff is shown. Exit status: 0 no errors are left, 1 some are, 2 it could not
/// be done.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt fix guest.xml\n  sevirt fix guest.xml --write\n  \
                        virsh dumpxml guest | sevirt fix - --write >fixed.xml")]
pub(crate) struct Args {
    /// Domain XML; `-` is standard input, which `--write` answers on standard output
    #[arg(value_name = "FILE")]
    file: String,
    /// Show what would change (the default)
    #[arg(long, conflicts_with = "write")]
    diff: bool,
    /// Replace the file
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

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let allowed = Allowed::named(args.allow.iter().map(String::as_str))?;
    let mut facts = args.facts.gather()?;
    let input = Input::read(&args.file)?;
    let document = match input.parse() {
        Ok(document) => document,
        Err(error) => {
            let shown = text::render(&Judged::ill_formed(input, &error));
            anstream::stderr().lock().write_all(shown.as_bytes())?;
            return Ok(ExitCode::from(super::COULD_NOT));
        }
    };
    let safety = if args.allow_unsafe { Safety::Unsafe } else { Safety::Safe };
    let facts = facts.about(&document);
    let Fixed { document: fixed, applied } = rules::fix(&document, facts, &allowed, safety);
    if !args.write {
        let shown = style::diff(&diff::unified(&input.name, document.text(), fixed.text()));
        print(&shown)?;
    } else if args.file == STDIN {
        io::stdout().lock().write_all(fixed.text().as_bytes())?;
    } else if !applied.is_empty() {
        replace(Path::new(&args.file), fixed.text()).with_context(|| format!("write `{}`", args.file))?;
    }
    let mut told = anstream::stderr().lock();
    for fix in &applied {
        writeln!(told, "{}: {} {}: {}", input.name, fix.code, fix.name, fix.title)?;
    }
    if applied.is_empty() {
        writeln!(told, "{}: nothing to fix", input.name)?;
    }
    let left = rules::lint(&fixed, facts, &allowed);
    if !left.has_errors() {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(told, "{}: errors are left that no fix was made for; `sevirt lint` shows them", input.name)?;
    Ok(ExitCode::from(super::FOUND))
}

/// Replaces a file by another of the same owner and mode, so that at no moment there is less than one of them.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays a link.
    let path = path.canonicalize()?;
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let old = path.metadata()?;
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    let file = new.as_file();
    let owner = file.metadata()?;
    if (owner.uid(), owner.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())?;
    file.sync_all()?;
    new.persist(&path)?;
    File::open(directory)?.sync_all()
}
