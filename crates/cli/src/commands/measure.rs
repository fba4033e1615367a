//! `sevirt measure`: the measurement that a platform with the owner's key must return for a launch and a nonce.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use attest::sev::digest::LaunchDigest;
use attest::sev::measurement::{Launch, Measurement};
use attest::sev::policy::Policy;
use serde_json::json;

use crate::owner::{
    ApiArgs, ContentsArgs, Covered, Format, MeasurementArg, SnpArgs, Source, base64, parse_policy, print,
    read_tik,
};

/// What a measurement is computed from, besides its nonce.
#[derive(Debug, clap::Args)]
pub(crate) struct ExpectedArgs {
    /// Transport integrity key: the file `tik.bin` of `sevirt session create`
    #[arg(long, value_name = "FILE")]
    tik: PathBuf,
    /// Guest policy, decimal or 0x… (55766 §3); a domain says its own
    #[arg(long, value_name = "NUMBER", value_parser = parse_policy, required_unless_present = "domain")]
    policy: Option<Policy>,
    #[command(flatten)]
    api: ApiArgs,
    /// Launch digest, instead of what it is computed from
    #[arg(long, value_name = "HEX", conflicts_with_all = ["firmware", "domain"], requires = "policy")]
    digest: Option<LaunchDigest>,
    #[command(flatten)]
    contents: ContentsArgs,
}

/// A launch as its owner expects it.
pub(crate) struct Expected {
    pub(crate) tik: attest::sev::keys::Tik,
    pub(crate) launch: Launch,
    pub(crate) covered: Covered,
}

impl ExpectedArgs {
    /// Reads the key and computes the digest.
    pub(crate) fn read(&self) -> anyhow::Result<Expected> {
        let source = self.contents.source(&SnpArgs::default())?;
        let policy = self.policy(source.as_ref())?;
        let covered = match (self.digest, source) {
            (Some(digest), _) => Covered::unknown(digest),
            (None, Some(source)) => {
                source.check_policy(policy)?;
                source.digest()?
            }
            (None, None) => bail!(
                "nothing to expect: name a domain's XML with --domain FILE, the firmware image with --firmware FILE, \
                 or its digest with --digest HEX"
            ),
        };
        let launch = Launch { firmware: self.api.firmware(), policy, digest: covered.digest };
        Ok(Expected { tik: read_tik(&self.tik)?, launch, covered })
    }

    fn policy(&self, source: Option<&Source>) -> anyhow::Result<Policy> {
        match (self.policy, source.and_then(|source| source.policy)) {
            (Some(given), Some(of_domain)) if given != of_domain => {
                bail!("--policy says {:#x}, the domain says {:#x}", given.0, of_domain.0)
            }
            (given, of_domain) => given.or(of_domain).context("no policy: name it with --policy NUMBER"),
        }
    }
}

/// Compute the measurement that a platform must return for a launch
///
/// The platform draws a nonce for each launch, so the measurement it returned is needed for that alone; to check it, use
/// `sevirt verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    expected: ExpectedArgs,
    #[command(flatten)]
    measurement: MeasurementArg,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Example:
  sevirt measure --tik tik.bin --policy 0x1 --api 1.55 --build 8 --firmware OVMF_CODE_4M.fd --measurement BASE64";

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Expected { tik, launch, covered } = args.expected.read()?;
    let nonce = *args.measurement.read()?.nonce();
    let expected = Measurement::create(&launch, &tik, nonce);
    let text = format!(
        "{:<15}{}\n{:<15}{}\n{}",
        "measurement",
        base64(&expected.to_bytes()),
        "launch digest",
        launch.digest,
        covered.words()
    );
    let json = json!({ "measurement": base64(&expected.to_bytes()), "launch": covered.json() });
    print(args.format, &text, &json)?;
    Ok(ExitCode::SUCCESS)
}
