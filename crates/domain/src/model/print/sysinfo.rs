//! Prints `<sysinfo>`.

use super::node::Node;
use crate::model::{
    Keyword,
    sysinfo::{Entries, FwCfgContent, FwCfgEntry, Smbios, Sysinfo},
};

pub(super) fn print_sysinfo(sysinfo: &Sysinfo) -> Node {
    let node = Node::new("sysinfo");
    match sysinfo {
        Sysinfo::Smbios(smbios) => print_smbios(node.attr("type", "smbios"), smbios),
        Sysinfo::FwCfg(files) => node.attr("type", "fwcfg").all(files.iter().map(print_file)),
    }
}

fn print_smbios(node: Node, smbios: &Smbios) -> Node {
    let strings = smbios.oem_strings.iter().map(|text| Node::of_text("entry", text));
    node.maybe(print_entries("bios", &smbios.bios).unless_empty())
        .maybe(print_entries("system", &smbios.system).unless_empty())
        .all(smbios.base_boards.iter().filter_map(|board| print_entries("baseBoard", board).unless_empty()))
        .maybe(print_entries("chassis", &smbios.chassis).unless_empty())
        .maybe(Node::new("oemStrings").all(strings).unless_empty())
}

fn print_entries<K: Keyword + Ord>(name: &'static str, entries: &Entries<K>) -> Node {
    let entries = entries.iter().map(|(name, value)| Node::of_text("entry", value).attr("name", name.word()));
    Node::new(name).all(entries)
}

fn print_file(file: &FwCfgEntry) -> Node {
    match &file.content {
        FwCfgContent::Text(text) => Node::of_text("entry", text).attr("name", &file.name),
        FwCfgContent::File(path) => Node::new("entry").attr("name", &file.name).attr("file", path),
    }
}
