//! `sevirt session create`: the blobs that start a guest only its owner can talk to, and the owner's keys.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use attest::sev::certs::{Certificate, Usage};
use attest::sev::ec::PublicKey;
use attest::sev::session::{Entropy, Session};
use serde_json::json;
use zeroize::Zeroizing;

use super::certs::{ChainArgs, advice};
use super::verify::NOT_PROVEN;
use crate::owner::{Format, PolicyArg, PrivateFiles, base64, print, read_blob};
use crate::style;

/// Make sessions between a guest's owner and a platform
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Create(CreateArgs),
}

/// Create a session with one platform for guests of one policy
///
/// Writes godh.cert and session.bin, which the host gets, and tik.bin and tek.bin, which the owner keeps; prints the
/// <launchSecurity> children for the domain XML. The files have mode 0600 and none is overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sevirt session create --pdh pdh.b64 --chain chain.b64 --cek cek.cert --trust-root milan --policy 0x3 --out keys/
  sevirt session create --pdh pdh.cert --unverified --policy 0x1 --out keys/")]
struct CreateArgs {
    /// The platform's Diffie-Hellman key (`query-sev-capabilities`: pdh), as bytes or base64
    #[arg(long, value_name = "FILE")]
    pdh: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
    /// Do not ask who made the PDH: whoever did can read the guest's keys
    #[arg(long, conflicts_with = "chain")]
    unverified: bool,
    #[command(flatten)]
    policy: PolicyArg,
    /// Directory to write to
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    out: PathBuf,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Create(args) => create(args),
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let policy = args.policy.policy;
    if policy.reserved() != 0 {
        bail!(
            "policy {:#x} sets reserved bits {:#x}, every platform refuses it",
            policy.0,
            policy.reserved()
        );
    }
    let certificate = read_blob(&args.pdh, "PDH", Certificate::parse)?;
    let api = certificate.api();
    let Some(pdh) = trusted_key(args, certificate)? else {
        return Ok(ExitCode::from(NOT_PROVEN));
    };
    let session = Session::create(&pdh, api, policy, &draw()?)?;

    let mut files = PrivateFiles::new(&args.out)?;
    files.add("godh.cert", session.godh.as_bytes())?;
    files.add("session.bin", session.blob.as_bytes())?;
    files.add("tik.bin", session.keys.tik.as_bytes())?;
    files.add("tek.bin", session.keys.tek.as_bytes())?;
    let written = files.keep()?;

    let (godh, blob) = (base64(session.godh.as_bytes()), base64(session.blob.as_bytes()));
    let text = format!(
        "  <policy>{:#06x}</policy>\n  <dhCert>{godh}</dhCert>\n  <session>{blob}</session>\n",
        policy.0
    );
    let json = json!({ "policy": policy.0, "dhCert": godh, "session": blob, "files": written });
    print(args.format, &text, &json)?;
    if args.format == Format::Text {
        let directory = args.out.display();
        style::note(&format!(
            "wrote godh.cert, session.bin, tik.bin and tek.bin to `{directory}`; policy {policy}; put the lines above \
             into <launchSecurity type='sev'>, and keep tik.bin and tek.bin from the host"
        ));
        for weakness in policy.weaknesses() {
            style::note(&weakness);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The platform's key, if the owner may use it; `None` after saying why not.
fn trusted_key(args: &CreateArgs, pdh: Certificate) -> anyhow::Result<Option<PublicKey>> {
    if args.chain.is_given() {
        return Ok(match args.chain.verify(pdh)? {
            Ok(key) => Some(key),
            Err(untrusted) => {
                let next = advice(&untrusted);
                let error = anyhow!(untrusted).context("no session was created: the platform is not trusted");
                style::complain(&format!("{}; {next}", style::Chain(&error)));
                None
            }
        });
    }
    if !args.unverified {
        bail!(
            "the PDH has to be verified before keys are wrapped for it: name --chain and --trust-root, or say \
             --unverified"
        );
    }
    if pdh.usage() != Usage::Pdh {
        bail!("`{}` is a certificate of usage {}, not a PDH", args.pdh.display(), pdh.usage());
    }
    pdh.public_key().map(Some).with_context(|| format!("PDH `{}`", args.pdh.display()))
}

fn draw() -> anyhow::Result<Entropy> {
    let mut bytes = Zeroizing::new([0; Entropy::LEN]);
    getrandom::fill(&mut *bytes).context("draw random keys")?;
    Ok(Entropy::new(*bytes))
}
