//! The families of machines, which differ in what they have built in.

use crate::model::os::Os;

/// A family of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineKind {
    /// `pc`, `pc-i440fx-…` and its older names: conventional PCI.
    I440fx,
    /// `q35`, `pc-q35-…`: PCI Express.
    Q35,
    /// Everything else: nothing is added and no PCI address is given.
    Other,
}

impl Os {
    /// The family of the machine; a domain that names none gets `pc`, as from libvirt.
    pub fn machine_kind(&self) -> MachineKind {
        match self.machine.as_deref().unwrap_or("pc") {
            "q35" => MachineKind::Q35,
            name if name.starts_with("pc-q35-") => MachineKind::Q35,
            "pc" => MachineKind::I440fx,
            name if name.starts_with("pc-") => MachineKind::I440fx,
            _ => MachineKind::Other,
        }
    }
}
