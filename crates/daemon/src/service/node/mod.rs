//! Calls about the host: what it is, what it has, and what guests it can run.
//!
//! ```text
//!   /proc, /sys ──► Sys ──► Topology, memory, huge pages ──┬── nodeinfo, nodecpumap, nodememstats, freecell …
//!   QEMU ─────────► Host (facts, capabilities) ────────────┴── capabilities, domcapabilities, nodesevinfo …
//! ```

mod capabilities;
mod domain_capabilities;
mod hostname;
mod memory;
mod models;
mod processors;
mod secure;
mod sys;
mod sysinfo;
mod topology;

use std::path::Path;
use std::sync::Arc;

use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::node::{SecurityModel, SuspendArgs};
use rpc::xdr::Chars;

use super::{Failure, Service, blocking};
use crate::start::DEFAULT_EMULATOR;

pub(super) use capabilities::capabilities;
pub(super) use domain_capabilities::domain_capabilities;
pub(super) use hostname::hostname;
pub(super) use memory::{cells_free_memory, free_memory, free_pages, memory_parameters, memory_stats};
pub(super) use models::cpu_model_names;
pub(super) use processors::{cpu_map, cpu_stats, info};
pub(super) use secure::sev_info;
pub(super) use sysinfo::sysinfo;

/// The version of libvirt whose interface this is, as `virConnectGetLibVersion` has it. Tools compare it with the release
/// that brought what they want to use (virt-install, Nova), so it is not sevirt's own.
pub(super) const LIBVIRT_VERSION: u64 = 11_003_000;

/// What `virConnectGetMaxVcpus` tells of emulated guests, whatever QEMU can do.
const EMULATED_VCPUS: i32 = 16;

/// QEMU's version: major, minor and micro, three digits each.
pub(super) async fn version(service: &Arc<Service>) -> Result<u64, Failure> {
    blocking(service, |service| {
        let found = service.host.caps(Path::new(DEFAULT_EMULATOR))?.version.qemu;
        Ok((u64::from(found.major) * 1000 + u64::from(found.minor)) * 1000 + u64::from(found.micro))
    })
    .await
}

/// How many vCPUs a guest can have.
pub(super) fn max_vcpus(kind: Option<&str>) -> Result<i32, Failure> {
    match kind.map(str::to_ascii_lowercase).as_deref() {
        None | Some("qemu") => Ok(EMULATED_VCPUS),
        Some("kvm") => match ::host::kvm_vcpus() {
            Some(count) => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
            None => Err(Box::new(RemoteError::system_error("Unable to open /dev/kvm"))),
        },
        Some(_) => {
            Err(Box::new(RemoteError::invalid_arg(format!("unknown type '{}'", kind.unwrap_or_default()))))
        }
    }
}

/// No label of a security module is given to guests: they are kept apart otherwise.
pub(super) fn security_model() -> SecurityModel {
    SecurityModel { model: Chars::new(secure::NO_MODULE), doi: Chars::new("0") }
}

/// Suspending the host is not for a daemon that keeps guests; libvirt's words where the host cannot.
pub(super) fn suspend(args: &SuspendArgs) -> Failure {
    no_flags(args.flags, 0, "virNodeSuspend").err().unwrap_or_else(|| {
        let target = match args.target {
            0 => "Suspend-to-RAM",
            1 => "Suspend-to-Disk",
            2 => "Hybrid-Suspend",
            _ => {
                let words = "Invalid suspend target";
                return Box::new(RemoteError::new(Code::INVALID_ARG, Origin::NONE, words));
            }
        };
        Box::new(RemoteError::new(Code::ARGUMENT_UNSUPPORTED, Origin::NONE, target))
    })
}

/// Refuses flags that a call does not know, as libvirt's function of that name does.
fn no_flags(flags: u32, known: u32, function: &'static str) -> Result<(), Failure> {
    match flags & !known {
        0 => Ok(()),
        unknown => {
            let origin = if function.starts_with("qemu") { Origin::QEMU } else { Origin::NONE };
            Err(Box::new(RemoteError::unsupported_flags(origin, unknown, function)))
        }
    }
}

/// An argument that a function of libvirt's host part does not take, in its words.
fn misused(function: &'static str, argument: &'static str, message: String) -> Failure {
    Box::new(RemoteError::misused(Origin::NONE, function, argument, message))
}

#[cfg(test)]
mod tests;
