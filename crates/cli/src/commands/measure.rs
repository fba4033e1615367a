//! `sevirt measure`: the measurement that a platform with the owner's key must return for a launch and a nonce.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use attest::sev::digest::LaunchDigest;
use attest::sev::measurement::{Launch, Measurement};
use serde_json::json;

use crate::owner::{
    ApiArgs, ContentsArgs, Covered, Format, MeasurementArg, PolicyArg, base64, print, read_tik,
};

/// What a measurement is computed from, besides its nonce.
#[derive(Debug, clap::Args)]
pub(crate) struct ExpectedArgs {
    /// Transport integrity key: the file `tik.bin` of `sevirt session create`
    #[arg(long, value_name = "FILE")]
    tik: PathBuf,
    #[command(flatten)]
    policy: PolicyArg,
    #[command(flatten)]
    api: ApiArgs,
    /// Launch digest, instead of what it is computed from
    #[arg(long, value_name = "HEX", conflicts_with = "firmware")]
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
        let policy = self.policy.policy;
        self.contents.check_policy(policy)?;
        let covered = match (self.digest, &self.contents.firmware) {
            (Some(digest), _) => Covered::unknown(digest),
            (None, Some(_)) => self.contents.digest()?,
            (None, None) => bail!(
                "nothing to expect: name the firmware image with --firmware FILE, or its digest with --digest HEX"
            ),
        };
        let launch = Launch { firmware: self.api.firmware(), policy, digest: covered.digest };
        Ok(Expected { tik: read_tik(&self.tik)?, launch, covered })
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
