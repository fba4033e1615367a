//! What the guest reads of its computer: `-smbios`, and files of the firmware configuration device, `-fw_cfg`.

use domain::{
    Domain,
    model::{
        Keyword,
        sysinfo::{Entries, FwCfgContent, SmbiosMode, Sysinfo, SystemEntry},
    },
};

use super::{Argument, KeyValues};
use crate::plan::{PlanError, Surroundings};

/// `-smbios`, one option for each table.
pub(crate) fn tables(domain: &Domain, here: &Surroundings) -> Result<Vec<Argument>, PlanError> {
    let smbios = match domain.os.smbios {
        None | Some(SmbiosMode::Emulate) => return Ok(Vec::new()),
        Some(SmbiosMode::Sysinfo) => {
            let own = domain.sysinfo.iter().find_map(Sysinfo::smbios);
            let own = own.ok_or_else(|| PlanError::NoSysinfo { name: domain.name.clone() })?;
            own.clone()
        }
        Some(SmbiosMode::Host) => {
            let mut host = here.host_smbios.clone().ok_or(PlanError::NoHostSysinfo)?;
            // Two computers with one UUID would be one.
            host.system.set(SystemEntry::Uuid, String::new());
            host
        }
    };
    if smbios.base_boards.len() > 1 {
        return Err(PlanError::SeveralBaseBoards);
    }
    let of_type = |number| KeyValues::default().with("type", number);
    let mut tables = Vec::new();
    tables.extend(table(of_type("0"), &smbios.bios));
    tables.extend(table(of_type("1"), &smbios.system));
    tables.extend(smbios.base_boards.iter().filter_map(|board| table_of_maker(of_type("2"), board)));
    tables.extend(table_of_maker(of_type("3"), &smbios.chassis));
    if !smbios.oem_strings.is_empty() {
        let strings = smbios.oem_strings.iter();
        tables.push(strings.fold(of_type("11"), |value, string| value.with("value", string)));
    }
    Ok(tables.into_iter().map(|value| Argument::pairs("-smbios", value)).collect())
}

fn table<K: Keyword + Ord>(start: KeyValues, entries: &Entries<K>) -> Option<KeyValues> {
    let add = |value: KeyValues, (name, text): (K, &str)| value.with(name.word(), text);
    (!entries.is_empty()).then(|| entries.iter().fold(start, add))
}

/// The same for boards and chassis, which name a maker always: without, they would have QEMU's.
fn table_of_maker<K: Keyword + Ord>(start: KeyValues, entries: &Entries<K>) -> Option<KeyValues> {
    let names_it = entries.iter().any(|(name, _)| name.word() == "manufacturer");
    table(if names_it { start } else { start.with("manufacturer", "") }, entries)
}

/// `-fw_cfg`, one option for each file.
pub(crate) fn files(domain: &Domain) -> Vec<Argument> {
    let entries = domain.sysinfo.iter().filter_map(|sysinfo| match sysinfo {
        Sysinfo::FwCfg(entries) => Some(entries),
        Sysinfo::Smbios(_) => None,
    });
    let option = |value| Argument::pairs("-fw_cfg", value);
    entries
        .flatten()
        .map(|entry| {
            let value = KeyValues::default().with("name", &entry.name);
            option(match &entry.content {
                FwCfgContent::Text(text) => value.with("string", text),
                FwCfgContent::File(path) => value.with("file", path),
            })
        })
        .collect()
}
