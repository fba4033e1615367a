//! `KVM_MEMORY_ENCRYPT_OP`: the commands to a guest, with the checks that KVM makes before it asks the firmware.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attest::sev::vmsa::Profile;
use sim::client::{Connection, socket_path};
use sim::{Command, Handle, Reply, command::GuestKind};

use super::vm::{Kind, State, Vm};
use super::{launch, msr, snp};
use crate::abi::{Init2, SevCmd, guest as command};
use crate::errno::{Errno, Outcome};
use crate::failure::Failure;
use crate::message::{say, trace};
use crate::{sev_device, user};

/// `GHCB_VERSION_MAX` of Linux.
const LATEST_GHCB: u16 = 2;

/// A guest of the simulator.
pub(super) struct Guest {
    /// Its end is the guest's.
    pub(super) connection: Connection,
    pub(super) handle: Handle,
    pub(super) kind: GuestKind,
    /// `SEV_FEATURES` of its vCPUs.
    pub(super) features: u64,
    pub(super) profile: Profile,
}

impl Guest {
    /// Whether the guest's registers are encrypted, so that nothing but its launch can be simulated.
    pub(super) fn has_encrypted_registers(&self) -> bool {
        self.kind != GuestKind::Sev
    }

    /// Sends a command, and takes the firmware's refusal as a failure.
    pub(super) fn call(&mut self, command: &Command) -> Result<Reply, Failure> {
        Ok(self.connection.call(command)??)
    }
}

/// Carries out the command at `argument`. Without one the program asks whether there are encrypted guests at all.
pub(super) fn operate(vm: &Arc<Vm>, argument: *mut c_void) -> Outcome {
    if argument.is_null() {
        return Ok(0);
    }
    let address = user::address(argument);
    let mut request: SevCmd = user::read(address)?;
    let result = {
        let mut state = vm.state();
        carry_out(vm, &mut state, &request)
    };
    match &result {
        Err(failure @ (Failure::Connection(_) | Failure::Reply)) => {
            say!("guest command {}: {failure}", request.id);
        }
        Err(failure) => trace!("guest command {}: {failure}", request.id),
        Ok(()) => trace!("guest command {}", request.id),
    }
    request.error = result.as_ref().map_or_else(Failure::status, |()| 0);
    user::write(address, &request)?;
    result.map(|()| 0).map_err(|failure| failure.errno())
}

fn carry_out(vm: &Vm, state: &mut State, request: &SevCmd) -> Result<(), Failure> {
    let data = request.data;
    match request.id {
        command::INIT => initialize(vm, state, GuestKind::Sev, 0, Profile::Legacy, vm.kind == Kind::Default),
        command::ES_INIT => {
            initialize(vm, state, GuestKind::SevEs, 0, Profile::Legacy, vm.kind == Kind::Default)
        }
        command::INIT2 => initialize2(vm, state, data),
        _ if state.guest.is_none() => Err(Errno::ENOTTY.into()),
        _ if !sev_device::is_device(request.sev_fd) => Err(Errno::EBADF.into()),
        command::LAUNCH_START => {
            launch::start(state, data)?;
            if state.runs() {
                vm.sev_status.store(msr::SEV_ENABLED, Ordering::Relaxed);
            }
            Ok(())
        }
        command::LAUNCH_UPDATE_DATA => launch::update_data(state, data),
        command::LAUNCH_UPDATE_VMSA => launch::update_vmsa(state),
        command::LAUNCH_MEASURE => launch::measure(state, data),
        command::LAUNCH_SECRET => launch::secret(state, data),
        command::LAUNCH_FINISH => launch::finish(state),
        command::GUEST_STATUS => launch::guest_status(state, data),
        command::GET_ATTESTATION_REPORT => launch::attestation_report(state, data),
        command::SNP_LAUNCH_START => snp::start(state, data),
        command::SNP_LAUNCH_UPDATE => snp::update(state, data),
        command::SNP_LAUNCH_FINISH => snp::finish(state, data),
        other => {
            say!("guest command {other} is not simulated");
            Err(Errno::EINVAL.into())
        }
    }
}

/// `KVM_SEV_INIT2`, whose kind of guest is the machine's type.
fn initialize2(vm: &Vm, state: &mut State, data: u64) -> Result<(), Failure> {
    let init: Init2 = user::read(data)?;
    let (kind, own_features) = match vm.kind {
        Kind::Sev => (GuestKind::Sev, 0),
        Kind::SevEs => (GuestKind::SevEs, 0),
        Kind::SevSnp => (GuestKind::SevSnp, SNP_ACTIVE),
        Kind::Default | Kind::Other(_) => return Err(Errno::EINVAL.into()),
    };
    let plain = kind == GuestKind::Sev;
    if init.flags != 0
        || init.ghcb_version > LATEST_GHCB
        || plain && (init.ghcb_version != 0 || init.vmsa_features != 0)
        || init.vmsa_features & SNP_ACTIVE != 0
    {
        return Err(Errno::EINVAL.into());
    }
    let features = init.vmsa_features | own_features;
    initialize(vm, state, kind, features, Profile::Fpu, true)
}

/// `SEV_FEATURES` bit 0 (AMD 24593, table B-4).
const SNP_ACTIVE: u64 = 1;

/// Makes the machine a guest, once and before it has vCPUs.
fn initialize(
    vm: &Vm,
    state: &mut State,
    kind: GuestKind,
    features: u64,
    profile: Profile,
    fits_type: bool,
) -> Result<(), Failure> {
    if state.guest.is_some() || !state.vcpus.is_empty() || !fits_type {
        return Err(Errno::EINVAL.into());
    }
    let mut connection = Connection::open(&socket_path())?;
    let Reply::Guest(handle) = connection.call(&Command::GuestInit { kind })?? else {
        return Err(Failure::Reply);
    };
    Ok(vm.protect(state, Guest { connection, handle, kind, features, profile })?)
}
