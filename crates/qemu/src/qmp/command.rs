//! The commands that sevirt sends, each a type with its arguments and the shape of its reply.
//!
//! Names and fields are those of QEMU's schema (`qapi/*.json`); fields that nothing here needs are left unread.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::codec::{Outcome, Refusal};

/// A QMP command.
pub trait Command {
    const NAME: &'static str;
    type Reply: DeserializeOwned;

    /// The command's arguments; empty for most.
    fn arguments(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// Proof that a command was sent; reads its reply.
#[derive(Debug)]
#[must_use]
pub struct Ticket<C> {
    id: u64,
    command: PhantomData<fn() -> C>,
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("QEMU refused {command}: {refusal}")]
    Refused { command: &'static str, refusal: Refusal },
    #[error("QEMU answered {command} in an unknown form")]
    Unreadable {
        command: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

impl<C: Command> Ticket<C> {
    pub(super) fn new(id: u64) -> Self {
        Self { id, command: PhantomData }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// Reads the outcome of the reply whose id is [`Ticket::id`].
    pub fn read(&self, outcome: Outcome) -> Result<C::Reply, CommandError> {
        match outcome {
            Ok(value) => C::Reply::deserialize(value)
                .map_err(|source| CommandError::Unreadable { command: C::NAME, source }),
            Err(refusal) => Err(CommandError::Refused { command: C::NAME, refusal }),
        }
    }
}

/// The reply of commands that only succeed or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Done {}

macro_rules! commands {
    ($($(#[$doc:meta])* $type:ident, $name:literal => $reply:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $type;

        impl Command for $type {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    )*};
}

pub(super) use commands;

commands! {
    /// Leaves the negotiation that follows the greeting.
    QmpCapabilities, "qmp_capabilities" => Done;
    QueryVersion, "query-version" => Version;
    QueryTarget, "query-target" => Target;
    QueryKvm, "query-kvm" => Kvm;
    QueryStatus, "query-status" => Status;
    QueryMachines, "query-machines" => Vec<Machine>;
    QueryCpuDefinitions, "query-cpu-definitions" => Vec<CpuDefinition>;
    QueryChardev, "query-chardev" => Vec<Chardev>;
    /// The concrete types that this QEMU has, its modules' included.
    QomListTypes, "qom-list-types" => Vec<TypeName>;
    /// What QMP itself offers, as this binary was built.
    QueryQmpSchema, "query-qmp-schema" => Vec<SchemaEntry>;
    QueryCommandLineOptions, "query-command-line-options" => Vec<CommandLineOption>;
    QueryTpmModels, "query-tpm-models" => Vec<String>;
    QueryTpmTypes, "query-tpm-types" => Vec<String>;
    /// Lets the vCPUs run; for SEV this is also LAUNCH_FINISH.
    Cont, "cont" => Done;
    Stop, "stop" => Done;
    /// Presses the guest's power button.
    SystemPowerdown, "system_powerdown" => Done;
    /// Presses the guest's reset button.
    SystemReset, "system_reset" => Done;
    /// Ends QEMU.
    Quit, "quit" => Done;
    QuerySev, "query-sev" => SevState;
    QuerySevCapabilities, "query-sev-capabilities" => SevCapabilities;
    QuerySevLaunchMeasure, "query-sev-launch-measure" => LaunchMeasure;
    QuerySgxCapabilities, "query-sgx-capabilities" => SgxCapabilities;
}

/// `qom-list-properties` of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QomListProperties {
    pub typename: &'static str,
}

impl Command for QomListProperties {
    const NAME: &'static str = "qom-list-properties";
    type Reply = Vec<TypeName>;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("typename".into(), self.typename.into())])
    }
}

/// `device-list-properties` of one device type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceListProperties {
    pub typename: String,
}

impl Command for DeviceListProperties {
    const NAME: &'static str = "device-list-properties";
    type Reply = Vec<TypeName>;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("typename".into(), self.typename.as_str().into())])
    }
}

/// `query-cpu-model-expansion`, `full`: every property that the named model gives a vCPU on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryCpuModelExpansion {
    pub model: &'static str,
    /// Properties that are set on the model before.
    pub props: &'static [(&'static str, bool)],
}

impl Command for QueryCpuModelExpansion {
    const NAME: &'static str = "query-cpu-model-expansion";
    type Reply = CpuModelExpansion;

