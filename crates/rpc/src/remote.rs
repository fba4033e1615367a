//! The remote program: libvirt's public interface as procedures. [`procedure`] is the table; the other modules hold
//! what the procedures take and give.

use crate::program::Access;

pub mod block;
pub mod common;
pub mod connect;
pub mod domain;
pub mod event;
pub mod network;
pub mod node;
pub mod object;
pub mod procedure;
pub mod storage;
pub mod tune;
pub mod typed_param;

pub use procedure::{Call, Event, PROGRAM, Procedure, Reply};

/// `VIR_DOMAIN_XML_SECURE`, and the same of a snapshot and of a saved image: show passwords too.
const XML_SECURE: u32 = 1;
/// `VIR_DOMAIN_XML_MIGRATABLE`, which implies the passwords.
const XML_MIGRATABLE: u32 = 8;
/// `VIR_DOMAIN_VCPU_GUEST`: ask the guest's agent.
const VCPU_GUEST: u32 = 8;
/// `VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT`: ask the guest's agent.
const ADDRESSES_FROM_AGENT: u32 = 1;

impl Call<'_> {
    /// Who may make this call: a few procedures that read are refused on a read-only connection when they are asked
    /// for secrets, or to talk to the guest.
    pub fn access(&self) -> Access {
        let writes = match self {
            Self::DomainGetXmlDesc(args) => args.flags & (XML_SECURE | XML_MIGRATABLE) != 0,
            Self::DomainSnapshotGetXmlDesc(args) => args.flags & XML_SECURE != 0,
            Self::DomainManagedSaveGetXmlDesc(args) => args.flags & XML_SECURE != 0,
            Self::DomainGetVcpusFlags(args) => args.flags & VCPU_GUEST != 0,
            Self::DomainInterfaceAddresses(args) => args.number == ADDRESSES_FROM_AGENT,
            _ => false,
        };
        if writes { Access::Write } else { self.procedure().access() }
    }
}

#[cfg(test)]
mod tests;
