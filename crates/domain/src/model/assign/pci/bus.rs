//! The PCI buses of a machine, and which functions of which slots are taken.

use super::connect::{Connection, Need, Offer};
use crate::model::{
    Keyword, Switch,
    address::PciAddress,
    assign::AddressError,
    controller::{ControllerKind, PciModel},
    devices::Devices,
};

/// All buses; bus 0 is the root.
#[derive(Debug)]
pub(super) struct Buses {
    buses: Vec<Bus>,
    /// Whether buses may be added.
    pub(super) can_grow: bool,
}

#[derive(Clone, Debug)]
struct Bus {
    model: PciModel,
    offer: Offer,
    slots: [Slot; 32],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// One bit for each function that is taken.
    functions: u8,
    /// Whether all that is in it shares it.
    is_shared: bool,
}

impl Slot {
    fn is_free(self) -> bool {
        self.functions == 0
    }

    fn has(self, function: u8) -> bool {
        self.functions & (1 << function) != 0
    }
}

impl Bus {
    fn new(model: PciModel, hotplug: Option<Switch>) -> Self {
        let mut offer = Offer::of(model);
        let is_port = matches!(model, PciModel::PcieRootPort | PciModel::PcieSwitchDownstreamPort);
        if is_port && hotplug == Some(Switch::Off) {
            offer.can_hotplug = false;
        }
        Self { model, offer, slots: [Slot::default(); 32] }
    }

    fn slot_numbers(&self) -> std::ops::RangeInclusive<u8> {
        self.offer.first_slot..=self.offer.last_slot
    }

    fn slot(&self, number: u8) -> Slot {
        self.slots.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// The first slot, or function of a shared slot, for a device.
    fn find(&self, need: Need, function: u8) -> Option<(u8, u8)> {
        self.slot_numbers().find_map(|number| {
            let slot = self.slot(number);
            if slot.is_free() {
                return Some((number, function));
            }
            let free = (0..8).find(|function| !slot.has(*function));
            if need.shares_slot && slot.is_shared { Some((number, free?)) } else { None }
        })
    }

    fn is_full(&self) -> bool {
        self.slot_numbers().all(|number| !self.slot(number).is_free())
    }
}

impl Buses {
    /// The buses of the controllers that are there. Numbers without a controller are of the machine's usual kind.
    pub(super) fn new(devices: &Devices, root: PciModel) -> Self {
        let usual = if root == PciModel::PcieRoot { PciModel::PcieRootPort } else { PciModel::PciBridge };
        let mut buses = Self { buses: vec![Bus::new(root, None)], can_grow: true };
        for controller in &devices.controllers {
            let (ControllerKind::Pci(pci), Some(index)) = (&controller.kind, controller.index) else {
                continue;
            };
            let Ok(index) = u8::try_from(index).map(usize::from) else {
                continue;
            };
            while buses.buses.len() <= index {
                buses.buses.push(Bus::new(usual, None));
            }
            if let (Some(bus), Some(model)) = (buses.buses.get_mut(index), pci.model) {
                *bus = Bus::new(model, pci.target.hotplug);
            }
        }
        buses
    }

    pub(super) fn len(&self) -> usize {
        self.buses.len()
    }

    pub(super) fn model(&self, bus: usize) -> Option<PciModel> {
        self.buses.get(bus).map(|bus| bus.model)
    }

    pub(super) fn are_full(&self) -> bool {
        self.buses.iter().all(Bus::is_full)
    }

    pub(super) fn is_slot_free(&self, bus: u8, slot: u8) -> bool {
        self.buses.get(usize::from(bus)).is_none_or(|bus| bus.slot(slot).is_free())
    }

    /// Whether functions beside the first are taken.
    pub(super) fn is_multifunction(&self, place: PciAddress) -> bool {
        self.buses.get(usize::from(place.bus)).is_some_and(|bus| bus.slot(place.slot).functions > 1)
    }

    /// Takes the place that a device has; buses that are not there yet are added.
    pub(super) fn reserve(&mut self, place: PciAddress, need: Need) -> Result<(), AddressError> {
        if place.domain != 0 {
            return Err(AddressError::PciDomain(place));
        }
        while self.buses.len() <= usize::from(place.bus) {
            self.grow(need)?;
        }
        let Some(bus) = self.buses.get_mut(usize::from(place.bus)) else {
            return Err(AddressError::NoPciSlot(need.what));
        };
        if !bus.slot_numbers().contains(&place.slot) {
            return Err(AddressError::NoSuchSlot {
                address: place,
                model: bus.model.word(),
                first: bus.offer.first_slot,
                last: bus.offer.last_slot,
            });
        }
        let Some(slot) = bus.slots.get_mut(usize::from(place.slot)) else {
            return Err(AddressError::NoPciSlot(need.what));
        };
        if slot.has(place.function) {
            return Err(AddressError::PciTaken(place));
        }
        slot.is_shared = need.shares_slot && (slot.is_free() || slot.is_shared);
        slot.functions |= 1 << place.function;
        Ok(())
    }

    /// Keeps everything else away from a place, if there is such a place.
    pub(super) fn occupy(&mut self, place: PciAddress) {
        let bus = self.buses.get_mut(usize::from(place.bus)).filter(|_| place.domain == 0);
        if let Some(slot) = bus.and_then(|bus| bus.slots.get_mut(usize::from(place.slot))) {
            slot.functions |= 1 << place.function;
        }
    }

    /// Takes the first place for a device, at `function` of an empty slot.
    pub(super) fn take(&mut self, need: Need, function: u8) -> Result<PciAddress, AddressError> {
        loop {
            let found = self
                .buses
                .iter()
                .enumerate()
                .filter(|(_, bus)| need.fits(bus.offer))
                .find_map(|(number, bus)| Some((number, bus.find(need, function)?)));
            if let Some((bus, (slot, function))) = found {
                let bus = u8::try_from(bus).map_err(|_| AddressError::NoPciSlot(need.what))?;
                let place = PciAddress::new(bus, slot, function);
                self.reserve(place, need)?;
                return Ok(place);
            }
            self.grow(need)?;
        }
    }

    /// Adds a bus that takes such a device.
    fn grow(&mut self, need: Need) -> Result<(), AddressError> {
        let full = AddressError::NoPciSlot(need.what);
        if !self.can_grow || self.buses.len() > usize::from(u8::MAX) {
            return Err(full);
        }
        let is_express = self.model(0) == Some(PciModel::PcieRoot);
        match need.connection {
            Connection::Pci if is_express => {
                let has_conventional =
                    self.buses.iter().any(|bus| bus.offer.takes.contains(&Connection::PciBridge));
                if has_conventional {
                    self.buses.push(Bus::new(PciModel::PciBridge, None));
                } else {
                    // Conventional PCI begins at a bridge, which sits on a root port of its own.
                    let mut port = Bus::new(PciModel::PcieRootPort, None);
                    port.slots[0].functions = 1;
                    self.buses.push(port);
                    self.buses.push(Bus::new(PciModel::PcieToPciBridge, None));
                }
            }
            Connection::Pci | Connection::PciBridge => self.buses.push(Bus::new(PciModel::PciBridge, None)),
            Connection::Pcie | Connection::PcieToPciBridge | Connection::SwitchUpstream if is_express => {
                self.buses.push(Bus::new(PciModel::PcieRootPort, None));
            }
            _ => return Err(full),
        }
        Ok(())
    }
}