    fn arguments(&self) -> Map<String, Value> {
        let mut model = Map::from_iter([("name".to_owned(), self.model.into())]);
        if !self.props.is_empty() {
            let props = self.props.iter().map(|(name, on)| ((*name).to_owned(), (*on).into()));
            model.insert("props".into(), Map::from_iter(props).into());
        }
        Map::from_iter([("type".into(), "full".into()), ("model".into(), model.into())])
    }
}

/// `set-action`: what QEMU does when the guest reboots, as far as sevirt changes it (QEMU 6.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetRebootAction {
    /// QEMU's `RebootAction`: `reset` or `shutdown`.
    pub reboot: &'static str,
}

impl Command for SetRebootAction {
    const NAME: &'static str = "set-action";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("reboot".into(), self.reboot.into())])
    }
}

/// `trace-event-set-state`: whether QEMU writes a line for each event of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceEventSetState {
    pub name: &'static str,
    pub enable: bool,
}

impl Command for TraceEventSetState {
    const NAME: &'static str = "trace-event-set-state";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("name".into(), self.name.into()), ("enable".into(), self.enable.into())])
    }
}

/// `sev-inject-launch-secret`: hands the platform an encrypted secret (AMD 55766 §6.6) while the guest is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SevInjectLaunchSecret {
    /// The packet's header, base64.
    pub header: String,
    /// The packet's ciphertext, base64.
    pub secret: String,
    /// Guest physical address; without it QEMU takes the firmware's secret area.
    pub gpa: Option<u64>,
}

impl Command for SevInjectLaunchSecret {
    const NAME: &'static str = "sev-inject-launch-secret";
    type Reply = Done;

    fn arguments(&self) -> Map<String, Value> {
        let mut arguments = Map::from_iter([
            ("packet-header".into(), self.header.as_str().into()),
            ("secret".into(), self.secret.as_str().into()),
        ]);
        if let Some(gpa) = self.gpa {
            arguments.insert("gpa".into(), gpa.into());
        }
        arguments
    }
}

/// `query-sev-attestation-report`: a report signed by the PEK over the launch digest and the caller's nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySevAttestationReport {
    /// 16 random bytes, base64.
    pub mnonce: String,
}

impl Command for QuerySevAttestationReport {
    const NAME: &'static str = "query-sev-attestation-report";
    type Reply = LaunchMeasure;

    fn arguments(&self) -> Map<String, Value> {
        Map::from_iter([("mnonce".into(), self.mnonce.as_str().into())])
    }
}

