//! A volume as a client wants it: libvirt's volume XML, read.

use domain::{Document, Element};

use super::{Failure, Permissions, only, size, unsupported, xml_error};

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    /// In bytes; `None` takes that of the backing or the copied image.
    pub(super) capacity: Option<u64>,
    /// In bytes; `None` is all of it.
    pub(super) allocation: Option<u64>,
    pub(super) format: Format,
    pub(super) permissions: Permissions,
    pub(super) qcow2: Qcow2Options,
    pub(super) backing: Option<WantedBacking>,
}

/// The formats in which volumes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Raw,
    Qcow2,
}

impl Format {
    /// As libvirt and QEMU name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }

    fn parse(name: &str, what: &str) -> Result<Self, Failure> {
        match name {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            other => Err(unsupported(format!(
                "{what} of format '{other}': volumes here are raw or qcow2; libvirt's storage daemon knows others"
            ))),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Qcow2Options {
    /// `0.10` or `1.1`.
    pub(super) compat: Option<&'static str>,
    /// In bytes.
    pub(super) cluster: Option<u64>,
    pub(super) lazy_refcounts: bool,
    pub(super) extended_l2: bool,
}

/// The image that the new one begins from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedBacking {
    /// Absolute.
    pub(super) path: String,
    pub(super) format: Format,
}

impl Wanted {
    /// Reads a document. `copy`: of a volume that is a copy of another, whose size it may take.
    pub(crate) fn parse(text: &str, copy: bool) -> Result<Self, Failure> {
        let document = Document::parse(text).map_err(|error| xml_error(error.to_string()))?;
        let root = document.root();
        if root.name() != "volume" {
            return Err(xml_error(format!("unexpected root element <{}>, expecting <volume>", root.name())));
        }
        if let Some(kind) = root.attribute("type").map(|kind| kind.value()).filter(|kind| kind != "file") {
            return Err(unsupported(format!("volumes of type '{kind}': only files are made here")));
        }
        // A key, a path and times are what a volume has, not what one can want.
        only(
            root,
            &["name", "key", "source", "capacity", "allocation", "physical", "target", "backingStore"],
        )?;
        if let Some(source) = root.child("source") {
            only(source, &[])?;
        }
        let name = root.child("name").map(|name| name.text().into_owned()).unwrap_or_default();
        if name.is_empty() {
            return Err(xml_error("missing volume name element"));
        }
        let bytes = |name: &str| root.child(name).map(size::read).transpose();
        let (capacity, allocation) = (bytes("capacity")?, bytes("allocation")?);
        let backing = root.child("backingStore").map(backing).transpose()?.flatten();
        if capacity.is_none() && backing.is_none() && !copy {
            return Err(xml_error("missing capacity element"));
        }
        let target = root.child("target").map(Target::read).transpose()?.unwrap_or_default();
        let wanted = Self {
            name,
            capacity,
            allocation,
            format: target.format.unwrap_or(Format::Raw),
            permissions: target.permissions,
            qcow2: target.qcow2,
            backing,
        };
        if wanted.format == Format::Raw && wanted.backing.is_some() {
            return Err(unsupported("a raw volume cannot have a <backingStore>; qcow2 can"));
        }
        if wanted.format == Format::Raw && wanted.qcow2 != Qcow2Options::default() {
            return Err(unsupported("<compat>, <clusterSize> and <features> are of qcow2, not of raw"));
        }
        Ok(wanted)
    }
}

#[derive(Default)]
struct Target {
    format: Option<Format>,
    permissions: Permissions,
    qcow2: Qcow2Options,
}

impl Target {
    fn read(target: Element<'_>) -> Result<Self, Failure> {
        let known = ["path", "format", "permissions", "timestamps", "compat", "clusterSize", "features"];
        only(target, &known)?;
        let format = target.child("format").and_then(|format| format.attribute("type"));
        let format = format.map(|kind| Format::parse(&kind.value(), "volumes")).transpose()?;
        let permissions = target.child("permissions").map(Permissions::read).transpose()?.unwrap_or_default();
        let compat = match target.child("compat").map(|compat| compat.text().trim().to_owned()).as_deref() {
            None => None,
            Some("0.10") => Some("0.10"),
            Some("1.1") => Some("1.1"),
            Some(other) => {
                return Err(xml_error(format!("forbidden characters in 'compat' attribute: {other}")));
            }
        };
        let cluster = target.child("clusterSize").map(size::read).transpose()?.filter(|size| *size != 0);
        let features = target.child("features");
        if let Some(features) = features {
            only(features, &["lazy_refcounts", "extended_l2"])?;
        }
        let has = |name: &str| features.is_some_and(|features| features.child(name).is_some());
        let (lazy_refcounts, extended_l2) = (has("lazy_refcounts"), has("extended_l2"));
        Ok(Self { format, permissions, qcow2: Qcow2Options { compat, cluster, lazy_refcounts, extended_l2 } })
    }
}

fn backing(element: Element<'_>) -> Result<Option<WantedBacking>, Failure> {
    only(element, &["path", "format", "permissions", "timestamps"])?;
    let path = element.child("path").map(|path| path.text().into_owned()).unwrap_or_default();
    if path.is_empty() {
        return Ok(None);
    }
    if !path.starts_with('/') || path.chars().any(char::is_control) {
        return Err(xml_error(format!("the path of <backingStore> '{path}' must be absolute")));
    }
    let format = element.child("format").and_then(|format| format.attribute("type"));
    let format = format.map(|kind| Format::parse(&kind.value(), "backing images")).transpose()?;
    Ok(Some(WantedBacking { path, format: format.unwrap_or(Format::Raw) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_virt_install_sends() {
        let text = "<volume type='file'>
          <name>vm.qcow2</name>
          <capacity>5368709120</capacity>
          <allocation>0</allocation>
          <target><format type='qcow2'/><features><lazy_refcounts/></features></target>
        </volume>";
        let wanted = Wanted::parse(text, false).unwrap();
        assert_eq!(
            (wanted.name.as_str(), wanted.capacity, wanted.allocation),
            ("vm.qcow2", Some(5 << 30), Some(0))
        );
        assert_eq!(wanted.format, Format::Qcow2);
        assert!(wanted.qcow2.lazy_refcounts);
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let check = |inner: &str, words: &str| {
            let text = format!("<volume><name>a</name><capacity>1</capacity>{inner}</volume>");
            let error = Wanted::parse(&text, false).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        };
        check("<target><encryption format='luks'/></target>", "<encryption> in <target>");
        check("<target><nocow/></target>", "<nocow>");
        check("<target><format type='vmdk'/></target>", "format 'vmdk'");
        check("<target><compat>1.1</compat></target>", "of qcow2");
        check("<backingStore><path>/a</path></backingStore>", "raw volume cannot");
        check("<backingStore><path>json:{}</path></backingStore>", "must be absolute");
        let error = Wanted::parse("<volume><name>a</name></volume>", false).unwrap_err();
        assert_eq!(error.to_string(), "XML error: missing capacity element");
        assert!(Wanted::parse("<volume><name>a</name></volume>", true).is_ok());
        assert!(Wanted::parse("<volume type='block'><name>a</name></volume>", true).is_err());
    }
}
