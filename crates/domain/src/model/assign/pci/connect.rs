//! What a PCI device plugs into, and what a bus takes.

use crate::model::controller::PciModel;

/// The connection that a device needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// An endpoint of conventional PCI.
    Pci,
    /// An endpoint of PCI Express.
    Pcie,
    PciBridge,
    PciExpander,
    RootPort,
    DmiToPciBridge,
    PcieToPciBridge,
    SwitchUpstream,
    SwitchDownstream,
    PcieExpander,
}

/// What a device needs of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) connection: Connection,
    /// Whether it must sit where it could be unplugged.
    pub(super) is_hotplugged: bool,
    /// Whether it shares a slot with others of its kind, a function each.
    pub(super) shares_slot: bool,
    /// What it is, for messages.
    pub(super) what: &'static str,
}

/// What a bus offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) takes: &'static [Connection],
    pub(super) can_hotplug: bool,
    pub(super) first_slot: u8,
    pub(super) last_slot: u8,
}

impl Need {
    pub(super) const fn new(connection: Connection, what: &'static str) -> Self {
        Self { connection, is_hotplugged: true, shares_slot: false, what }
    }

    /// What a PCI controller itself needs; `None` for a root, which is not plugged into anything.
    pub(super) fn of_controller(model: PciModel) -> Option<Self> {
        let connection = match model {
            PciModel::PciRoot | PciModel::PcieRoot => return None,
            PciModel::PciBridge => Connection::PciBridge,
            PciModel::PciExpanderBus => Connection::PciExpander,
            PciModel::PcieRootPort => Connection::RootPort,
            PciModel::DmiToPciBridge => Connection::DmiToPciBridge,
            PciModel::PcieToPciBridge => Connection::PcieToPciBridge,
            PciModel::PcieSwitchUpstreamPort => Connection::SwitchUpstream,
            PciModel::PcieSwitchDownstreamPort => Connection::SwitchDownstream,
            PciModel::PcieExpanderBus => Connection::PcieExpander,
        };
        let shares_slot = connection == Connection::RootPort;
        Some(Self { connection, is_hotplugged: false, shares_slot, what: "a PCI controller" })
    }

    pub(super) fn fits(self, offer: Offer) -> bool {
        offer.takes.contains(&self.connection) && (offer.can_hotplug || !self.is_hotplugged)
    }
}

impl Offer {
    pub(super) fn of(model: PciModel) -> Self {
        use Connection::{
            DmiToPciBridge, Pci, PciBridge, PciExpander, Pcie, PcieExpander, PcieToPciBridge, RootPort,
            SwitchDownstream, SwitchUpstream,
        };
        let (takes, can_hotplug, first_slot, last_slot): (&'static [Connection], _, _, _) = match model {
            PciModel::PciRoot => (&[Pci, PciBridge, PciExpander], true, 1, 31),
            PciModel::PciBridge | PciModel::PcieToPciBridge => (&[Pci, PciBridge], true, 1, 31),
            PciModel::DmiToPciBridge | PciModel::PciExpanderBus => (&[Pci, PciBridge], false, 0, 31),
            PciModel::PcieRoot => (&[Pcie, RootPort, DmiToPciBridge, PcieExpander], false, 1, 31),
            PciModel::PcieRootPort | PciModel::PcieSwitchDownstreamPort => {
                (&[Pcie, PcieToPciBridge, SwitchUpstream], true, 0, 0)
            }
            PciModel::PcieSwitchUpstreamPort => (&[SwitchDownstream], false, 0, 31),
            PciModel::PcieExpanderBus => (&[RootPort, DmiToPciBridge], false, 0, 31),
        };
        Self { takes, can_hotplug, first_slot, last_slot }
    }
}
