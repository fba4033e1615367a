//! Completes a definition the way libvirt does when it is handed one: what the user left out is filled in, the
//! controllers that devices need are added, and every device gets its place.
//!
//! Completing is idempotent, and what the user wrote stays. It knows nothing of the host: what depends on it
//! comes in by [`Surroundings`].

mod consistency;
mod console;
mod controllers;
mod defaults;
mod display;
mod machine;

use uuid::Uuid;

use super::{AddressError, Domain, GenId, assign, disk::DiskBus};

pub(super) use controllers::pci;
pub use machine::MachineKind;

/// What completing a definition needs from outside.
pub struct Surroundings<'a> {
    /// QEMU's own name of the domain's machine, where an alias such as `q35` is to be replaced.
    pub machine: Option<String>,
    /// The machine's usual CPU model.
    pub cpu_model: String,
    /// The emulator for domains that name none.
    pub emulator: Option<String>,
    /// Random bytes, for UUIDs and MAC addresses.
    pub random: &'a mut dyn FnMut() -> [u8; 16],
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("machine", &self.machine)
            .field("cpu_model", &self.cpu_model)
            .field("emulator", &self.emulator)
            .finish_non_exhaustive()
    }
}

/// Why a definition cannot be completed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompleteError {
    #[error("the domain has {count} devices, more than {most}")]
    TooManyDevices { count: usize, most: usize },
    #[error("the controllers of the kind `{kind}` and index {index} are two")]
    TwoControllers { kind: &'static str, index: u32 },
    #[error("the index {index} of a controller of the kind `{kind}` is beyond {most}")]
    ControllerIndex { kind: &'static str, index: u32, most: u32 },
    #[error(
        "the PCI controller with index {index} is a `{found}`, but only that with index 0 is a root, and it is a `{root}`"
    )]
    PciRoot { index: u32, found: &'static str, root: &'static str },
    #[error("two disks are called `{dev}`")]
    TwoDisks { dev: String },
    #[error("two devices are number {order} in the boot order")]
    TwoBootOrders { order: u32 },
    #[error("the boot order is given both in `os` and at the devices")]
    BootTwice,
    #[error("the topology makes {threads} CPUs, but the guest has {vcpus}")]
    Topology { threads: u64, vcpus: u32 },
    #[error("Disk iothread '{id}' not defined in iothreadid")]
    DiskIoThread { id: u32 },
    #[error("IOThreads not available for bus {bus} target {dev}")]
    DiskWithoutIoThread { bus: DiskBus, dev: String },
    #[error("controller iothread '{id}' not defined in iothreadid")]
    ControllerIoThread { id: u32 },
    #[error("'iothread' attribute only supported for virtio scsi controllers")]
    ControllerWithoutIoThread,
    #[error("Cannot find 'iothread' : {id}")]
    PinnedIoThread { id: u32 },
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl CompleteError {
    /// Whether libvirt calls it an unsupported configuration, and not an error of the XML.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self,
            Self::DiskIoThread { .. }
                | Self::DiskWithoutIoThread { .. }
                | Self::ControllerIoThread { .. }
                | Self::PinnedIoThread { .. }
        )
    }
}

/// More devices than this fit no machine, and would take long to place.
const MOST_DEVICES: usize = 4096;

impl Domain {
    /// Fills in what the user left out, and assigns addresses.
    pub fn complete(&mut self, surroundings: &mut Surroundings<'_>) -> Result<(), CompleteError> {
        let count = self.devices.count();
        if count > MOST_DEVICES {
            return Err(CompleteError::TooManyDevices { count, most: MOST_DEVICES });
        }
        consistency::check(self)?;
        if !self.iothreads.numbered.is_empty() {
            self.iothreads.numbered = self.iothreads.all();
        }
        if self.uuid.is_none() {
            self.uuid = Some(random_uuid(surroundings.random));
        }
        if self.genid == Some(GenId::Generate) {
            self.genid = Some(GenId::Fixed(random_uuid(surroundings.random)));
        }
        if surroundings.machine.is_some() {
            self.os.machine.clone_from(&surroundings.machine);
        }
        let machine = self.os.machine_kind();
        defaults::complete_domain(self, surroundings);
        controllers::add_default(self, machine);
        defaults::complete_devices(&mut self.devices, surroundings.random);
        if machine != MachineKind::Other {
            defaults::add_ps2_inputs(self);
        }
        defaults::complete_watchdogs(&mut self.devices, machine);
        display::complete(&mut self.devices);
        console::complete(&mut self.devices);
        assign::assign_drives(&mut self.devices)?;
        controllers::complete(self, machine)?;
        consistency::check_iothreads(self)?;
        self.assign_addresses()
    }

    /// Gives a place to every device that has none and needs one.
    pub fn assign_addresses(&mut self) -> Result<(), CompleteError> {
        assign::assign_drives(&mut self.devices)?;
        assign::assign_virtio_serial(&mut self.devices)?;
        assign::assign_pci(self)?;
        assign::assign_usb(&mut self.devices)?;
        Ok(())
    }
}

fn random_uuid(random: &mut dyn FnMut() -> [u8; 16]) -> Uuid {
    uuid::Builder::from_random_bytes(random()).into_uuid()
}

/// A MAC address of QEMU's own range.
fn random_mac(random: &mut dyn FnMut() -> [u8; 16]) -> super::interface::Mac {
    let [a, b, c, ..] = random();
    super::interface::Mac([0x52, 0x54, 0x00, a, b, c])
}

#[cfg(test)]
mod tests;
