//! The processor: which state it is in, which keys it holds, which guests it knows.
//!
//! ```text
//!            INIT                 first guest starts its launch
//!   UNINIT ────────> INIT ────────────────────────────────────> WORKING
//!     ^  <──────────  ^  <──────────────────────────────────────  │
//!     │    SHUTDOWN        last guest is decommissioned           │
//!     └───────────────────────── SHUTDOWN ────────────────────────┘
//! ```
//!
//! The state is computed from what is there, so it cannot contradict it. This is the firmware alone; what the kernel does
//! around it is in [`crate::kernel`].

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use attest::sev::{ApiVersion, FirmwareVersion};
use zeroize::Zeroizing;

use crate::command::{self, Command, GuestKind, Handle, PlatformState, Reply};
use crate::guest::Guest;
use crate::keys::{Chip, Identity, NoRandomness, Random};
use crate::status::FirmwareStatus;

/// What the simulated firmware says it is.
pub const FIRMWARE: FirmwareVersion = FirmwareVersion { api: ApiVersion { major: 1, minor: 55 }, build: 21 };

/// Address space identifiers of SEV-ES and SNP guests: from 1 to below the first of SEV guests.
const FIRST_SEV_ASID: u32 = 100;
/// The last address space identifier.
const LAST_ASID: u32 = 509;

/// The simulated processor. It has no `Debug`: it holds private keys.
#[expect(missing_debug_implementations, reason = "keys must not reach a log")]
pub struct Platform {
    pub(crate) chip: Chip,
    pub(crate) identity: Identity,
    pub(crate) random: Box<dyn Random>,
    pub(crate) initialized: bool,
    guests: BTreeMap<Handle, Guest>,
    next_handle: u32,
}

impl Platform {
    /// A processor that has just got power: not initialized, without guests.
    #[must_use]
    pub fn new(chip: Chip, identity: Identity, random: Box<dyn Random>) -> Self {
        Self { chip, identity, random, initialized: false, guests: BTreeMap::new(), next_handle: 1 }
    }

    /// Carries out a command, or says why not; a command that fails leaves everything as it was, but for `LAUNCH_MEASURE`'s
    /// and others' draw of randomness.
    ///
    /// # Errors
    /// As the specifications say for the command.
    pub fn run(&mut self, command: Command) -> Result<Reply, FirmwareStatus> {
        match command {
            Command::Init => command::init::run(self),
            Command::Shutdown => command::shutdown::run(self),
            Command::PlatformStatus => command::platform_status::run(self),
            Command::SnpPlatformStatus => command::snp_platform_status::run(self),
            Command::FactoryReset => command::factory_reset::run(self),
            Command::PekGen => command::pek_gen::run(self),
            Command::PekCsr => command::pek_csr::run(self),
            Command::PekCertImport { pek, oca } => command::pek_cert_import::run(self, &pek, &oca),
            Command::PdhGen => command::pdh_gen::run(self),
            Command::PdhCertExport => command::pdh_cert_export::run(self),
            Command::GetId2 => command::get_id2::run(self),
            Command::GuestInit { kind } => command::guest_init::run(self, kind),
            Command::LaunchStart { guest, policy, dh_cert, session } => {
                command::launch_start::run(self, guest, policy, &dh_cert, &session)
            }
            Command::LaunchUpdateData { guest, data } => command::launch_update_data::run(self, guest, &data),
            Command::LaunchUpdateVmsa { guest, vcpus } => {
                command::launch_update_vmsa::run(self, guest, &vcpus)
            }
            Command::LaunchMeasure { guest } => command::launch_measure::run(self, guest),
            Command::LaunchSecret { guest, header, packet, guest_len } => {
                command::launch_secret::run(self, guest, &header, &packet, guest_len)
            }
            Command::LaunchFinish { guest } => command::launch_finish::run(self, guest),
            Command::GuestStatus { guest } => command::guest_status::run(self, guest),
            Command::AttestationReport { guest, mnonce } => {
                command::attestation_report::run(self, guest, mnonce)
            }
            Command::SnpLaunchStart { guest, policy } => command::snp_launch_start::run(self, guest, policy),
            Command::SnpLaunchUpdate { guest, page_type, gpa, length, data } => {
                command::snp_launch_update::run(self, guest, page_type, gpa, length, &data)
            }
            Command::SnpLaunchUpdateVmsa { guest, vcpus } => {
                command::snp_launch_update_vmsa::run(self, guest, &vcpus)
            }
            Command::SnpLaunchFinish { guest, id_block, id_auth, author_key } => {
                command::snp_launch_finish::run(self, guest, &id_block, &id_auth, author_key)
            }
            Command::Decommission { guest } => command::decommission::run(self, guest),
        }
    }

