//! Reads `<sysinfo>`.

use uuid::Uuid;

use super::{
    reader::Reader,
    values::{VALUE_LENGTH, from_str, parse_number, shorten},
};
use crate::model::{
    Domain, Keyword,
    keyword::keywords,
    sysinfo::{BiosEntry, Entries, FwCfgContent, FwCfgEntry, Smbios, Sysinfo, SystemEntry},
};

keywords! {
    /// `<sysinfo type=…>`.
    enum SysinfoKind {
        Smbios = "smbios",
        FwCfg = "fwcfg",
    }
}

/// Reads all `<sysinfo>` into a domain of which the rest is known: the UUID that the tables tell is the domain's own.
pub(super) fn read_sysinfo(reader: &Reader<'_, '_>, domain: &mut Domain) {
    let uuid_is_written = domain.uuid.is_some();
    for sysinfo in reader.children("sysinfo") {
        let read = match sysinfo.discriminator("type") {
            None => continue,
            Some(SysinfoKind::FwCfg) => Sysinfo::FwCfg(read_files(&sysinfo)),
            Some(SysinfoKind::Smbios) => Sysinfo::Smbios(read_smbios(&sysinfo, domain, uuid_is_written)),
        };
        domain.sysinfo.push(read);
    }
}

fn read_smbios(reader: &Reader<'_, '_>, domain: &mut Domain, uuid_is_written: bool) -> Smbios {
    let bios = reader.child("bios").map(|bios| read_entries(&bios, check_bios)).unwrap_or_default();
    let mut check_system = |entry: &Reader<'_, '_>, name, value: String| match name {
        SystemEntry::Uuid => check_uuid(entry, &value, domain, uuid_is_written),
        _ => value,
    };
    let system =
        reader.child("system").map(|system| read_entries(&system, &mut check_system)).unwrap_or_default();
    Smbios {
        bios,
        system,
        base_boards: reader
            .children("baseBoard")
            .filter_map(|board| {
                let entries = read_plain_entries(&board);
                // One that tells the guest nothing stays as it is, beside the boards.
                if entries.is_empty() {
                    board.leave();
                    return None;
                }
                Some(entries)
            })
            .collect(),
        chassis: reader.child("chassis").map(|chassis| read_plain_entries(&chassis)).unwrap_or_default(),
        oem_strings: reader
            .child("oemStrings")
            .map(|list| list.children("entry").map(|entry| entry.text().unwrap_or_default()).collect())
            .unwrap_or_default(),
    }
}

/// The entries of a table. The first of a name counts, as for libvirt.
fn read_entries<'d, 'p, K: Keyword + Ord>(
    table: &Reader<'d, 'p>,
    mut check: impl FnMut(&Reader<'d, 'p>, K, String) -> String,
) -> Entries<K> {
    let mut entries = Entries::default();
    for entry in table.children("entry") {
        let Some(name) = entry.discriminator("name") else { continue };
        if entries.get(name).is_some() {
            entry.not_modelled("an entry of this name was given before");
            continue;
        }
        if let Some(value) = entry.text() {
            entries.set(name, check(&entry, name, value));
        }
    }
    entries
}

fn read_plain_entries<K: Keyword + Ord>(table: &Reader<'_, '_>) -> Entries<K> {
    read_entries(table, |_, _, value| value)
}

fn check_bios(entry: &Reader<'_, '_>, name: BiosEntry, value: String) -> String {
    if name == BiosEntry::Date && !is_date(&value) {
        let message = format!("`{}` is not a date such as 12/31/2024", shorten(&value, VALUE_LENGTH));
        entry.malformed(entry.element().text_span(), &message);
    }
    value
}

/// Month, day and year, the latter with two digits or four.
fn is_date(text: &str) -> bool {
    let mut parts = text.split('/').map(|part| parse_number::<u32>(part, 10));
    let (Some(Some(month)), Some(Some(day)), Some(Some(year)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (1..=12).contains(&month) && (1..=31).contains(&day) && !(100..1900).contains(&year)
}

/// A guest has one UUID. A domain without takes that of its tables.
fn check_uuid(entry: &Reader<'_, '_>, value: &str, domain: &mut Domain, uuid_is_written: bool) -> String {
    let span = entry.element().text_span();
    let Some(uuid) = from_str::<Uuid>(value.trim()) else {
        let message = format!("`{}` is not a UUID", shorten(value, VALUE_LENGTH));
        entry.malformed(span, &message);
        return String::new();
    };
    match domain.uuid {
        Some(own) if own != uuid => {
            entry.malformed(span, &format!("it is not the domain's own UUID, {own}"));
        }
        None if !uuid_is_written => domain.uuid = Some(uuid),
        _ => {}
    }
    uuid.to_string()
}

fn read_files(reader: &Reader<'_, '_>) -> Vec<FwCfgEntry> {
    reader.children("entry").filter_map(|entry| read_file(&entry)).collect()
}

fn read_file(entry: &Reader<'_, '_>) -> Option<FwCfgEntry> {
    let name = entry.required_string("name");
    // Beside a file the text counts for nothing.
    let content = match (entry.string("file").filter(|file| !file.is_empty()), entry.text()) {
        (Some(file), _) => FwCfgContent::File(file),
        (None, Some(text)) => FwCfgContent::Text(text),
        (None, None) => {
            entry.missing("the entry's text, or attribute `file`,");
            entry.settle();
            return None;
        }
    };
    let refused = if !name.starts_with("opt/") {
        Some("is not below `opt/`")
    } else if name.starts_with("opt/ovmf/") || name.starts_with("opt/org.qemu/") {
        Some("is reserved")
    } else if name.len() > FwCfgEntry::LONGEST_NAME {
        Some("is longer than 55 bytes")
    } else {
        None
    };
    if let Some(why) = refused {
        entry.malformed_attribute("name", &format!("`{}` {why}", shorten(&name, VALUE_LENGTH)));
    }
    Some(FwCfgEntry { name, content })
}
