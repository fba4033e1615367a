//! MEM009: thousands of bytes where the others count in 1024.

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "MEM009",
    name: "decimal-memory-unit",
    severity: Severity::Note,
    allowable: true,
    page: Page {
        what: "A memory size in a unit of powers of 1000: `KB`, `MB`, `GB`, `TB`, `PB` or `EB`.",
        why: "libvirt takes `KB` as 1000 bytes and `KiB`, as well as `k`, as 1024; `b` and `bytes` are bytes, and a size \
              without a unit is in KiB. `4 GB` is 186 MiB less than `4 GiB`. Where a limit is in one and the memory in the \
              other, the limit is not what it looks like. libvirt rounds sizes up to whole KiB, QEMU the memory to whole \
              MiB.",
        example: "<memory unit='GB'>4</memory>",
        fix: "Write `KiB`, `MiB` or `GiB`. There is no automatic fix: only the author knows which size was meant.",
        since: "0.1",
        source: "libvirt, formatdomain, \"Memory Allocation\".",
    },
};

/// The elements that hold sizes.
const SIZES: &[&[&str]] = &[
    &["maxMemory"],
    &["memory"],
    &["currentMemory"],
    &["memtune", "hard_limit"],
    &["memtune", "soft_limit"],
    &["memtune", "min_guarantee"],
    &["memtune", "swap_hard_limit"],
];

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let elements = SIZES.iter().filter_map(|path| subject.element(path));
    elements
        .filter_map(|element| {
            let unit = element.attribute("unit")?;
            let name = unit.value().to_ascii_uppercase();
            let power = ["KB", "MB", "GB", "TB", "PB", "EB"].iter().position(|known| *known == name)?;
            let count: u64 = element.text().trim().parse().ok()?;
            let bytes =
                1000_u64.checked_pow(u32::try_from(power).ok()?.checked_add(1)?)?.checked_mul(count)?;
            let kib = bytes.div_ceil(1024);
            let message = format!("{count} {name} are {bytes} bytes, {kib} KiB: powers of 1000");
            let binary = name.replace('B', "iB");
            let help = format!("write `{binary}` if powers of 1024 are meant");
            Some(RULE.finding(unit.value_span(), message).help(help))
        })
        .collect()
}