    /// The platform's state.
    #[must_use]
    pub fn state(&self) -> PlatformState {
        match (self.initialized, self.guest_count()) {
            (false, _) => PlatformState::Uninit,
            (true, 0) => PlatformState::Init,
            (true, _) => PlatformState::Working,
        }
    }

    /// What survives power loss, to be stored when it changed.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes the platform back to an identity that it had, when the new one could not be stored.
    pub fn restore(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// How many guests have begun their launch.
    pub(crate) fn guest_count(&self) -> u32 {
        let started = self.guests.values().filter(|guest| guest.is_started()).count();
        u32::try_from(started).unwrap_or(u32::MAX)
    }

    pub(crate) fn require(&self, allowed: &[PlatformState]) -> Result<(), FirmwareStatus> {
        if allowed.contains(&self.state()) { Ok(()) } else { Err(FirmwareStatus::InvalidPlatformState) }
    }

    /// Reserves the first free ASID of the guest's kind and a handle for it.
    pub(crate) fn reserve(&mut self, kind: GuestKind) -> Result<Handle, FirmwareStatus> {
        let mut range = match kind {
            GuestKind::Sev => FIRST_SEV_ASID..=LAST_ASID,
            GuestKind::SevEs | GuestKind::SevSnp => 1..=FIRST_SEV_ASID - 1,
        };
        let is_taken = |asid: &u32| self.guests.values().any(|guest| guest.asid == *asid);
        let asid = range.find(|asid| !is_taken(asid)).ok_or(FirmwareStatus::ResourceLimit)?;
        loop {
            let handle = Handle(self.next_handle);
            self.next_handle = self.next_handle.checked_add(1).unwrap_or(1);
            if let Entry::Vacant(entry) = self.guests.entry(handle) {
                entry.insert(Guest::new(kind, asid));
                return Ok(handle);
            }
        }
    }

    pub(crate) fn guest(&self, handle: Handle) -> Result<&Guest, FirmwareStatus> {
        self.guests.get(&handle).ok_or(FirmwareStatus::InvalidGuest)
    }

    pub(crate) fn guest_mut(&mut self, handle: Handle) -> Result<&mut Guest, FirmwareStatus> {
        self.guests.get_mut(&handle).ok_or(FirmwareStatus::InvalidGuest)
    }

    pub(crate) fn release(&mut self, handle: Handle) -> Result<(), FirmwareStatus> {
        self.guests.remove(&handle).map(drop).ok_or(FirmwareStatus::InvalidGuest)
    }

    /// Forgets how far every guest has come; they keep their ASIDs, which are the kernel's.
    pub(crate) fn forget_launches(&mut self) {
        for guest in self.guests.values_mut() {
            *guest = Guest::new(guest.kind, guest.asid);
        }
    }

    pub(crate) fn draw<const N: usize>(&mut self) -> Result<Zeroizing<[u8; N]>, FirmwareStatus> {
        let mut bytes = Zeroizing::new([0; N]);
        self.random.fill(bytes.as_mut())?;
        Ok(bytes)
    }
}

impl From<NoRandomness> for FirmwareStatus {
    fn from(NoRandomness: NoRandomness) -> Self {
        Self::HwErrorPlatform
    }
}

#[cfg(test)]
mod tests;
