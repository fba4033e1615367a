//! `<permissions>` of pools and volumes.

use std::fmt::Write as _;

use domain::Element;

use super::{Failure, only, unsupported, xml_error};

/// Who may use a file, as far as a document says it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<u32>,
    pub(crate) group: Option<u32>,
}

impl Permissions {
    pub(super) fn read(element: Element<'_>) -> Result<Self, Failure> {
        only(element, &["mode", "owner", "group", "label"])?;
        if element.child("label").is_some_and(|label| !label.text().trim().is_empty()) {
            return Err(unsupported("<label> in <permissions>: files here carry no security labels"));
        }
        let mode = element.child("mode").map(|mode| mode.text().trim().to_owned());
        let mode = mode.map(|text| {
            let read = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
            read.ok_or_else(|| xml_error("malformed octal mode"))
        });
        // -1 is libvirt's way to say: whoever it is.
        let id = |name: &str| match element.child(name).map(|id| id.text().trim().to_owned()) {
            None => Ok(None),
            Some(text) if text == "-1" => Ok(None),
            Some(text) => match text.parse::<u32>() {
                Ok(id) if id != u32::MAX => Ok(Some(id)),
                _ => Err(xml_error(format!("malformed {name} element"))),
            },
        };
        Ok(Self { mode: mode.transpose()?, owner: id("owner")?, group: id("group")? })
    }

    pub(super) fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let mode = metadata.mode() & 0o7777;
        Self { mode: Some(mode), owner: Some(metadata.uid()), group: Some(metadata.gid()) }
    }

    pub(super) fn print(&self, indent: &str, out: &mut String) {
        if *self == Self::default() {
            return;
        }
        let _ = writeln!(out, "{indent}<permissions>");
        if let Some(mode) = self.mode {
            let _ = writeln!(out, "{indent}  <mode>0{mode:o}</mode>");
        }
        if let Some(owner) = self.owner {
            let _ = writeln!(out, "{indent}  <owner>{owner}</owner>");
        }
        if let Some(group) = self.group {
            let _ = writeln!(out, "{indent}  <group>{group}</group>");
        }
        let _ = writeln!(out, "{indent}</permissions>");
    }
}
