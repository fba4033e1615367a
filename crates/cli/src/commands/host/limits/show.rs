//! What guests take against what the host has, for people and for machines.

use comfy_table::{CellAlignment, Table, presets};
use qemu::memory::{Largest, Sum};
use rules::capacity::{Capacity, Guest, Keys};
use serde_json::{Value, json};

fn mib(bytes: u64) -> String {
    bytes.div_ceil(1 << 20).to_string()
}

fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// An aligned table of the guests, the host's side, and the verdict.
pub(super) fn text(capacity: &Capacity, items: bool) -> String {
    let mut out = String::new();
    if !capacity.guests.is_empty() {
        let mut guests =
            table(&["guest", "technology", "pins", "locks", "charged", "needs", "may take"], 2..7);
        for guest in &capacity.guests {
            guests.add_row(row(guest));
        }
        out.push_str(&lines(&guests));
        out.push_str("(MiB; `needs` is the largest that applies, `may take` its limit)\n\n");
    }
    if items {
        for guest in &capacity.guests {
            out.push_str(&itemised(guest));
        }
    }
    let mut host = table(&["all guests", "", ""], 1..2);
    let left = |most: Option<u64>, what: &str| {
        most.map_or_else(|| format!("{what}: not known"), |most| format!("{what}: {} MiB", mib(most)))
    };
    host.add_row(vec![
        "need".to_owned(),
        format!("{} MiB", mib(capacity.needed)),
        left(capacity.memory, "RAM"),
    ]);
    let slice = capacity
        .ceiling
        .map_or_else(|| "machine.slice: no ceiling".to_owned(), |_| left(capacity.ceiling, "machine.slice"));
    host.add_row(vec!["may take".to_owned(), format!("{} MiB", mib(capacity.limits)), slice]);
    for (what, keys) in [("SEV", capacity.sev), ("SEV-ES, SEV-SNP", capacity.sev_es)] {
        host.add_row(vec![what.to_owned(), format!("{} ASIDs", keys.wanted), known(keys)]);
    }
    out.push_str(&lines(&host));
    out.push_str(match capacity.fits {
        Some(true) => "\nall can run at once\n",
        Some(false) => "\nthey cannot all run at once\n",
        None => "\nwhether all can run at once cannot be told\n",
    });
    for reason in &capacity.reasons {
        out.push_str(&format!("  {reason}\n"));
    }
    if let Some(proposed) = capacity.proposed {
        out.push_str(&format!("ceiling for machine.slice: {} MiB\n", mib(proposed)));
    }
    out
}

fn known(keys: Keys) -> String {
    match (keys.capacity, keys.used) {
        (None, _) => "not known how many there are".to_owned(),
        (Some(capacity), None) => format!("{capacity} in all"),
        (Some(capacity), Some(used)) => format!("{capacity} in all, {used} in use"),
    }
}

fn row(guest: &Guest) -> Vec<String> {
    let technology = guest.technology.map_or_else(|| "–".to_owned(), |technology| technology.to_string());
    let sums = &guest.sums;
    let locks = if sums.locked { mib(sums.address_space.total()) } else { "–".to_owned() };
    let pins = if guest.technology.is_some() { mib(sums.pinned.total()) } else { "–".to_owned() };
    vec![
        guest.name.clone(),
        technology,
        pins,
        locks,
        mib(sums.charge.total()),
        mib(sums.needed().1),
        mib(guest.limit()),
    ]
}

fn itemised(guest: &Guest) -> String {
    let sums = &guest.sums;
    let mut out = String::new();
    let applies = |largest: Largest| if sums.needed().0 == largest { ", the largest" } else { "" };
    let parts = [
        ("pinned", &sums.pinned, applies(Largest::Pinned)),
        ("address space", &sums.address_space, applies(Largest::AddressSpace)),
        ("charge", &sums.charge, applies(Largest::Charge)),
        ("room for later", &sums.later, ""),
    ];
    for (what, sum, remark) in parts.into_iter().filter(|(_, sum, _)| !sum.items.is_empty()) {
        out.push_str(&format!("{}: {what}, {} MiB{remark}\n", guest.name, mib(sum.total())));
        let mut items = table(&["bytes", "", ""], 0..1);
        for item in &sum.items {
            items.add_row(vec![item.bytes.to_string(), item.what.clone(), item.why.to_owned()]);
        }
        out.push_str(&lines(&items));
        out.push('\n');
    }
    out
}

/// A table without what is blank at the ends of its lines.
fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The same with stable names; sizes are in bytes.
pub(super) fn json(capacity: &Capacity) -> Value {
    let sum = |sum: &Sum| json!({ "total": sum.total(), "items": sum.items });
    let guest = |guest: &Guest| {
        let sums = &guest.sums;
        json!({
            "name": guest.name,
            "technology": guest.technology,
            "hard_limit": guest.hard_limit,
            "pinned": sum(&sums.pinned),
            "address_space": sum(&sums.address_space),
            "charge": sum(&sums.charge),
            "later": sum(&sums.later),
            "largest": sums.needed().0,
            "needed": sums.needed().1,
            "limit": guest.limit(),
        })
    };
    json!({
        "guests": capacity.guests.iter().map(guest).collect::<Vec<_>>(),
        "needed": capacity.needed,
        "limits": capacity.limits,
        "memory": capacity.memory,
        "ceiling": capacity.ceiling,
        "asids": { "sev": capacity.sev, "sev_es": capacity.sev_es },
        "fits": capacity.fits,
        "reasons": capacity.reasons,
        "proposed_ceiling": capacity.proposed,
    })
}
