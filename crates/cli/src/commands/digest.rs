//! `sevirt digest`: the launch digest a guest must have, computed from files alone.

use std::process::ExitCode;

use anyhow::bail;

use crate::owner::{ContentsArgs, Format, print};

/// Compute the launch digest that a SEV or SEV-ES guest must have
///
/// The digest is the SHA-256 over everything the platform loads before the guest runs. Anybody can compute it; a
/// measurement (`sevirt verify`) proves it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Domain XML, the same as --domain
    #[arg(value_name = "DOMAIN.xml", conflicts_with_all = ["domain", "firmware"])]
    file: Option<String>,
    #[command(flatten)]
    contents: ContentsArgs,
    /// Print the digest and nothing else
    #[arg(short, long, conflicts_with = "format")]
    quiet: bool,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  The guest of a domain, whatever it asks for:
    sevirt digest guest.xml
  A SEV guest:
    sevirt digest --firmware /usr/share/OVMF/OVMF_CODE_4M.fd
  A SEV-ES guest with four vCPUs:
    sevirt digest --firmware OVMF.fd --vcpus 4 --cpu EPYC-Milan
  A directly booted kernel, bound to the measurement by its hash:
    sevirt digest --firmware AMDSEV.fd --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0'";

pub(crate) fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    args.contents.domain = args.contents.domain.or(args.file);
    let Some(source) = args.contents.source()? else {
        bail!(
            "nothing to compute a digest of: name a domain's XML, or the firmware image with --firmware FILE"
        );
    };
    let covered = source.digest()?;
    let text = if args.quiet {
        format!("{}\n", covered.digest)
    } else {
        format!("{:<15}{}\n{}", "launch digest", covered.digest, covered.words())
    };
    print(args.format, &text, &covered.json())?;
    Ok(ExitCode::SUCCESS)
}
