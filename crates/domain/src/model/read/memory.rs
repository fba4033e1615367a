//! Reads `<memory>` and what backs and limits it.

use super::reader::Reader;
use crate::model::{
    Switch,
    memory::{Allocation, HugePage, Kib, MaxMemory, MemTune, MemoryBacking},
};

/// `<memory>`.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) size: Kib,
    pub(super) dump_core: Option<Switch>,
}

/// Reads `<memory>` of the domain.
pub(super) fn read_memory(domain: &Reader<'_, '_>) -> Memory {
    let Some(reader) = domain.child("memory") else {
        domain.missing("element `memory`");
        return Memory::default();
    };
    let size = reader.size();
    if size == Some(Kib(0)) {
        reader.malformed(reader.element().text_span(), "a guest needs memory");
    }
    Memory { size: size.unwrap_or_default(), dump_core: reader.on_off("dumpCore") }
}

/// Reads `<maxMemory>`.
pub(super) fn read_max_memory(reader: &Reader<'_, '_>) -> Option<MaxMemory> {
    let slots = reader.number("slots");
    Some(MaxMemory { size: reader.size()?, slots })
}

/// Reads `<memoryBacking>`.
pub(super) fn read_backing(reader: &Reader<'_, '_>) -> MemoryBacking {
    MemoryBacking {
        hugepages: reader
            .child("hugepages")
            .map(|pages| pages.children("page").filter_map(|page| read_page(&page)).collect()),
        nosharepages: reader.has("nosharepages"),
        locked: reader.has("locked"),
        source: reader.child("source").and_then(|source| source.word("type")),
        access: reader.child("access").and_then(|access| access.word("mode")),
        allocation: reader
            .child("allocation")
            .map(|allocation| Allocation {
                mode: allocation.word("mode"),
                threads: allocation.number("threads"),
            })
            .unwrap_or_default(),
        discard: reader.has("discard"),
    }
}

fn read_page(reader: &Reader<'_, '_>) -> Option<HugePage> {
    let nodeset = reader.string("nodeset");
    let scale = reader.unit("unit", 1024)?;
    let Some(count) = reader.number::<u64>("size") else {
        if reader.element().attribute("size").is_none() {
            reader.missing("attribute `size`");
        }
        return None;
    };
    let size = u64::try_from((u128::from(count) * scale).div_ceil(1024)).ok()?;
    Some(HugePage { size: Kib(size), nodeset })
}

/// Reads `<memtune>`.
pub(super) fn read_tune(reader: &Reader<'_, '_>) -> MemTune {
    let limit = |name| reader.child(name).and_then(|child| child.size());
    MemTune {
        hard_limit: limit("hard_limit"),
        soft_limit: limit("soft_limit"),
        min_guarantee: limit("min_guarantee"),
        swap_hard_limit: limit("swap_hard_limit"),
    }
}
