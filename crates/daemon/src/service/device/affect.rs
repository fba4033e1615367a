//! What a change or a question is about: the running guest, the definition, or both.

use std::sync::Arc;

use domain::Domain;
use rpc::error::{Code, Origin, RemoteError};

use crate::service::Failure;
use crate::service::domains::Vm;
use crate::vm::Guest;

/// `virDomainModificationImpact`: the guest as it runs, and what it starts from next. Neither: as the domain is now.
pub(crate) const LIVE: u32 = 1;
pub(crate) const CONFIG: u32 = 2;
const BOTH: u32 = LIVE | CONFIG;

/// What a change is made to.
#[derive(Debug)]
pub(crate) struct Affected {
    pub(crate) live: Option<Arc<Guest>>,
    pub(crate) config: bool,
}

/// What a question is about: with the guest, or the definition alone.
#[derive(Debug)]
pub(crate) enum View {
    Live(Arc<Guest>, Arc<Domain>),
    Config(Box<Domain>),
}

impl View {
    pub(crate) fn domain(&self) -> &Domain {
        match self {
            Self::Live(_, domain) => domain,
            Self::Config(domain) => domain,
        }
    }

    pub(crate) fn guest(&self) -> Option<&Arc<Guest>> {
        match self {
            Self::Live(guest, _) => Some(guest),
            Self::Config(_) => None,
        }
    }
}

/// What `flags` select of a domain for a change.
pub(crate) fn affected(vm: &Vm, flags: u32) -> Result<Affected, Failure> {
    let guest = vm.guest();
    let (live, config) = match flags & BOTH {
        0 => (guest.is_some(), guest.is_none()),
        flags => (flags & LIVE != 0, flags & CONFIG != 0),
    };
    let live = match (live, guest) {
        (false, _) => None,
        (true, Some(guest)) => Some(guest),
        (true, None) => return Err(not_running()),
    };
    if config && vm.definition().is_none() {
        return Err(transient());
    }
    Ok(Affected { live, config })
}

/// What `flags` select of a domain for a question.
pub(crate) fn view(vm: &Vm, flags: u32) -> Result<View, Failure> {
    if flags & BOTH == BOTH {
        return Err(invalid("the running guest and the definition cannot be asked about at once"));
    }
    let Affected { live, .. } = affected(vm, flags)?;
    match live {
        Some(guest) => {
            let domain = guest.live();
            Ok(View::Live(guest, domain))
        }
        None => Ok(View::Config(Box::new(defined(vm)?))),
    }
}

/// The guest of a domain that runs.
pub(crate) fn running(vm: &Vm) -> Result<Arc<Guest>, Failure> {
    vm.guest().ok_or_else(not_running)
}

/// The definition, read.
pub(crate) fn defined(vm: &Vm) -> Result<Domain, Failure> {
    let text = vm.definition().ok_or_else(transient)?;
    let document = domain::Document::parse(&text)
        .map_err(|error| RemoteError::internal(format!("the stored definition cannot be read: {error}")))?;
    Ok(Domain::read(&document).0)
}

pub(crate) use crate::service::domain::only_flags as check;
pub(crate) use crate::service::domains::not_running;

fn transient() -> Failure {
    Box::new(RemoteError::operation_invalid("transient domains do not have any persistent config"))
}

pub(crate) fn invalid(detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::invalid_arg(detail))
}

pub(crate) fn op_invalid(detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::operation_invalid(detail))
}

pub(crate) fn unsupported(detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::operation_unsupported(detail))
}

pub(crate) fn config_unsupported(detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::config_unsupported(detail))
}

pub(crate) fn internal(detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::internal(detail))
}

/// A device that is not there.
pub(crate) fn missing(detail: impl Into<String>) -> Failure {
    Box::new(RemoteError::new(Code::DEVICE_MISSING, Origin::QEMU, detail))
}
