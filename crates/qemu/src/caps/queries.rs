//! The questions whose answers make up [`Caps`], as sent to one QEMU.
//!
//! libvirt asks each of those that [`Part::Extent`] needs, so that its recorded answers can be put to this code.

use std::collections::BTreeMap;

use super::extent::{self, Extent};
use super::{Caps, CapsError, CpuSignature};
use crate::qmp::command::{
    CpuModelExpansion, QomListTypes, QueryCpuDefinitions, QueryCpuModelExpansion, QueryKvm, QueryMachines,
    QuerySevCapabilities, QueryTarget, QueryVersion,
};
use crate::qmp::{Codec, Command, CommandError, Reply, Ticket};

/// The models whose signature is asked for: those that confidential guests use, since their launch digest depends on it.
const SIGNED_MODELS: [&str; 7] =
    ["EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin", "qemu64", "max"];

/// What is asked only where it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What named CPU models present: a measured launch with encrypted registers depends on it.
    Signatures,
    /// All that `<domainCapabilities>` tells. It doubles what QEMU has to say.
    Extent,
}

/// The questions that were sent.
#[derive(Debug)]
pub struct Queries {
    version: Ticket<QueryVersion>,
    target: Ticket<QueryTarget>,
    kvm: Ticket<QueryKvm>,
    machines: Ticket<QueryMachines>,
    cpu_models: Ticket<QueryCpuDefinitions>,
    host_cpu: Ticket<QueryCpuModelExpansion>,
    types: Ticket<QomListTypes>,
    sev: Ticket<QuerySevCapabilities>,
    signatures: Option<Vec<(&'static str, Ticket<QueryCpuModelExpansion>)>>,
    extent: Option<extent::Queries>,
    count: usize,
}

impl Queries {
    /// All questions as bytes for one write.
    pub fn encode(codec: &mut Codec, parts: &[Part]) -> (Self, Vec<u8>) {
        let mut bytes = Vec::new();
        let named = |codec: &mut Codec, bytes: &mut Vec<u8>| {
            SIGNED_MODELS
                .map(|model| (model, send(codec, bytes, &QueryCpuModelExpansion { model, props: &[] })))
        };
        let mut queries = Self {
            version: send(codec, &mut bytes, &QueryVersion),
            target: send(codec, &mut bytes, &QueryTarget),
            kvm: send(codec, &mut bytes, &QueryKvm),
            machines: send(codec, &mut bytes, &QueryMachines),
            cpu_models: send(codec, &mut bytes, &QueryCpuDefinitions),
            host_cpu: send(
                codec,
                &mut bytes,
                &QueryCpuModelExpansion {
                    model: "host",
                    props: &[("migratable", false), ("hv-passthrough", true)],
                },
            ),
            types: send(codec, &mut bytes, &QomListTypes),
            sev: send(codec, &mut bytes, &QuerySevCapabilities),
            signatures: parts.contains(&Part::Signatures).then(|| named(codec, &mut bytes).into()),
            extent: parts.contains(&Part::Extent).then(|| extent::Queries::encode(codec, &mut bytes)),
            count: 0,
        };
        queries.count = bytes.iter().filter(|byte| **byte == b'\n').count();
        (queries, bytes)
    }

    /// How many replies there will be.
    pub fn count(&self) -> usize {
        self.count
    }

    pub(super) fn read(&self, replies: &[Reply]) -> Result<Caps, CapsError> {
        let mut machines = required(&self.machines, replies)?;
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        let mut cpu_models = required(&self.cpu_models, replies)?;
        cpu_models.sort_by(|a, b| a.name.cmp(&b.name));
        let sev = match required(&self.sev, replies) {
            Ok(caps) => Ok(caps),
            Err(CapsError::Command(CommandError::Refused { refusal, .. })) => Err(refusal.desc),
            Err(other) => return Err(other),
        };
        let kvm = required(&self.kvm, replies)?;
        // Without KVM there is no `host` model; some releases expand it nevertheless.
        let host = optional(&self.host_cpu, replies)?.filter(|_| kvm.enabled);
        let signatures = self.signatures.as_ref().map(|asked| signatures(asked, replies)).transpose()?;
        let extent = match &self.extent {
            Some(asked) => Some(Extent::read(asked, host.as_ref(), replies)?),
            None => None,
        };
        Ok(Caps {
            version: required(&self.version, replies)?,
            target: required(&self.target, replies)?.arch,
            kvm,
            machines,
            cpu_models,
            host_cpu: host.as_ref().and_then(signature),
            signatures,
            types: required(&self.types, replies)?.into_iter().map(|entry| entry.name).collect(),
            sev,
            extent,
        })
    }
}

fn signatures(
    asked: &[(&str, Ticket<QueryCpuModelExpansion>)],
    replies: &[Reply],
) -> Result<BTreeMap<String, CpuSignature>, CapsError> {
    let mut signatures = BTreeMap::new();
    for (name, ticket) in asked {
        // Refused by a release that does not have the model.
        let found = optional(ticket, replies)?.as_ref().and_then(signature);
        signatures.extend(found.map(|found| ((*name).to_owned(), found)));
    }
    Ok(signatures)
}

fn signature(expansion: &CpuModelExpansion) -> Option<CpuSignature> {
    let number = |name| u32::try_from(expansion.model.props.get(name)?.as_u64()?).ok();
    Some(CpuSignature { family: number("family")?, model: number("model")?, stepping: number("stepping")? })
}

pub(super) fn send<C: Command>(codec: &mut Codec, bytes: &mut Vec<u8>, command: &C) -> Ticket<C> {
    let (ticket, message) = codec.encode(command);
    bytes.extend_from_slice(&message);
    ticket
}

pub(super) fn required<C: Command>(ticket: &Ticket<C>, replies: &[Reply]) -> Result<C::Reply, CapsError> {
    let reply = replies.iter().find(|reply| reply.id == ticket.id()).ok_or(CapsError::Missing(C::NAME))?;
    ticket.read(reply.outcome.clone()).map_err(CapsError::Command)
}

/// The reply to a question that QEMU may refuse: it was built without, the host lacks it, or the release is too old.
pub(super) fn optional<C: Command>(
    ticket: &Ticket<C>,
    replies: &[Reply],
) -> Result<Option<C::Reply>, CapsError> {
    match required(ticket, replies) {
        Ok(reply) => Ok(Some(reply)),
        Err(CapsError::Command(CommandError::Refused { .. })) => Ok(None),
        Err(other) => Err(other),
    }
}
