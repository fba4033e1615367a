//! Arguments that say what a secure processor was told and what it answered.

use std::path::PathBuf;

use anyhow::Context as _;
use attest::sev::measurement::Measurement;
use attest::sev::policy::Policy;
use attest::sev::{ApiVersion, FirmwareVersion};

use super::input::{decode_base64, read_blob};

/// The platform's firmware version, which a measurement covers.
#[derive(Debug, clap::Args)]
pub(crate) struct ApiArgs {
    /// API version of the platform, MAJOR.MINOR (`query-sev`: api-major, api-minor)
    #[arg(long, value_name = "MAJOR.MINOR", value_parser = parse_api)]
    pub(crate) api: ApiVersion,
    /// Build of the platform's firmware (`query-sev`: build-id)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) build: u8,
}

impl ApiArgs {
    pub(crate) fn firmware(&self) -> FirmwareVersion {
        FirmwareVersion { api: self.api, build: self.build }
    }
}

/// The guest's policy.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArg {
    /// Guest policy, decimal or 0x… (55766 §3)
    #[arg(long, value_name = "NUMBER", value_parser = parse_policy)]
    pub(crate) policy: Policy,
}

/// The measurement of a launch.
#[derive(Debug, clap::Args)]
pub(crate) struct MeasurementArg {
    /// Launch measurement: base64 as `query-sev-launch-measure` prints it, or a file that holds it
    #[arg(long, value_name = "BASE64|FILE")]
    measurement: String,
}

impl MeasurementArg {
    pub(crate) fn read(&self) -> anyhow::Result<Measurement> {
        match decode_base64(self.measurement.as_bytes()).filter(|bytes| bytes.len() == Measurement::LEN) {
            Some(bytes) => Ok(Measurement::parse(&bytes)?),
            None => read_blob(&PathBuf::from(&self.measurement), "measurement", Measurement::parse)
                .context("the measurement is neither 48 bytes in base64 nor a file that holds them"),
        }
    }
}

pub(crate) fn parse_api(text: &str) -> Result<ApiVersion, String> {
    let number = |text: &str| text.parse().map_err(|_| String::from("expected MAJOR.MINOR, such as 1.55"));
    let (major, minor) = text.split_once('.').ok_or("expected MAJOR.MINOR, such as 1.55")?;
    Ok(ApiVersion { major: number(major)?, minor: number(minor)? })
}

pub(crate) fn parse_policy(text: &str) -> Result<Policy, String> {
    parse_number(text).map(Policy)
}

/// A 32-bit number, decimal or with 0x.
pub(crate) fn parse_number(text: &str) -> Result<u32, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16),
        Some(_) => return Err("expected digits after 0x".to_owned()),
        None => text.parse(),
    }
    .map_err(|_| "expected a number below 2^32, decimal or 0x…".to_owned())
}
