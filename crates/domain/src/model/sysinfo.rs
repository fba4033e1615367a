//! `<sysinfo>`: what a guest reads of the computer that it believes to run on, and files that firmware hands to it.

use super::{Keyword, keyword::keywords};

/// One `<sysinfo>`; a domain may have several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sysinfo {
    /// `type='smbios'`: the guest gets it where `<smbios mode='sysinfo'/>` asks for it.
    Smbios(Smbios),
    /// `type='fwcfg'`.
    FwCfg(Vec<FwCfgEntry>),
}

impl Sysinfo {
    /// The SMBIOS tables, where these are those.
    pub fn smbios(&self) -> Option<&Smbios> {
        match self {
            Self::Smbios(smbios) => Some(smbios),
            Self::FwCfg(_) => None,
        }
    }

    /// The host's files that the guest gets.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let entries = match self {
            Self::Smbios(_) => &[][..],
            Self::FwCfg(entries) => entries,
        };
        entries.iter().filter_map(|entry| match &entry.content {
            FwCfgContent::File(path) => Some(path.as_str()),
            FwCfgContent::Text(_) => None,
        })
    }
}

keywords! {
    /// `<smbios mode=…>` of `<os>`: whose tables the guest gets.
    pub enum SmbiosMode {
        /// QEMU's own.
        Emulate = "emulate",
        /// Those of the host, but for its UUID.
        Host = "host",
        /// Those of `<sysinfo>`.
        Sysinfo = "sysinfo",
    }
}

/// Tables of the System Management BIOS (DMTF DSP0134).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smbios {
    /// Type 0.
    pub bios: Entries<BiosEntry>,
    /// Type 1.
    pub system: Entries<SystemEntry>,
    /// Type 2, one for each board.
    pub base_boards: Vec<Entries<BoardEntry>>,
    /// Type 3.
    pub chassis: Entries<ChassisEntry>,
    /// Type 11: `<oemStrings>`.
    pub oem_strings: Vec<String>,
}

/// `<entry name=…>` of one table, no name twice, in libvirt's order. None has an empty value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<K>(Vec<(K, String)>);

// A derived one would ask the same of the names.
impl<K> Default for Entries<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Keyword + Ord> Entries<K> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: K) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Gives the entry a value; an empty one takes it away.
    pub fn set(&mut self, name: K, value: String) {
        self.0.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            let place = self.0.partition_point(|(known, _)| *known < name);
            self.0.insert(place, (name, value));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (K, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

keywords! {
    /// What `<bios>` has.
    pub enum BiosEntry {
        Vendor = "vendor",
        Version = "version",
        /// Month, day and year with slashes.
        Date = "date",
        Release = "release",
    }
}

keywords! {
    /// What `<system>` has.
    pub enum SystemEntry {
        Manufacturer = "manufacturer",
        Product = "product",
        Version = "version",
        Serial = "serial",
        /// The domain's own UUID.
        Uuid = "uuid",
        Sku = "sku",
        Family = "family",
    }
}

keywords! {
    /// What `<baseBoard>` has.
    pub enum BoardEntry {
        Manufacturer = "manufacturer",
        Product = "product",
        Version = "version",
        Serial = "serial",
        Asset = "asset",
        Location = "location",
    }
}

keywords! {
    /// What `<chassis>` has.
    pub enum ChassisEntry {
        Manufacturer = "manufacturer",
        Version = "version",
        Serial = "serial",
        Asset = "asset",
        Sku = "sku",
    }
}

/// `<entry>` of `<sysinfo type='fwcfg'>`: a file of QEMU's firmware configuration device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfgEntry {
    /// Below `opt/`.
    pub name: String,
    pub content: FwCfgContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FwCfgContent {
    Text(String),
    /// A file of the host's, by its path.
    File(String),
}

impl FwCfgEntry {
    /// The longest name that QEMU takes, in bytes.
    pub const LONGEST_NAME: usize = 55;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_libvirts_order_and_no_empty_values() {
        let mut entries = Entries::default();
        for (name, value) in [
            (BoardEntry::Location, "rack"),
            (BoardEntry::Manufacturer, "first"),
            (BoardEntry::Serial, "7"),
            (BoardEntry::Serial, ""),
            (BoardEntry::Manufacturer, "second"),
        ] {
            entries.set(name, value.to_owned());
        }
        let all: Vec<_> = entries.iter().collect();
        assert_eq!(all, [(BoardEntry::Manufacturer, "second"), (BoardEntry::Location, "rack")]);
        assert_eq!(
            (entries.get(BoardEntry::Serial), entries.get(BoardEntry::Location)),
            (None, Some("rack"))
        );
    }
}
