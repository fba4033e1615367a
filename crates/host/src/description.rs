//! `host.toml`: what is known of a described host beside its files. `docs/facts.md` says how it is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::facts::{Emulator, Fact, LockedMemory, Platform, SnpPlatform};

/// No description is larger.
const SIZE_LIMIT: u64 = 1 << 20;

/// Why another machine's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    #[error("read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{path}` is larger than 1 MiB")]
    TooLarge { path: PathBuf },
    #[error("understand `{path}`")]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Description {
    pub(crate) uname: Uname,
    pub(crate) path: BTreeMap<PathBuf, Node>,
    pub(crate) cpuid: BTreeMap<Leaf, Registers>,
    pub(crate) ioctl: Ioctls,
    pub(crate) limits: Limits,
    pub(crate) selinux: SelinuxAnswers,
    pub(crate) qmp: BTreeMap<PathBuf, QmpAnswers>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Uname {
    pub(crate) release: Option<String>,
}

/// What is said of a path, whether the tree has it or not.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) kind: Option<Kind>,
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) modified: Option<i64>,
    pub(crate) changed: Option<i64>,
    pub(crate) xattr: BTreeMap<String, Attribute>,
    pub(crate) errno: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    File,
    Directory,
    Character,
    Block,
}

/// An extended attribute as getfattr prints it.
#[derive(Debug, Deserialize)]
pub(crate) struct Attribute(String);

impl Attribute {
    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        let Some(digits) = self.0.strip_prefix("0x") else { return Ok(self.0.clone().into_bytes()) };
        let odd = || io::Error::other("an attribute after 0x is not hex");
        if digits.len() % 2 != 0 {
            return Err(odd());
        }
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>().ok_or_else(odd)
    }
}

/// A number that stands as a key: `0x8000001f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leaf(pub(crate) u32);

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no leaf such as 0x8000001f")))
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registers {
    pub(crate) eax: u32,
    pub(crate) ebx: u32,
    pub(crate) ecx: u32,
    pub(crate) edx: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ioctls {
    pub(crate) platform_status: Option<Answer<Platform>>,
    pub(crate) snp_platform_status: Option<Answer<SnpPlatform>>,
}

/// What an ioctl comes back with.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Answer<T> {
    Failure { errno: i32 },
    Success(T),
}

impl<T: Copy> Answer<T> {
    pub(crate) fn result(&self) -> io::Result<T> {
        match self {
            Self::Success(value) => Ok(*value),
            Self::Failure { errno } => Err(io::Error::from_raw_os_error(*errno)),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) memlock: Option<LockedMemory>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SelinuxAnswers {
    pub(crate) svirt_may_use_sev: Option<bool>,
    pub(crate) policy_package: Option<String>,
}

/// What a QEMU binary would answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QmpAnswers {
    version: String,
    #[serde(default)]
    machines: Vec<String>,
    #[serde(default)]
    sev_objects: Vec<String>,
    #[serde(default)]
    sev_refusal: Option<String>,
}

impl QmpAnswers {
    pub(crate) fn emulator(&self, path: &Path) -> Emulator {
        Emulator {
            path: path.to_owned(),
            version: Fact::Known(self.version.clone()),
            machines: self.machines.clone(),
            sev_objects: self.sev_objects.clone(),
            sev_refusal: self.sev_refusal.clone(),
        }
    }
}

impl Description {
    /// `None` where there is no such file.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, DescriptionError> {
        let failed = |source| DescriptionError::Read { path: path.to_owned(), source };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a regular file")));
        }
        let mut text = String::new();
        file.take(SIZE_LIMIT + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > SIZE_LIMIT {
            return Err(DescriptionError::TooLarge { path: path.to_owned() });
        }
        toml::from_str(&text)
            .map(Some)
            .map_err(|source| DescriptionError::Parse { path: path.to_owned(), source: Box::new(source) })
    }
}
