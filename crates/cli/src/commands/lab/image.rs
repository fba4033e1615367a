//! `sevirt lab image`: the demo guest's disk.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::lab::disk::Disk;
use ::lab::image::{Afterwards, Built, Format, Options, Report, build, read_report};
use ::lab::tools::{self, Tools};
use anyhow::Context as _;
use clap::ValueEnum;

/// Build the demo guest's disk image from this machine's kernel
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The guest boots through OVMF, writes what it finds in CPUID, the SEV status register and its kernel's \
        log to its consoles and to SEVIRT/REPORT.TXT on its disk, and powers off. The image's path goes to standard \
        output. An image that is made of the same files already is left as it is.\n\n\
        Example:\n  sevirt lab image --output guest.qcow2"
)]
pub(super) struct ImageArgs {
    /// Where the image goes [default: $XDG_STATE_HOME/sevirt/lab/guest.qcow2]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How the image is stored
    #[arg(long, value_enum, default_value = "qcow2")]
    format: ImageFormat,

    /// After its report the guest stays until its power button is pressed, as `virsh shutdown` does
    #[arg(long)]
    stay: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ImageFormat {
    Qcow2,
    Raw,
}

pub(super) fn image(args: &ImageArgs) -> anyhow::Result<ExitCode> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None => {
            let directory = ::lab::state::default_directory()?;
            fs::create_dir_all(&directory).with_context(|| format!("create `{}`", directory.display()))?;
            directory.join("guest.qcow2")
        }
    };
    let format = match args.format {
        ImageFormat::Qcow2 => Format::Qcow2,
        ImageFormat::Raw => Format::Raw,
    };
    let afterwards = if args.stay { Afterwards::Stays } else { Afterwards::PowersOff };
    let built = up_to_date(&output, format, afterwards)?;
    if built == Built::Cached {
        crate::style::note(&format_args!("the image is made of the same files already"));
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", output.display()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the image unless one of the same files is there.
pub(super) fn up_to_date(output: &Path, format: Format, afterwards: Afterwards) -> anyhow::Result<Built> {
    let options = Options {
        output: output.to_owned(),
        format,
        afterwards,
        root: "/".into(),
        busybox: tools::busybox()?,
        qemu_img: tools::qemu_img()?,
    };
    build(&options).with_context(|| format!("build `{}`", output.display()))
}

/// The report on a disk of the outer machine, as the guest has left it; `directory` takes a copy of the image meanwhile.
pub(super) fn report(tools: &Tools, disk: &Disk, directory: &Path) -> anyhow::Result<Report> {
    let flat = directory.join("report");
    disk.flatten(tools, &flat).context("look at the guest's disk")?;
    Ok(read_report(&flat, &tools.qemu_img)?)
}
