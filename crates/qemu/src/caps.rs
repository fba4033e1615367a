//! What one QEMU binary can do on one host, put together from its own replies to QMP queries.
//!
//! [`Queries`] says what to ask and [`Caps::from_replies`] reads the answers; neither asks. Why SEV cannot be used is
//! kept in QEMU's own words, since the reason is what the user needs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::qmp::command::{
    CpuDefinition, CpuModelExpansion, Kvm, Machine, QomListTypes, QueryCpuDefinitions,
    QueryCpuModelExpansion, QueryKvm, QueryMachines, QuerySevCapabilities, QueryTarget, QueryVersion,
    SevCapabilities, Version,
};
use crate::qmp::{Codec, Command, CommandError, Reply, Ticket};

/// The SEV half of the capabilities: the platform's certificates and C-bit.
pub type SevCaps = SevCapabilities;

/// The models whose signature is asked for: those that confidential guests use, since their launch digest depends on it.
const SIGNED_MODELS: &[&str] =
    &["EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin", "qemu64", "max", "host"];

/// What a QEMU binary can do on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    pub version: Version,
    /// The architecture of its guests, such as `x86_64`.
    pub target: String,
    pub kvm: Kvm,
    /// Machine types, sorted by name.
    pub machines: Vec<Machine>,
    /// CPU models, sorted by name; what is unavailable was judged with KVM if that is enabled.
    pub cpu_models: Vec<CpuDefinition>,
    /// What `-cpu host` presents, where KVM is enabled.
    pub host_cpu: Option<CpuSignature>,
    /// What named CPU models present, by their names without a version.
    pub signatures: BTreeMap<String, CpuSignature>,
    /// The device types and user-creatable objects.
    pub types: BTreeSet<String>,
    /// The platform's SEV identity, or QEMU's words for why there is none.
    pub sev: Result<SevCaps, String>,
}

/// Family, model and stepping as CPUID leaf 1 composes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSignature {
    pub family: u32,
    pub model: u32,
    pub stepping: u32,
}

