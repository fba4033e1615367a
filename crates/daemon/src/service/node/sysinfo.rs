//! The host's SMBIOS tables, as far as the kernel shows them in `/sys/class/dmi/id`.

use std::fmt::Write as _;

use domain::escape_text;
use rpc::error::RemoteError;

use super::no_flags;
use super::sys::Sys;
use crate::service::Failure;

const DIRECTORY: &str = "/sys/class/dmi/id";

/// libvirt's elements with their entries, and the kernel's files.
const ELEMENTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "bios",
        &[
            ("vendor", "bios_vendor"),
            ("version", "bios_version"),
            ("date", "bios_date"),
            ("release", "bios_release"),
        ],
    ),
    (
        "system",
        &[
            ("manufacturer", "sys_vendor"),
            ("product", "product_name"),
            ("version", "product_version"),
            ("serial", "product_serial"),
            ("uuid", "product_uuid"),
            ("sku", "product_sku"),
            ("family", "product_family"),
        ],
    ),
    (
        "baseBoard",
        &[
            ("manufacturer", "board_vendor"),
            ("product", "board_name"),
            ("version", "board_version"),
            ("serial", "board_serial"),
            ("asset", "board_asset_tag"),
        ],
    ),
    (
        "chassis",
        &[
            ("manufacturer", "chassis_vendor"),
            ("version", "chassis_version"),
            ("serial", "chassis_serial"),
            ("asset", "chassis_asset_tag"),
        ],
    ),
];

pub(in crate::service) fn sysinfo(flags: u32) -> Result<String, Failure> {
    document(&Sys::live(), flags)
}

/// Serial numbers are there for root only, as they are in the kernel's files.
pub(super) fn document(sys: &Sys, flags: u32) -> Result<String, Failure> {
    no_flags(flags, 0, "qemuConnectGetSysinfo")?;
    let mut text = String::from("<sysinfo type='smbios'>\n");
    let start = text.len();
    for (element, entries) in ELEMENTS {
        let found = entries.iter().filter_map(|(name, file)| {
            let value = sys.text(format!("{DIRECTORY}/{file}")).filter(|value| !value.is_empty())?;
            Some(format!("    <entry name='{name}'>{}</entry>\n", escape_text(&value)))
        });
        let found: String = found.collect();
        if !found.is_empty() {
            // A string takes all that it is given.
            let _ = write!(text, "  <{element}>\n{found}  </{element}>\n");
        }
    }
    if text.len() == start {
        let words = "Host SMBIOS information is not available";
        return Err(Box::new(RemoteError::config_unsupported(words)));
    }
    text.push_str("</sysinfo>\n");
    Ok(text)
}
