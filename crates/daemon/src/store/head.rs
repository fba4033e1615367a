//! A definition's name and UUID, without reading the rest of it where it is of sevirt's own making.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use domain::{Document, Domain, MAX_SIZE};
use rpc::xdr::Uuid;

/// What tells one definition from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) uuid: Uuid,
}

/// Reads a file; what it says in the way of a reason is for people.
pub(super) fn read(path: &Path) -> Result<(Arc<str>, Head), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if size > MAX_SIZE {
        return Err(format!("it has {size} bytes, more than the {MAX_SIZE} that a definition may have"));
    }
    let mut text = String::with_capacity(size);
    let limit = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let head = match printed(&text) {
        Some(head) => head,
        None => parsed(&text)?,
    };
    Ok((text.into(), head))
}

/// Of a definition as it is printed: the name and the UUID have the second and the third line, and it ends.
fn printed(text: &str) -> Option<Head> {
    let rest = text.strip_prefix("<domain ")?;
    let rest = rest.split_once('\n')?.1;
    let (name, rest) = rest.strip_prefix("  <name>")?.split_once("</name>\n")?;
    let (uuid, _) = rest.strip_prefix("  <uuid>")?.split_once("</uuid>\n")?;
    let is_plain = !name.is_empty() && !name.contains(['&', '<', '\n']);
    if !is_plain || !text.trim_end().ends_with("</domain>") {
        return None;
    }
    Some(Head { name: name.to_owned(), uuid: uuid_of(uuid)? })
}

/// Of anybody's definition.
fn parsed(text: &str) -> Result<Head, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let (domain, _) = Domain::read(&document);
    if document.root().name() != "domain" || domain.name.is_empty() {
        return Err("it defines no domain".to_owned());
    }
    let uuid = domain.uuid.ok_or("its domain has no UUID")?;
    Ok(Head { name: domain.name, uuid: Uuid(uuid.into_bytes()) })
}

fn uuid_of(text: &str) -> Option<Uuid> {
    uuid::Uuid::from_str(text).ok().map(|uuid| Uuid(uuid.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "6d9ac89f-7a55-4ea6-93a3-2e7b36e6b1a6";

    #[test]
    fn the_short_way_finds_what_the_long_way_finds() {
        let definition = |name: &str| {
            format!("<domain type='kvm'>\n  <name>{name}</name>\n  <uuid>{UUID}</uuid>\n</domain>\n")
        };
        for (name, short) in [("a", true), ("ä b", true), ("..", true), ("a&amp;b", false)] {
            let text = definition(name);
            assert_eq!(printed(&text).is_some(), short, "{name}");
            let long = parsed(&text).unwrap();
            assert_eq!(printed(&text).unwrap_or_else(|| long.clone()), long);
        }
    }

    #[test]
    fn what_is_no_definition_says_why() {
        for (text, reason) in [
            ("", "no root element"),
            ("<network/>", "it defines no domain"),
            ("<domain type='kvm'><name>a</name></domain>", "its domain has no UUID"),
        ] {
            let said = parsed(text).unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
        }
        let cut = format!("<domain type='kvm'>\n  <name>a</name>\n  <uuid>{UUID}</uuid>\n  <memory>");
        assert!(printed(&cut).is_none() && parsed(&cut).is_err());
    }
}
