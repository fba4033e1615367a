//! `sevirt lab image`: the demo guest's disk.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use ::lab::image::{Built, Format, Options, build};
use ::lab::tools;
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
    let options = Options {
        output,
        format,
        root: "/".into(),
        busybox: tools::busybox()?,
        qemu_img: tools::qemu_img()?,
    };
    let built = build(&options).with_context(|| format!("build `{}`", options.output.display()))?;
    if built == Built::Cached {
        crate::style::note(&format_args!("the image is made of the same files already"));
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", options.output.display()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
