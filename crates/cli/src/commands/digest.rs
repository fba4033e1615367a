//! `sevirt digest`: the launch digest a guest must have, computed from files alone.

use std::fmt::Display;
use std::process::ExitCode;

use anyhow::bail;

use crate::owner::{ContentsArgs, Covered, Format, SnpArgs, print};

/// Compute the launch digest that a SEV, SEV-ES or SEV-SNP guest must have
///
/// The digest covers everything the platform loads before the guest runs. Anybody can compute it; what proves it is the
/// platform's measurement (SEV and SEV-ES: `sevirt verify`) or the guest's own report (SEV-SNP).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Domain XML, the same as --domain
    #[arg(value_name = "DOMAIN.xml", conflicts_with_all = ["domain", "firmware"])]
    file: Option<String>,
    #[command(flatten)]
    contents: ContentsArgs,
    #[command(flatten)]
    snp: SnpArgs,
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
  A SEV-SNP guest:
    sevirt digest --firmware OVMF.fd --snp --vcpus 4 --cpu EPYC-Milan
  A directly booted kernel, bound to the measurement by its hash:
    sevirt digest --firmware AMDSEV.fd --kernel vmlinuz --initrd initrd.img --cmdline 'console=ttyS0'";

pub(crate) fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    args.contents.domain = args.contents.domain.or(args.file);
    let Some(source) = args.contents.source(&args.snp)? else {
        bail!(
            "nothing to compute a digest of: name a domain's XML, or the firmware image with --firmware FILE"
        );
    };
    match source.snp_digest()? {
        Some(covered) => show(&covered, args.quiet, args.format)?,
        None => show(&source.digest()?, args.quiet, args.format)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show<D: Display>(covered: &Covered<D>, quiet: bool, format: Format) -> anyhow::Result<()> {
    let text = if quiet {
        format!("{}\n", covered.digest)
    } else {
        format!("{:<15}{}\n{}", "launch digest", covered.digest, covered.words())
    };
    print(format, &text, &covered.json())
}
