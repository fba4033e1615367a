//! Firmware descriptors: the JSON files by which a distribution says what its firmware images can do.
//!
//! Source: `docs/interop/firmware.json` of QEMU. This module reads a descriptor's text; finding the files,
//! their order and masking is the caller's business.

use serde::{Deserialize, Serialize};

/// One descriptor file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    #[serde(default)]
    pub description: String,
    /// `uefi`, `bios`, `openfirmware`, `uboot`.
    pub interface_types: Vec<String>,
    pub mapping: Mapping,
    pub targets: Vec<Target>,
    /// `amd-sev`, `amd-sev-es`, `amd-sev-snp`, `requires-smm`, `secure-boot`, …
    pub features: Vec<String>,
}

/// How the image gets into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "device", rename_all = "lowercase")]
pub enum Mapping {
    /// Parallel flash.
    #[serde(rename_all = "kebab-case")]
    Flash {
        #[serde(default)]
        mode: FlashMode,
        executable: FlashFile,
        #[serde(default)]
        nvram_template: Option<FlashFile>,
    },
    /// Loaded as a kernel.
    Kernel { filename: String },
    /// Loaded into memory, `-bios`.
    Memory { filename: String },
    /// An IGVM file.
    Igvm { filename: String },
}

/// Where variables are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlashMode {
    /// Code and variables in two images.
    #[default]
    Split,
    /// Code and variables in one writable image.
    Combined,
    /// No variables are kept.
    Stateless,
}

/// An image file of a flash mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlashFile {
    pub filename: String,
    /// `raw` or `qcow2`.
    pub format: String,
}

/// The machines a firmware is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub architecture: String,
    /// Glob patterns over canonical machine names: `pc-q35-*`.
    pub machines: Vec<String>,
}

impl Descriptor {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// The text is not JSON, or not a firmware descriptor.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The file that holds the code, whatever the mapping.
    #[must_use]
    pub fn executable(&self) -> &str {
        match &self.mapping {
            Mapping::Flash { executable, .. } => &executable.filename,
            Mapping::Kernel { filename } | Mapping::Memory { filename } | Mapping::Igvm { filename } => {
                filename
            }
        }
    }

    /// Whether the firmware is made for a machine type, given by its canonical name.
    #[must_use]
    pub fn is_for(&self, architecture: &str, machine: &str) -> bool {
        self.targets.iter().any(|target| {
            target.architecture == architecture
                && target.machines.iter().any(|pattern| matches_glob(pattern, machine))
        })
    }

    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|have| have == feature)
    }
}

/// A domain's machine type as descriptors name it. Which version an alias stands for is QEMU's to say; no descriptor
/// depends on it.
#[must_use]
pub fn described_machine(machine: Option<&str>) -> &str {
    match machine {
        None | Some("pc") => "pc-i440fx-0",
        Some("q35") => "pc-q35-0",
        Some(named) => named,
    }
}

/// Whether a name matches a pattern of `*` and `?`. Takes time proportional to the product of both lengths.
fn matches_glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == name.get(in_name) => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((star_at, from)) => {
                    star = Some((star_at, from + 1));
                    at = star_at + 1;
                    in_name = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_flash_descriptor_is_read() {
        let text = r#"{
            "description": "UEFI", "interface-types": ["uefi"],
            "mapping": {"device": "flash",
                "executable": {"filename": "/fw/CODE.fd", "format": "raw"},
                "nvram-template": {"filename": "/fw/VARS.fd", "format": "raw"}},
            "targets": [{"architecture": "x86_64", "machines": ["pc-q35-*"]}],
            "features": ["amd-sev"], "tags": []}"#;
        let descriptor = Descriptor::parse(text).unwrap();
        assert_eq!(descriptor.executable(), "/fw/CODE.fd");
        assert!(descriptor.has("amd-sev") && !descriptor.has("amd-sev-snp"));
        assert!(matches!(descriptor.mapping, Mapping::Flash { mode: FlashMode::Split, .. }));
    }

    #[test]
    fn what_is_no_descriptor_is_refused() {
        assert!(Descriptor::parse("{}").is_err());
        assert!(Descriptor::parse(r#"{"mapping": {"device": "tape"}}"#).is_err());
    }

    #[test]
    fn machine_patterns_match_as_in_a_shell() {
        assert!(matches_glob("pc-q35-*", "pc-q35-10.0"));
        assert!(matches_glob("pc-*-?.0", "pc-i440fx-4.0"));
        assert!(matches_glob("*", ""));
        assert!(matches_glob("microvm", "microvm"));
        assert!(!matches_glob("pc-q35-*", "pc-i440fx-4.0"));
        assert!(!matches_glob("microvm", "microvm2"));
        assert!(!matches_glob(&"*a".repeat(200), &"a".repeat(150)));
    }
}
