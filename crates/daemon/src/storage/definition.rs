//! The definition of a directory pool: its XML, read and printed.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use domain::{Document, escape_text};
use rpc::error::Code;
use rpc::xdr::Uuid;

use super::{Failure, Permissions, fault, only, unsupported, xml_error};

/// A directory pool as it was defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) uuid: Uuid,
    /// Absolute, without `.`, `..` and superfluous slashes.
    pub(crate) path: PathBuf,
    pub(crate) permissions: Permissions,
}

/// How full the file system is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) capacity: u64,
    pub(crate) available: u64,
}

impl Space {
    pub(crate) fn allocation(self) -> u64 {
        self.capacity.saturating_sub(self.available)
    }
}

impl Definition {
    /// Reads a definition; one without a UUID is given `fresh`.
    pub(crate) fn parse(text: &str, fresh: Uuid) -> Result<Self, Failure> {
        let document = Document::parse(text).map_err(|error| xml_error(error.to_string()))?;
        let root = document.root();
        if root.name() != "pool" {
            return Err(xml_error(format!("unexpected root element <{}>, expecting <pool>", root.name())));
        }
        match root.attribute("type").map(|kind| kind.value()) {
            Some(kind) if kind == "dir" => {}
            Some(kind) => {
                return Err(unsupported(format!(
                    "storage pools of type '{kind}': without libvirt's storage daemon (virtstoraged, or libvirtd) \
                     there are pools of type 'dir' only"
                )));
            }
            None => return Err(xml_error("missing storage pool type attribute")),
        }
        only(root, &["name", "uuid", "capacity", "allocation", "available", "source", "target"])?;
        if let Some(source) = root.child("source") {
            only(source, &["name"])?;
        }
        let name = root.child("name").map(|name| name.text().trim().to_owned()).unwrap_or_default();
        if name.is_empty() {
            return Err(xml_error("missing pool source name element"));
        }
        if name.contains('/') || name.chars().any(char::is_control) {
            return Err(xml_error(format!("name {name} cannot contain '/' or control characters")));
        }
        let uuid = match root.child("uuid") {
            None => fresh,
            Some(uuid) => uuid::Uuid::try_parse(uuid.text().trim())
                .map(|uuid| Uuid(uuid.into_bytes()))
                .map_err(|_| xml_error("malformed uuid element"))?,
        };
        let target = root.child("target");
        if let Some(target) = target {
            only(target, &["path", "permissions"])?;
        }
        let path = target.and_then(|target| target.child("path"));
        let path = path.map(|path| path.text().trim().to_owned()).unwrap_or_default();
        if path.is_empty() {
            return Err(xml_error("missing storage pool target path"));
        }
        let permissions = target.and_then(|target| target.child("permissions"));
        let permissions = permissions.map(Permissions::read).transpose()?.unwrap_or_default();
        Ok(Self { name, uuid, path: plain(&path)?, permissions })
    }

    /// The document; `live` is what is known of a pool that is active.
    pub(crate) fn print(&self, live: Option<(Space, Permissions)>) -> String {
        let (space, permissions) = live.unwrap_or_else(|| (Space::default(), self.permissions));
        let mut out = String::from("<pool type='dir'>\n");
        let _ = writeln!(out, "  <name>{}</name>", escape_text(&self.name));
        let _ = writeln!(out, "  <uuid>{}</uuid>", self.uuid);
        let _ = writeln!(out, "  <capacity unit='bytes'>{}</capacity>", space.capacity);
        let _ = writeln!(out, "  <allocation unit='bytes'>{}</allocation>", space.allocation());
        let _ = writeln!(out, "  <available unit='bytes'>{}</available>", space.available);
        out.push_str("  <source>\n  </source>\n  <target>\n");
        let _ = writeln!(out, "    <path>{}</path>", escape_text(&self.path.to_string_lossy()));
        permissions.print("    ", &mut out);
        out.push_str("  </target>\n</pool>\n");
        out
    }
}

/// The path without `.`, `..` and superfluous slashes: what a pool is compared by.
pub(super) fn plain(path: &str) -> Result<PathBuf, Failure> {
    if !path.starts_with('/') || path.chars().any(char::is_control) {
        return Err(fault(Code::XML_ERROR, format!("target path '{path}' must be absolute")));
    }
    let mut plain = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::Normal(name) => plain.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Uuid = Uuid([7; 16]);

    #[test]
    fn a_definition_is_printed_as_it_is_read() {
        let text = "<pool type='dir'><name>a &amp; b</name><source/><target><path>/x//y/../z/</path>\
            <permissions><mode>0711</mode><owner>-1</owner></permissions></target></pool>";
        let read = Definition::parse(text, FRESH).unwrap();
        assert_eq!((read.path.as_path(), read.uuid), (Path::new("/x/z"), FRESH));
        assert_eq!(read.permissions, Permissions { mode: Some(0o711), owner: None, group: None });
        assert_eq!(Definition::parse(&read.print(None), Uuid([0; 16])).unwrap(), read);
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let check = |text: &str, words: &str| {
            let error = Definition::parse(text, FRESH).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        };
        check("<pool", "XML error");
        check("<volume/>", "unexpected root element <volume>, expecting <pool>");
        check("<pool type='logical'/>", "type 'logical'");
        check("<pool type='dir'/>", "missing pool source name");
        check("<pool type='dir'><name>../a</name></pool>", "cannot contain '/'");
        check("<pool type='dir'><name>a</name></pool>", "missing storage pool target path");
        check("<pool type='dir'><name>a</name><target><path>a</path></target></pool>", "must be absolute");
        check("<pool type='dir'><name>a</name><features/></pool>", "<features> in <pool>");
        check(
            "<pool type='dir'><name>a</name><source><host name='b'/></source></pool>",
            "<host> in <source>",
        );
        check("<pool type='dir'><name>a</name><uuid>1</uuid></pool>", "malformed uuid");
    }
}
