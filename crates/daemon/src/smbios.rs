//! The host's SMBIOS tables, as far as the kernel shows them in `/sys/class/dmi/id`.

use domain::model::Keyword;
use domain::model::sysinfo::{BiosEntry, BoardEntry, ChassisEntry, Entries, Smbios, SystemEntry};

/// Where the kernel's files are.
const DIRECTORY: &str = "/sys/class/dmi/id";

const BIOS: [(BiosEntry, &str); 4] = [
    (BiosEntry::Vendor, "bios_vendor"),
    (BiosEntry::Version, "bios_version"),
    (BiosEntry::Date, "bios_date"),
    (BiosEntry::Release, "bios_release"),
];
const SYSTEM: [(SystemEntry, &str); 7] = [
    (SystemEntry::Manufacturer, "sys_vendor"),
    (SystemEntry::Product, "product_name"),
    (SystemEntry::Version, "product_version"),
    (SystemEntry::Serial, "product_serial"),
    (SystemEntry::Uuid, "product_uuid"),
    (SystemEntry::Sku, "product_sku"),
    (SystemEntry::Family, "product_family"),
];
const BOARD: [(BoardEntry, &str); 5] = [
    (BoardEntry::Manufacturer, "board_vendor"),
    (BoardEntry::Product, "board_name"),
    (BoardEntry::Version, "board_version"),
    (BoardEntry::Serial, "board_serial"),
    (BoardEntry::Asset, "board_asset_tag"),
];
const CHASSIS: [(ChassisEntry, &str); 4] = [
    (ChassisEntry::Manufacturer, "chassis_vendor"),
    (ChassisEntry::Version, "chassis_version"),
    (ChassisEntry::Serial, "chassis_serial"),
    (ChassisEntry::Asset, "chassis_asset_tag"),
];

/// The tables, by what `text` finds in files, given by their whole paths; `None` where there are none. Serial numbers
/// are there for root only, as they are in the kernel's files.
pub(crate) fn tables(text: impl Fn(&str) -> Option<String>) -> Option<Smbios> {
    let board = entries(&BOARD, &text);
    let smbios = Smbios {
        bios: entries(&BIOS, &text),
        system: entries(&SYSTEM, &text),
        base_boards: if board.is_empty() { Vec::new() } else { vec![board] },
        chassis: entries(&CHASSIS, &text),
        oem_strings: Vec::new(),
    };
    (smbios != Smbios::default()).then_some(smbios)
}

/// This host's.
pub(crate) fn of_host() -> Option<Smbios> {
    tables(|path| Some(std::fs::read_to_string(path).ok()?.trim().to_owned()))
}

fn entries<K: Keyword + Ord>(files: &[(K, &str)], text: &impl Fn(&str) -> Option<String>) -> Entries<K> {
    let mut entries = Entries::default();
    for (name, file) in files {
        entries.set(*name, text(&format!("{DIRECTORY}/{file}")).unwrap_or_default());
    }
    entries
}
