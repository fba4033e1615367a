//! What QEMU can do besides what a [`Plan`](crate::plan::Plan) depends on: `<domainCapabilities>` tells it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CapsError;
use super::queries::{optional, required, send};
use crate::qmp::command::{
    CpuModelExpansion, QomListProperties, QueryCommandLineOptions, QueryQmpSchema, QuerySgxCapabilities,
    QueryTpmModels, QueryTpmTypes, SchemaEntry, SgxCapabilities,
};
use crate::qmp::{Codec, Reply, Ticket};

/// What a QEMU binary offers, by its schema, its options and its types' properties.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Types of `-display`: `sdl`, `dbus`, …
    pub displays: BTreeSet<String>,
    pub vnc: bool,
    /// The module that has it may be missing from a build that knows it.
    pub spice: bool,
    /// Types of `-netdev`: `user`, `stream`, …
    pub netdevs: BTreeSet<String>,
    /// `-run-with async-teardown`.
    pub async_teardown: bool,
    /// Front ends of a TPM: `tpm-tis`, …
    pub tpm_models: BTreeSet<String>,
    /// Back ends of a TPM: `passthrough`, `emulator`.
    pub tpm_types: BTreeSet<String>,
    /// Whether CPU models have the property `migratable`.
    pub migratable: bool,
    /// Whether PCs can do without their PS/2 controller.
    pub i8042: bool,
    /// What KVM has of Hyper-V's enlightenments, by QEMU's names without `hv-`; `None` where it was not told.
    pub hyperv: Option<BTreeSet<String>>,
    pub sgx: Option<SgxCapabilities>,
}

#[derive(Debug)]
pub(super) struct Queries {
    schema: Ticket<QueryQmpSchema>,
    options: Ticket<QueryCommandLineOptions>,
    tpm_models: Ticket<QueryTpmModels>,
    tpm_types: Ticket<QueryTpmTypes>,
    max_cpu: Ticket<QomListProperties>,
    pc_machine: Ticket<QomListProperties>,
    sgx: Ticket<QuerySgxCapabilities>,
}

impl Queries {
    pub(super) fn encode(codec: &mut Codec, bytes: &mut Vec<u8>) -> Self {
        Self {
            schema: send(codec, bytes, &QueryQmpSchema),
            options: send(codec, bytes, &QueryCommandLineOptions),
            tpm_models: send(codec, bytes, &QueryTpmModels),
            tpm_types: send(codec, bytes, &QueryTpmTypes),
            max_cpu: send(codec, bytes, &QomListProperties { typename: "max-x86_64-cpu" }),
            pc_machine: send(codec, bytes, &QomListProperties { typename: "generic-pc-machine" }),
            sgx: send(codec, bytes, &QuerySgxCapabilities),
        }
    }
}

impl Extent {
    pub(super) fn read(
        queries: &Queries,
        host: Option<&CpuModelExpansion>,
        replies: &[Reply],
    ) -> Result<Self, CapsError> {
        let schema = required(&queries.schema, replies)?;
        let options = required(&queries.options, replies)?;
        let option = |name: &str| options.iter().find(|option| option.option == name);
        let has_property = |ticket: &Ticket<QomListProperties>, name: &str| -> Result<bool, CapsError> {
            let properties = optional(ticket, replies)?.unwrap_or_default();
            Ok(properties.iter().any(|property| property.name == name))
        };
        Ok(Self {
            displays: cases(&schema, "query-display-options", |command| command.ret_type.as_deref()),
            vnc: command(&schema, "query-vnc").is_some(),
            spice: option("spice").is_some(),
            netdevs: cases(&schema, "netdev_add", |command| command.arg_type.as_deref()),
            async_teardown: option("run-with")
                .is_some_and(|option| option.parameters.iter().any(|known| known.name == "async-teardown")),
            tpm_models: optional(&queries.tpm_models, replies)?.unwrap_or_default().into_iter().collect(),
            tpm_types: optional(&queries.tpm_types, replies)?.unwrap_or_default().into_iter().collect(),
            migratable: has_property(&queries.max_cpu, "migratable")?,
            i8042: has_property(&queries.pc_machine, "i8042")?,
            hyperv: host.map(enlightenments).filter(|names| !names.is_empty()),
            sgx: optional(&queries.sgx, replies)?,
        })
    }
}

fn command<'s>(schema: &'s [SchemaEntry], name: &str) -> Option<&'s SchemaEntry> {
    schema.iter().find(|entry| entry.meta_type == "command" && entry.name == name)
}

/// The kinds that the arguments or the reply of a command come in.
fn cases(schema: &[SchemaEntry], name: &str, of: impl Fn(&SchemaEntry) -> Option<&str>) -> BTreeSet<String> {
    let type_name = command(schema, name).and_then(of);
    let entry = schema.iter().find(|entry| Some(entry.name.as_str()) == type_name);
    let variants = entry.into_iter().flat_map(|entry| &entry.variants);
    variants.map(|variant| variant.case.clone()).collect()
}

/// The properties of `host` with `hv-passthrough` that are on, not 0 and not empty.
fn enlightenments(host: &CpuModelExpansion) -> BTreeSet<String> {
    let is_on = |value: &Value| match value {
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_u64().is_some_and(|number| number > 0),
        Value::String(_) => true,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let on = host.model.props.iter().filter(|(_, value)| is_on(value));
    on.filter_map(|(name, _)| name.strip_prefix("hv-").map(str::to_owned)).collect()
}
