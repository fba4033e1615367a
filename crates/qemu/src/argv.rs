//! The building blocks of a QEMU command line: ordered JSON properties (`-object`, `-device`, `-blockdev`,
//! `-netdev`), comma-separated key=value options, and the options themselves. One file below for each kind of
//! device; none of them looks at the host.

pub(crate) mod address;
pub(crate) mod balloon;
pub(crate) mod block;
pub(crate) mod boot;
pub(crate) mod chardev;
pub(crate) mod clock;
pub(crate) mod console;
pub(crate) mod controller;
pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod graphics;
pub(crate) mod input;
pub(crate) mod interface;
pub(crate) mod iommu;
pub(crate) mod iothread;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod notifier;
pub(crate) mod rng;
pub(crate) mod sev;
pub(crate) mod shell;
pub(crate) mod sysinfo;
pub(crate) mod tpm;
pub(crate) mod video;
pub(crate) mod vsock;
pub(crate) mod watchdog;

use std::ffi::OsString;

use serde_json::{Map, Value};

/// JSON properties in the order in which they are printed.
///
/// The first one names the type (`driver`, `qom-type`, `type`), so that the same value serves as the arguments of
/// QMP's `device_add`, `object-add`, `blockdev-add` and `netdev_add`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Map<String, Value>);

impl Properties {
    /// A device: `{"driver": NAME, …}`.
    pub(crate) fn device(driver: impl Into<Value>) -> Self {
        Self::default().with("driver", driver)
    }

    /// A QOM object: `{"qom-type": TYPE, "id": ID, …}`.
    pub(crate) fn object(qom_type: &str, id: impl Into<Value>) -> Self {
        Self::default().with("qom-type", qom_type).with("id", id)
    }

    /// Adds a property.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a property if there is a value for it.
    #[must_use]
    pub(crate) fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds `"key": true` if it is so, nothing otherwise.
    #[must_use]
    pub(crate) fn with_true(self, key: &str, is_so: bool) -> Self {
        self.with_some(key, is_so.then_some(true))
    }

    /// Adds all of another's properties.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The value of a property.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The properties as the arguments of a QMP command.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

/// A comma-separated option value: `pc,usb=off,acpi=on`. Commas inside values are doubled, as QEMU asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyValues(String);

impl KeyValues {
    /// An option that starts with a bare value.
    pub(crate) fn bare(value: impl AsRef<str>) -> Self {
        Self(escape(value.as_ref()))
    }

    /// Adds a word that has no value.
    #[must_use]
    pub(crate) fn word(mut self, word: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(word);
        self
    }

    /// Adds `key=value`.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl AsRef<str>) -> Self {
        let value = escape(value.as_ref());
        self = self.word(key);
        self.0.push('=');
        self.0.push_str(&value);
        self
    }

    /// Adds `key=value` if there is a value.
    #[must_use]
    pub(crate) fn with_some(self, key: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds `key=on` or `key=off`.
    #[must_use]
    pub(crate) fn switch(self, key: &str, on: bool) -> Self {
        self.with(key, on_off(on))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One option of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// `-S`
    Flag(&'static str),
    /// `-m size=…`
    Text(&'static str, String),
    /// `-device {…}`
    Json(&'static str, Properties),
}

impl Argument {
    /// An option whose value is a list of keys and values.
    pub(crate) fn pairs(option: &'static str, value: KeyValues) -> Self {
        Self::Text(option, value.0)
    }

    /// `-object {…}`
    pub(crate) fn object(properties: Properties) -> Self {
        Self::Json("-object", properties)
    }

    /// Appends the option, and its value where it has one, as QEMU takes them.
    pub(crate) fn render(&self, argv: &mut Vec<OsString>) {
        match self {
            Self::Flag(flag) => argv.push(flag.into()),
            Self::Text(option, value) => argv.extend([option.into(), value.into()]),
            Self::Json(option, properties) => argv.extend([option.into(), properties.to_json().into()]),
        }
    }
}

/// `on` or `off`.
pub(crate) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// A value for use inside a comma-separated list: commas are doubled.
pub(crate) fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_keep_the_order_in_which_they_were_given() {
        let properties = Properties::device("virtio-rng-pci")
            .with("rng", "objrng0")
            .with_some("bus", None::<&str>)
            .with_true("multifunction", false)
            .with("addr", "0x2");
        assert_eq!(properties.to_json(), r#"{"driver":"virtio-rng-pci","rng":"objrng0","addr":"0x2"}"#);
    }

    #[test]
    fn commas_in_values_are_doubled() {
        let value = KeyValues::default().with("guest", "foo=1,bar=2").switch("debug-threads", true);
        assert_eq!(value.as_str(), "guest=foo=1,,bar=2,debug-threads=on");
        assert_eq!(KeyValues::bare("a,b").as_str(), "a,,b");
    }

    #[test]
    fn text_is_escaped_for_json_by_the_serializer() {
        let properties = Properties::device("a\"b").with("path", "c\\d\n");
        assert_eq!(properties.to_json(), r#"{"driver":"a\"b","path":"c\\d\n"}"#);
    }
}
