//! `sevirt digest`: the launch digest a guest must have, computed from files alone.

use std::process::ExitCode;

use crate::owner::{ContentsArgs, Format, print};

/// Compute the launch digest that a SEV or SEV-ES guest must have
///
/// The digest is the SHA-256 over everything the platform loads before the guest runs. Anybody can compute it; a
/// measurement (`sevirt verify`) proves it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
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
  A SEV guest:
    sevirt digest --firmware /usr/share/OVMF/OVMF_CODE_4M.fd
  A SEV-ES guest with four vCPUs:
    sevirt digest --firmware OVMF.fd --vcpus 4 --cpu EPYC-Milan
  A directly booted kernel, bound to the measurement by its hash:
    sevirt digest --firmware AMDSEV.fd --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0'";

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let covered = args.contents.digest()?;
    let text = if args.quiet {
        format!("{}\n", covered.digest)
    } else {
        format!("{:<15}{}\n{}", "launch digest", covered.digest, covered.words())
    };
    print(args.format, &text, &covered.json())?;
    Ok(ExitCode::SUCCESS)
}
