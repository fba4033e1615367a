//! Prints `<memory>` and what backs and limits it.

use super::node::Node;
use crate::model::{
    Domain,
    memory::{HugePage, MaxMemory, MemTune, MemoryBacking},
};

pub(super) fn print_max_memory(max: MaxMemory) -> Node {
    Node::of_text("maxMemory", max.size.0).opt("slots", max.slots).attr("unit", "KiB")
}

pub(super) fn print_memory(domain: &Domain) -> Node {
    Node::of_text("memory", domain.memory.0).on_off("dumpCore", domain.dump_core).attr("unit", "KiB")
}

pub(super) fn print_tune(tune: &MemTune) -> Option<Node> {
    let limit = |name, size: Option<_>| size.map(|size| Node::of_size(name, size));
    Node::new("memtune")
        .maybe(limit("hard_limit", tune.hard_limit))
        .maybe(limit("soft_limit", tune.soft_limit))
        .maybe(limit("min_guarantee", tune.min_guarantee))
        .maybe(limit("swap_hard_limit", tune.swap_hard_limit))
        .unless_empty()
}

pub(super) fn print_backing(backing: &MemoryBacking) -> Option<Node> {
    let print_page = |page: &HugePage| {
        Node::new("page").attr("size", page.size.0).attr("unit", "KiB").opt("nodeset", page.nodeset.as_ref())
    };
    let allocation = backing.allocation;
    Node::new("memoryBacking")
        .maybe(
            backing.hugepages.as_ref().map(|pages| Node::new("hugepages").all(pages.iter().map(print_page))),
        )
        .flag("nosharepages", backing.nosharepages)
        .flag("locked", backing.locked)
        .maybe(Node::new("source").word("type", backing.source).unless_empty())
        .maybe(Node::new("access").word("mode", backing.access).unless_empty())
        .maybe(
            Node::new("allocation")
                .word("mode", allocation.mode)
                .opt("threads", allocation.threads)
                .unless_empty(),
        )
        .flag("discard", backing.discard)
        .unless_empty()
}