impl Caps {
    /// The machine type that `name` means: itself, or what it is an alias of.
    pub fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|m| m.name == name || m.alias.as_deref() == Some(name))
    }

    pub fn cpu_model(&self, name: &str) -> Option<&CpuDefinition> {
        self.cpu_models.iter().find(|model| model.name == name)
    }

    /// What a vCPU of the model presents as its family, model and stepping: all versions of a model present the same.
    pub fn signature(&self, model: &str) -> Option<CpuSignature> {
        if model == "host" {
            return self.host_cpu;
        }
        let unversioned = match model.rsplit_once("-v") {
            Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => model,
        };
        self.signatures.get(unversioned.strip_suffix("-IBPB").unwrap_or(unversioned)).copied()
    }

    /// Whether the device or object type exists in this build, such as `virtio-rng-pci` or `sev-snp-guest`.
    pub fn has(&self, type_name: &str) -> bool {
        self.types.contains(type_name)
    }

    /// Whether the release is at least `major.minor`.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.version.qemu.major, self.version.qemu.minor) >= (major, minor)
    }

    /// Reads the replies to `queries`, in any order. One that is missing is an error that names it.
    pub fn from_replies(queries: &Queries, replies: &[Reply]) -> Result<Self, CapsError> {
        let mut machines = required(&queries.machines, replies)?;
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        let mut cpu_models = required(&queries.cpu_models, replies)?;
        cpu_models.sort_by(|a, b| a.name.cmp(&b.name));
        let devices = required(&queries.devices, replies)?;
        let objects = required(&queries.objects, replies)?;
        let sev = match required(&queries.sev, replies) {
            Ok(caps) => Ok(caps),
            Err(CapsError::Command(CommandError::Refused { refusal, .. })) => Err(refusal.desc),
            Err(other) => return Err(other),
        };
        let mut signatures = BTreeMap::new();
        for (name, ticket) in &queries.signatures {
            match required(ticket, replies) {
                Ok(expansion) => {
                    signatures.extend(signature(&expansion).map(|found| ((*name).to_owned(), found)));
                }
                // A release that does not have the model, or a host without KVM.
                Err(CapsError::Command(CommandError::Refused { .. })) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(Self {
            version: required(&queries.version, replies)?,
            target: required(&queries.target, replies)?.arch,
            kvm: required(&queries.kvm, replies)?,
            machines,
            cpu_models,
            host_cpu: signatures.remove("host"),
            signatures,
            types: devices.into_iter().chain(objects).map(|entry| entry.name).collect(),
            sev,
        })
    }
}

/// The questions whose answers make up [`Caps`], as sent to one QEMU.
#[derive(Debug)]
pub struct Queries {
    version: Ticket<QueryVersion>,
    target: Ticket<QueryTarget>,
    kvm: Ticket<QueryKvm>,
    machines: Ticket<QueryMachines>,
    cpu_models: Ticket<QueryCpuDefinitions>,
    signatures: Vec<(&'static str, Ticket<QueryCpuModelExpansion>)>,
    devices: Ticket<QomListTypes>,
    objects: Ticket<QomListTypes>,
    sev: Ticket<QuerySevCapabilities>,
}

impl Queries {
    /// How many replies there will be.
    pub const COUNT: usize = 8 + SIGNED_MODELS.len();

    /// All questions as bytes for one write.
    pub fn encode(codec: &mut Codec) -> (Self, Vec<u8>) {
        let mut bytes = Vec::new();
        let queries = Self {
            version: send(codec, &mut bytes, &QueryVersion),
            target: send(codec, &mut bytes, &QueryTarget),
            kvm: send(codec, &mut bytes, &QueryKvm),
            machines: send(codec, &mut bytes, &QueryMachines),
            cpu_models: send(codec, &mut bytes, &QueryCpuDefinitions),
            signatures: SIGNED_MODELS
                .iter()
                .map(|name| {
                    (*name, send(codec, &mut bytes, &QueryCpuModelExpansion { model: (*name).into() }))
                })
                .collect(),
            devices: send(codec, &mut bytes, &QomListTypes { implements: "device" }),
            objects: send(codec, &mut bytes, &QomListTypes { implements: "user-creatable" }),
            sev: send(codec, &mut bytes, &QuerySevCapabilities),
        };
        (queries, bytes)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CapsError {
    #[error("QEMU did not answer {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Command(CommandError),
}

fn signature(expansion: &CpuModelExpansion) -> Option<CpuSignature> {
    let number = |name| u32::try_from(expansion.model.props.get(name)?.as_u64()?).ok();
    Some(CpuSignature { family: number("family")?, model: number("model")?, stepping: number("stepping")? })
}

fn send<C: Command>(codec: &mut Codec, bytes: &mut Vec<u8>, command: &C) -> Ticket<C> {
    let (ticket, message) = codec.encode(command);
    bytes.extend_from_slice(&message);
    ticket
}

fn required<C: Command>(ticket: &Ticket<C>, replies: &[Reply]) -> Result<C::Reply, CapsError> {
    let reply = replies.iter().find(|reply| reply.id == ticket.id()).ok_or(CapsError::Missing(C::NAME))?;
    ticket.read(reply.outcome.clone()).map_err(CapsError::Command)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::qmp::{Incoming, Outcome, Refusal};

    fn refuse(desc: &str) -> Outcome {
        Err(Refusal { class: "GenericError".into(), desc: desc.into() })
    }

    /// In the order of [`Queries`]; the last is SEV's.
    fn answers() -> Vec<Outcome> {
        let mut answers = vec![
            Ok(json!({"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": "Debian 1:10.0.2"})),
            Ok(json!({"arch": "x86_64"})),
            Ok(json!({"enabled": true, "present": true})),
            Ok(json!([
                {"name": "pc-q35-10.0", "alias": "q35", "cpu-max": 4096, "hotpluggable-cpus": true},
                {"name": "none", "cpu-max": 1}
            ])),
            Ok(json!([{"name": "EPYC-v4", "unavailable-features": ["sha-ni"], "static": false}])),
        ];
        for name in SIGNED_MODELS {
            answers.push(if *name == "EPYC-Milan" {
                let props = json!({"family": 25, "model": 1, "stepping": 1, "aes": true});
                Ok(json!({"model": {"name": name, "props": props}}))
            } else {
                refuse("CPU model 'host' requires KVM or HVF")
            });
        }
        answers.push(Ok(json!([{"name": "virtio-rng-pci", "parent": "virtio-rng-pci-base-type"}])));
        answers.push(Ok(json!([{"name": "sev-guest", "parent": "sev-common"}])));
        answers.push(refuse("SEV is not enabled in KVM"));
        answers
    }

    fn caps(answers: Vec<Outcome>) -> Result<Caps, CapsError> {
        let mut codec = Codec::new();
        let (queries, sent) = Queries::encode(&mut codec);
        assert_eq!(sent.iter().filter(|byte| **byte == b'\n').count(), Queries::COUNT);
        let mut replies: Vec<Reply> =
            (0u64..).zip(answers).map(|(id, outcome)| Reply { id, outcome }).collect();
        replies.reverse();
        Caps::from_replies(&queries, &replies)
    }

    #[test]
    fn replies_become_capabilities() {
        let caps = caps(answers()).unwrap();
        assert_eq!(caps.machine("q35").map(|machine| machine.name.as_str()), Some("pc-q35-10.0"));
        let milan = Some(CpuSignature { family: 25, model: 1, stepping: 1 });
        assert_eq!(caps.signature("EPYC-Milan"), milan);
        assert_eq!(caps.signature("EPYC-Milan-v2"), milan);
        assert_eq!(caps.signature("host"), None);
        assert!(caps.has("sev-guest") && caps.has("virtio-rng-pci") && !caps.has("sev-snp-guest"));
        assert!(caps.at_least(9, 1) && caps.at_least(10, 0) && !caps.at_least(10, 1));
        assert_eq!(caps.sev, Err("SEV is not enabled in KVM".into()));
    }

    #[test]
    fn the_stored_form_reads_back() {
        let mut answers = answers();
        if let Some(sev) = answers.last_mut() {
            *sev = Ok(json!({"pdh": "AA==", "cert-chain": "AA==", "cbitpos": 51, "reduced-phys-bits": 1}));
        }
        let caps = caps(answers).unwrap();
        let stored = serde_json::to_string(&caps).unwrap();
        assert_eq!(serde_json::from_str::<Caps>(&stored).unwrap(), caps);
    }

    #[test]
    fn a_refused_or_missing_answer_is_named() {
        let mut answers = answers();
        if let Some(target) = answers.get_mut(1) {
            *target = refuse("no");
        }
        assert_eq!(caps(answers.clone()).unwrap_err().to_string(), "QEMU refused query-target: no");
        answers.clear();
        assert_eq!(caps(answers).unwrap_err().to_string(), "QEMU did not answer query-machines");
    }

    #[test]
    fn answers_off_the_wire_become_capabilities() {
        let mut codec = Codec::new();
        let (queries, _) = Queries::encode(&mut codec);
        for (id, outcome) in answers().into_iter().enumerate() {
            let mut message = match outcome {
                Ok(value) => json!({"return": value}),
                Err(refusal) => json!({"error": {"class": refusal.class, "desc": refusal.desc}}),
            };
            if let Some(fields) = message.as_object_mut() {
                fields.insert("id".into(), id.into());
            }
            codec.push(format!("{message}\r\n").as_bytes()).unwrap();
        }
        let replies: Vec<Reply> = std::iter::from_fn(|| codec.next().unwrap())
            .filter_map(|message| if let Incoming::Reply(reply) = message { Some(reply) } else { None })
            .collect();
        Caps::from_replies(&queries, &replies).unwrap();
    }
}