/// A QEMU release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub qemu: VersionTriple,
    /// The packager's own version; often empty.
    #[serde(default)]
    pub package: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionTriple {
    pub major: u32,
    pub minor: u32,
    pub micro: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VersionTriple { major, minor, micro } = self.qemu;
        write!(f, "{major}.{minor}.{micro}")?;
        if self.package.is_empty() { Ok(()) } else { write!(f, " ({})", self.package) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Target {
    /// Such as `x86_64`.
    pub arch: String,
}

/// Whether this QEMU has KVM support, and whether it runs with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kvm {
    pub present: bool,
    pub enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Status {
    pub running: bool,
    pub status: RunState,
}

/// QEMU's `RunState`, as far as sevirt tells states apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Started with `-S`: set up, and no instruction run.
    Prelaunch,
    Running,
    Paused,
    Shutdown,
    InternalError,
    IoError,
    GuestPanicked,
    #[serde(other)]
    Other,
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Machine {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_default: bool,
    pub cpu_max: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    pub deprecated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_cpu_type: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A CPU model, judged against the accelerator that QEMU was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuDefinition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_of: Option<String>,
    /// Features of the model that this host cannot give; `None` where QEMU cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub deprecated: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CpuModelExpansion {
    pub model: CpuModel,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CpuModel {
    pub name: String,
    #[serde(default)]
    pub props: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TypeName {
    pub name: String,
}

/// An entry of QMP's own schema, as far as a command's arguments and reply are looked up in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SchemaEntry {
    /// A command's or event's own name; types have numbers.
    pub name: String,
    /// `command`, `object`, …
    pub meta_type: String,
    /// Name of the type of a command's arguments.
    #[serde(default)]
    pub arg_type: Option<String>,
    /// Name of the type of a command's reply.
    #[serde(default)]
    pub ret_type: Option<String>,
    /// Of a type whose members depend on one of them: the values of that one.
    #[serde(default)]
    pub variants: Vec<SchemaVariant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SchemaVariant {
    pub case: String,
}

/// A group of command line options and the parameters that it knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CommandLineOption {
    pub option: String,
    pub parameters: Vec<TypeName>,
}

/// Intel SGX, as far as this host gives it to guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SgxCapabilities {
    /// Flexible launch control.
    pub flc: bool,
    pub sgx1: bool,
    pub sgx2: bool,
    #[serde(default)]
    pub sections: Vec<SgxSection>,
}

/// Memory for enclaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SgxSection {
    /// NUMA node.
    pub node: u32,
    /// Bytes.
    pub size: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Chardev {
    /// The chardev's id.
    pub label: String,
    /// What it is connected to; `pty:/dev/pts/7` for a pseudo terminal.
    pub filename: String,
    #[serde(default)]
    pub frontend_open: bool,
}

impl Chardev {
    /// The pseudo terminal's path, where the chardev is one.
    pub fn pty(&self) -> Option<&str> {
        self.filename.strip_prefix("pty:")
    }
}

/// The answer to `query-sev`, of either kind of guest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SevState {
    /// Whether the guest is a confidential one at all; the rest means nothing when it is not.
    pub enabled: bool,
    pub api_major: u8,
    pub api_minor: u8,
    pub build_id: u8,
    pub state: SevGuestState,
    #[serde(flatten)]
    pub guest: SevGuest,
}

/// What `query-sev` tells of one kind of guest. QEMU before 9.1 names no kind, and knows only SEV.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SevGuest {
    Snp {
        #[serde(rename = "snp-policy")]
        policy: u64,
    },
    Sev {
        policy: u32,
        handle: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SevGuestState {
    Uninit,
    LaunchUpdate,
    /// Measured: the measurement can be read and a secret injected, until the guest is resumed.
    LaunchSecret,
    Running,
    SendUpdate,
    ReceiveUpdate,
}

/// The platform's SEV identity and memory layout, as `query-sev-capabilities` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SevCapabilities {
    /// The platform's Diffie-Hellman certificate (2084 bytes), base64.
    pub pdh: String,
    /// PEK, OCA and CEK certificates (three times 2084 bytes), base64.
    pub cert_chain: String,
    /// The chip's unique id, base64; absent before QEMU 7.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu0_id: Option<String>,
    /// The number of the C-bit in a guest page table entry.
    pub cbitpos: u32,
    pub reduced_phys_bits: u32,
}

/// One base64 blob: 48 bytes of measurement and nonce, or a 208-byte attestation report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LaunchMeasure {
    pub data: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn read<T: DeserializeOwned>(value: Value) -> T {
        T::deserialize(value).unwrap()
    }

    #[test]
    fn query_sev_tells_the_kinds_apart() {
        let old = json!({"enabled": true, "api-major": 0, "api-minor": 24, "build-id": 14, "policy": 5,
            "state": "launch-secret", "handle": 3});
        assert_eq!(read::<SevState>(old).guest, SevGuest::Sev { policy: 5, handle: 3 });
        let snp = json!({"enabled": true, "api-major": 1, "api-minor": 55, "build-id": 8,
            "state": "running", "sev-type": "sev-snp", "snp-policy": 196_608});
        assert_eq!(read::<SevState>(snp).guest, SevGuest::Snp { policy: 0x30000 });
    }

    #[test]
    fn an_address_is_sent_only_when_given() {
        let mut secret =
            SevInjectLaunchSecret { header: "aGVhZA==".into(), secret: "Ym9keQ==".into(), gpa: None };
        assert_eq!(
            Value::from(secret.arguments()),
            json!({"packet-header": "aGVhZA==", "secret": "Ym9keQ=="})
        );
        secret.gpa = Some(0x0080_c000);
        assert_eq!(secret.arguments().get("gpa"), Some(&json!(0x0080_c000)));
    }

    #[test]
    fn a_pty_is_found_by_its_file_name() {
        let pty = json!({"label": "charserial0", "filename": "pty:/dev/pts/7", "frontend-open": true});
        assert_eq!(read::<Chardev>(pty).pty(), Some("/dev/pts/7"));
        let other = json!({"label": "charmonitor", "filename": "unix:/x,server=on"});
        assert_eq!(read::<Chardev>(other).pty(), None);
    }

    #[test]
    fn an_unknown_run_state_is_read() {
        let status = json!({"status": "colo", "running": false});
        assert_eq!(read::<Status>(status).status, RunState::Other);
    }
}
