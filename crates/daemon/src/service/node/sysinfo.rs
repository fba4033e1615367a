//! The host's SMBIOS tables.

use std::fmt::Write as _;

use domain::escape_text;
use domain::model::Keyword;
use domain::model::sysinfo::Entries;
use rpc::error::RemoteError;

use super::no_flags;
use super::sys::Sys;
use crate::service::Failure;
use crate::smbios;

pub(in crate::service) fn sysinfo(flags: u32) -> Result<String, Failure> {
    document(&Sys::live(), flags)
}

pub(super) fn document(sys: &Sys, flags: u32) -> Result<String, Failure> {
    no_flags(flags, 0, "qemuConnectGetSysinfo")?;
    let Some(tables) = smbios::tables(|path| sys.text(path)) else {
        let words = "Host SMBIOS information is not available";
        return Err(Box::new(RemoteError::config_unsupported(words)));
    };
    let mut text = String::from("<sysinfo type='smbios'>\n");
    add(&mut text, "bios", &tables.bios);
    add(&mut text, "system", &tables.system);
    for board in &tables.base_boards {
        add(&mut text, "baseBoard", board);
    }
    add(&mut text, "chassis", &tables.chassis);
    text.push_str("</sysinfo>\n");
    Ok(text)
}

fn add<K: Keyword + Ord>(text: &mut String, element: &str, entries: &Entries<K>) {
    if entries.is_empty() {
        return;
    }
    let lines: String = entries
        .iter()
        .map(|(name, value)| format!("    <entry name='{}'>{}</entry>\n", name.word(), escape_text(value)))
        .collect();
    // A string takes all that it is given.
    let _ = write!(text, "  <{element}>\n{lines}  </{element}>\n");
}
