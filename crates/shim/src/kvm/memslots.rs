//! The second view of guest memory: for each of the program's slots, an alias at the same address with the C-bit set.
//!
//! Hardware takes the C-bit out of an address before it looks for memory; KVM here does not know the bit. With each slot
//! twice, page tables that set the bit reach the same memory as those that do not.

use std::collections::BTreeMap;

use crate::abi::MemoryRegion;
use crate::platform::C_BIT_MASK;

/// The bits of a slot's number that name the slot; those above name the address space (0, or 1 for SMM).
const ID_MASK: u32 = 0xffff;

const PAGE_SIZE: u64 = 4096;

/// The program's slots. The upper half of the kernel's slot numbers is kept for the aliases.
pub(super) struct Slots {
    /// How far an alias's number is from its slot's.
    distance: u32,
    regions: BTreeMap<u32, MemoryRegion>,
}

/// What is to be asked of the kernel for one request of the program's.
pub(super) struct Change {
    /// The same change, to the alias.
    pub(super) alias: MemoryRegion,
    /// What brings the program's slot back to what it was.
    pub(super) before: MemoryRegion,
}

impl Slots {
    /// No slots yet, of `limit` that the kernel has (`KVM_CAP_NR_MEMSLOTS`).
    pub(super) const fn new(limit: u32) -> Self {
        let limit = if limit > ID_MASK { ID_MASK } else { limit };
        Self { distance: limit / 2, regions: BTreeMap::new() }
    }

    /// Remembers what the kernel has taken.
    pub(super) fn note(&mut self, region: &MemoryRegion) {
        if region.size == 0 {
            self.regions.remove(&region.slot);
        } else {
            self.regions.insert(region.slot, *region);
        }
    }

    /// The alias for a request; nothing when the slot's number or address leaves no room for one.
    pub(super) fn change(&self, region: &MemoryRegion) -> Option<Change> {
        let alias = self.alias(region)?;
        let deleted = MemoryRegion { size: 0, ..*region };
        let before = self.regions.get(&region.slot).copied().unwrap_or(deleted);
        Some(Change { alias, before })
    }

    /// The aliases of all slots; nothing when one of them has none.
    pub(super) fn aliases(&self) -> Option<Vec<MemoryRegion>> {
        self.regions.values().map(|region| self.alias(region)).collect()
    }

    /// The alias's number and the bytes of its dirty bitmap (64 pages a word).
    pub(super) fn alias_log(&self, slot: u32) -> Option<(u32, usize)> {
        let region = self.regions.get(&slot)?;
        let words = region.size.div_ceil(PAGE_SIZE).div_ceil(64);
        Some((self.alias(region)?.slot, usize::try_from(words * 8).ok()?))
    }

    fn alias(&self, region: &MemoryRegion) -> Option<MemoryRegion> {
        let end = region.guest_address.checked_add(region.size)?;
        let fits = region.slot & ID_MASK < self.distance && end <= C_BIT_MASK;
        fits.then(|| MemoryRegion {
            slot: region.slot + self.distance,
            guest_address: region.guest_address | C_BIT_MASK,
            ..*region
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.1 has.
    const LIMIT: u32 = 32764;

    fn region(slot: u32, guest_address: u64, size: u64) -> MemoryRegion {
        MemoryRegion { slot, flags: 2, guest_address, size, host_address: 0x7f00_0000_0000 }
    }

    fn parts(region: &MemoryRegion) -> (u32, u32, u64, u64, u64) {
        (region.slot, region.flags, region.guest_address, region.size, region.host_address)
    }

    #[test]
    fn an_alias_differs_in_number_and_address_only() {
        let change = Slots::new(LIMIT).change(&region(3, 0xffc0_0000, 0x40_0000)).unwrap();
        assert_eq!(parts(&change.alias), (3 + 16382, 2, 0x8000_ffc0_0000, 0x40_0000, 0x7f00_0000_0000));
    }

    #[test]
    fn the_address_space_is_kept() {
        let change = Slots::new(LIMIT).change(&region(0x1_0002, 0xa_0000, 0x1_0000)).unwrap();
        assert_eq!(change.alias.slot, 0x1_0002 + 16382);
    }

    #[test]
    fn aliases_and_slots_never_share_a_number() {
        let slots = Slots::new(LIMIT);
        let last = slots.change(&region(16381, 0, 0x1000)).unwrap().alias;
        assert!(last.slot < LIMIT);
        assert!(slots.change(&region(16382, 0, 0x1000)).is_none());
        assert!(Slots::new(0).change(&region(0, 0, 0x1000)).is_none());
        assert!(Slots::new(u32::MAX).change(&region(0x7ffe, 0, 0x1000)).unwrap().alias.slot <= ID_MASK);
    }

    #[test]
    fn memory_that_reaches_the_c_bit_has_no_alias() {
        let slots = Slots::new(LIMIT);
        assert!(slots.change(&region(0, C_BIT_MASK - 0x1000, 0x1000)).is_some());
        assert!(slots.change(&region(0, C_BIT_MASK - 0x1000, 0x2000)).is_none());
        assert!(slots.change(&region(0, u64::MAX - 0xfff, 0x1000)).is_none());
    }

    #[test]
    fn a_deletion_is_mirrored_and_can_be_undone() {
        let mut slots = Slots::new(LIMIT);
        slots.note(&region(5, 0x1000, 0x2000));
        let change = slots.change(&region(5, 0x1000, 0)).unwrap();
        assert_eq!((change.alias.slot, change.alias.size), (5 + 16382, 0));
        assert_eq!(parts(&change.before), parts(&region(5, 0x1000, 0x2000)));
        slots.note(&region(5, 0x1000, 0));
        assert!(slots.aliases().unwrap().is_empty());
    }

    #[test]
    fn a_new_slot_is_undone_by_deleting_it() {
        let change = Slots::new(LIMIT).change(&region(9, 0x1000, 0x2000)).unwrap();
        assert_eq!((change.before.slot, change.before.size), (9, 0));
    }

    #[test]
    fn slots_set_before_sev_was_asked_for_get_their_aliases() {
        let mut slots = Slots::new(LIMIT);
        slots.note(&region(0, 0, 0x1000));
        slots.note(&region(1, 0x10_0000, 0x1000));
        let numbers: Vec<u32> = slots.aliases().unwrap().iter().map(|alias| alias.slot).collect();
        assert_eq!(numbers, [16382, 16383]);
    }

    #[test]
    fn a_dirty_bitmap_has_whole_words() {
        let mut slots = Slots::new(LIMIT);
        for (slot, pages, bytes) in [(0, 1, 8), (1, 64, 8), (2, 65, 16)] {
            slots.note(&region(slot, 0, pages * PAGE_SIZE));
            assert_eq!(slots.alias_log(slot), Some((slot + 16382, bytes)));
        }
        assert_eq!(slots.alias_log(7), None);
    }
}
