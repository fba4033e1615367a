//! Memory: `-m`, the object that holds it, and whether it may be swapped out.

use std::path::Path;

use domain::{
    Domain,
    model::memory::{AllocationMode, HugePage, Kib, MemoryAccess, MemorySource},
};

use super::{Argument, KeyValues, Properties};
use crate::plan::{PlanError, Surroundings};

/// A size as the guest gets it: whole mebibytes, in KiB.
pub(crate) fn whole_mebibytes(size: Kib) -> u64 {
    size.0.div_ceil(1024).saturating_mul(1024)
}

/// `-m`, the object that holds the guest's memory, and whether it may be swapped out.
pub(crate) fn memory(domain: &Domain, here: &Surroundings) -> Result<Vec<Argument>, PlanError> {
    let size = whole_mebibytes(domain.memory);
    let value = KeyValues::default().with("size", format!("{size}k"));
    let value = match domain.max_memory {
        None => value,
        Some(max) => value
            .with_some("slots", max.slots.map(|slots| slots.to_string()))
            .with("maxmem", format!("{}k", whole_mebibytes(max.size))),
    };
    let locked = KeyValues::default().switch("mem-lock", domain.memory_backing.locked);
    Ok(vec![
        Argument::pairs("-m", value),
        Argument::object(memory_object(domain, here, size)?),
        Argument::pairs("-overcommit", locked),
    ])
}

fn memory_object(domain: &Domain, here: &Surroundings, size_kib: u64) -> Result<Properties, PlanError> {
    let backing = &domain.memory_backing;
    let id = "pc.ram";
    let bytes = size_kib.saturating_mul(1024);
    let share = backing.access.map(|access| access == MemoryAccess::Shared);
    let threads = backing.allocation.threads;
    let immediate = backing.allocation.mode == Some(AllocationMode::Immediate);
    let huge = match &backing.hugepages {
        None => None,
        Some(pages) => Some(huge_page_size(pages, here)?),
    };
    let path_of = |path: &Path| path.display().to_string();
    let file = match (backing.source, huge) {
        (Some(MemorySource::Memfd), _) => {
            return Ok(Properties::object("memory-backend-memfd", id)
                .with_some("hugetlb", huge.map(|_| true))
                .with_some("hugetlbsize", huge.map(|kib| kib.saturating_mul(1024)))
                .with_some("share", share)
                .with_true("prealloc", immediate || huge.is_some())
                .with_some("prealloc-threads", threads)
                .with("size", bytes));
        }
        (_, Some(kib)) => {
            let directory =
                here.memory_dirs.huge_pages.get(&kib).ok_or(PlanError::NoHugePages { size_kib: kib })?;
            Some(path_of(directory))
        }
        (Some(MemorySource::File), None) => Some(path_of(&here.memory_dirs.files.join(id))),
        (Some(MemorySource::Anonymous) | None, None) => None,
    };
    let Some(file) = file else {
        return Ok(Properties::object("memory-backend-ram", id)
            .with_some("share", share)
            .with_true("prealloc", immediate)
            .with_some("prealloc-threads", threads)
            .with("size", bytes));
    };
    Ok(Properties::object("memory-backend-file", id)
        .with("mem-path", file)
        .with_true("discard-data", backing.discard)
        .with_some("share", share)
        .with("x-use-canonical-path-for-ramblock-id", false)
        .with_true("prealloc", immediate || huge.is_some())
        .with_some("prealloc-threads", threads)
        .with("size", bytes))
}

fn huge_page_size(pages: &[HugePage], here: &Surroundings) -> Result<u64, PlanError> {
    // A page size for certain NUMA nodes means nothing to a guest without any.
    match pages.iter().find(|page| page.nodeset.is_none()).or_else(|| pages.first()) {
        Some(page) => Ok(page.size.0),
        None => here.memory_dirs.default_huge_page_kib.ok_or(PlanError::NoHugePages { size_kib: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded_up_to_whole_mebibytes() {
        assert_eq!(whole_mebibytes(Kib(219_100)), 219_136);
        assert_eq!(whole_mebibytes(Kib(4_194_304)), 4_194_304);
        assert_eq!(whole_mebibytes(Kib(u64::MAX)), u64::MAX);
    }
}
