//! `sevirt verify`: whether a measurement proves the launch its owner expects.

use std::process::ExitCode;

use attest::sev::measurement::Measurement;
use serde_json::json;

use super::measure::{Expected, ExpectedArgs};
use crate::owner::{Format, MeasurementArg, base64, print};

/// What a command exits with when something was not proven.
pub(crate) const NOT_PROVEN: u8 = 5;

/// Check a launch measurement against what the guest's owner expects
///
/// Exits with 0 when the measurement proves the launch, and with 5 when it does not. A measurement can only be trusted
/// as far as the session it was made in: verify the platform's certificates before the session is created
/// (`sevirt certs verify`, `sevirt session create`).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    measurement: MeasurementArg,
    #[command(flatten)]
    expected: ExpectedArgs,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  sevirt verify --measurement BASE64 --tik tik.bin --api 1.55 --build 8 --domain guest.xml
  sevirt verify --measurement BASE64 --tik tik.bin --policy 0x1 --api 1.55 --build 8 \\
    --firmware /usr/share/OVMF/OVMF_CODE_4M.fd
  sevirt verify --measurement BASE64 --tik tik.bin --policy 0x5 --api 1.55 --build 8 \\
    --firmware OVMF.fd --vcpus 4 --cpu EPYC-Milan";

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Expected { tik, launch, covered } = args.expected.read()?;
    let measurement = args.measurement.read()?;
    let verified = measurement.verify(&launch, &tik).is_ok();
    let expected = Measurement::create(&launch, &tik, *measurement.nonce());
    let difference = if verified { None } else { covered.explain(&measurement, &tik, &launch) };
    let (verdict, next) = if verified {
        ("verified", String::new())
    } else {
        let lead = match &difference {
            Some(difference) => format!("It does prove another launch, with {difference}.\n"),
            None => CANDIDATES.to_owned(),
        };
        let expected = base64(&expected.to_bytes());
        ("NOT VERIFIED", format!("{:<15}{expected}\n{lead}{WARNING}", "expected"))
    };
    let text = format!(
        "{verdict}\n{:<15}{}\n{:<15}{}\n{:<15}{}\n{:<15}API {}\n{}{next}",
        "measurement",
        base64(&measurement.to_bytes()),
        "launch digest",
        launch.digest,
        "policy",
        launch.policy,
        "platform",
        launch.firmware,
        covered.words(),
    );
    let json = json!({
        "verified": verified,
        "measurement": base64(&measurement.to_bytes()),
        "expected": base64(&expected.to_bytes()),
        "matches_with": difference.map(|difference| difference.to_string()),
        "policy": launch.policy.0,
        "launch": covered.json(),
    });
    print(args.format, &text, &json)?;
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::from(NOT_PROVEN) })
}

const CANDIDATES: &str = "\
The measurement is one code over all of this, so something of it differs from what was launched:
  the key        is this the tik.bin of the session that the guest was started with?
  the firmware   is this file, byte for byte, the one on the host?
  the kernel     do --kernel, --initrd and --cmdline equal the domain's, and is kernelHashes on?
  more than one  a single other policy, platform or set of vCPUs was tried, and does not explain it
";

const WARNING: &str = "Until it verifies, do not inject a secret and do not resume the guest.\n";
