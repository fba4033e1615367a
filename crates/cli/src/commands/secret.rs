//! `sevirt secret build`: a packet that only the measured guest opens.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use attest::guid::Guid;
use attest::sev::ApiVersion;
use attest::sev::keys::TransportKeys;
use attest::sev::secret::{self, DISK_PASSPHRASE, Entry, Packet};
use serde_json::json;

use crate::owner::{Format, MeasurementArg, PrivateFiles, base64, print, read_secret, read_tek, read_tik};

/// Build secrets for a guest
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Build(BuildArgs),
}

/// Build the packet that brings secrets into a paused, measured guest
///
/// The packet opens for the launch of that measurement alone. Verify the measurement first (`sevirt verify`): the
/// packet hides the secrets from the host, not from a guest that the host has changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sevirt secret build --measurement BASE64 --tik tik.bin --tek tek.bin --secret disk-passphrase=passphrase.txt
  sevirt secret build --measurement BASE64 --tik tik.bin --tek tek.bin --out packet/ \\
    --secret 736869e5-84f0-4973-92ec-06879ce3da0b=passphrase.txt --secret 5ec7e7aa-0d1c-4c4e-a6c9-2f6f1f0e9f11=token.bin

The header and the packet go to QEMU's `sev-inject-launch-secret`, or to
  virsh domsetlaunchsecstate DOMAIN --secrethdr packet/header.b64 --secret packet/packet.b64")]
struct BuildArgs {
    #[command(flatten)]
    measurement: MeasurementArg,
    /// Transport integrity key: the file `tik.bin` of `sevirt session create`
    #[arg(long, value_name = "FILE")]
    tik: PathBuf,
    /// Transport encryption key: the file `tek.bin` of `sevirt session create`
    #[arg(long, value_name = "FILE")]
    tek: PathBuf,
    /// A secret: its GUID, or `disk-passphrase`, and the file whose bytes it is; a line end in the file is part of it
    #[arg(long = "secret", value_name = "GUID=FILE", required = true, value_parser = parse_source)]
    secrets: Vec<Source>,
    /// API version of the platform, MAJOR.MINOR; only versions before 0.17 differ
    #[arg(long, value_name = "MAJOR.MINOR", default_value = "1.0", value_parser = crate::owner::parse_api)]
    api: ApiVersion,
    /// Directory to write header.b64 and packet.b64 to, instead of printing them
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Where a secret comes from. Only names: this may be printed.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) guid: Guid,
    pub(crate) path: PathBuf,
}

pub(crate) fn parse_source(text: &str) -> Result<Source, String> {
    let (name, path) = text.split_once('=').ok_or("expected GUID=FILE; a secret itself never stands here")?;
    let guid = match name {
        "disk-passphrase" | "luks" => DISK_PASSPHRASE,
        name => name.parse().map_err(|error| format!("{error}, or disk-passphrase"))?,
    };
    if path.is_empty() {
        return Err("expected a file after `=`".to_owned());
    }
    Ok(Source { guid, path: PathBuf::from(path) })
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Build(args) => build(args),
    }
}

fn build(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let measurement = args.measurement.read()?;
    let keys = TransportKeys { tek: read_tek(&args.tek)?, tik: read_tik(&args.tik)? };
    let entries = args
        .secrets
        .iter()
        .map(|source| {
            let data = read_secret(&source.path, "secret", secret::MAX_LEN)?;
            Ok(Entry { guid: source.guid, data })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let table = secret::table(&entries).context("the secrets do not fit into one packet")?;
    let mut iv = [0; 16];
    getrandom::fill(&mut iv).context("draw a random initialization vector")?;
    let packet = Packet::seal(&keys, args.api, &measurement, &iv, &table)?;
    let (header, payload) = (base64(&packet.header), base64(&packet.ciphertext));
    match &args.out {
        Some(directory) => {
            let files = write(directory, &header, &payload)?;
            let names = files.iter().map(|path| format!("{}\n", path.display()));
            print(args.format, &names.collect::<String>(), &json!({ "files": files }))?;
        }
        None => print(
            args.format,
            &format!("packet-header  {header}\nsecret         {payload}\n"),
            &json!({ "packet-header": header, "secret": payload }),
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

fn write(directory: &Path, header: &str, payload: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = PrivateFiles::new(directory)?;
    files.add("header.b64", header.as_bytes())?;
    files.add("packet.b64", payload.as_bytes())?;
    files.keep()
}
