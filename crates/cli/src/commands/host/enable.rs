//! `sevirt host enable`: makes SEV permanent.

use std::process::ExitCode;

use host::settings::{self, Direction};

use super::settings::SettingsArgs;
use crate::tech::Tech;

/// Make SEV permanent: the kernel's command line and modprobe's options, shown as a diff first
///
/// Writes `mem_encrypt=on kvm_amd.sev=1` (and what SEV-ES and SEV-SNP need) into GRUB's defaults, into boot loader
/// entries and /etc/kernel/cmdline where a system has those, and into /etc/modprobe.d; then has grub.cfg made anew by
/// the distribution's own program. Only words that have to change do. What was written is recorded, so that `sevirt host
/// disable` takes exactly that back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sevirt host enable\n  sevirt host enable --tech sev-snp --apply\n  sevirt host enable --root /mnt/sysimage"
)]
pub(crate) struct Args {
    /// What guests are to be possible
    #[arg(long, value_enum, default_value_t = Tech::Sev)]
    tech: Tech,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = settings::enable(&args.settings.root()?, args.tech.into())?;
    args.settings.carry_out(&plan, Direction::Enable, "everything is as it has to be; nothing to do")
}
