//! Where calls are forwarded to: `[forward]` of the configuration file.

use std::fmt;
use std::path::PathBuf;

use super::Area;
use crate::service::Paths;

/// `[forward]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub network: Choice,
    pub storage: Choice,
}

/// `auto`, `none`, or the path of a socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Choice {
    /// libvirt's daemon, if its socket is where libvirt puts it. A daemon with a directory of its own
    /// (`--state-dir`) leaves the machine's alone.
    #[default]
    Auto,
    /// Nowhere: the embedded networks and pools are used.
    None,
    /// That daemon and no other: without it, calls fail.
    Socket(PathBuf),
}

/// What stands for a choice is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `auto` nor `none` nor the absolute path of a socket")]
pub struct ChoiceError(String);

impl TryFrom<String> for Choice {
    type Error = ChoiceError;

    fn try_from(text: String) -> Result<Self, ChoiceError> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            path if path.starts_with('/') => Ok(Self::Socket(path.into())),
            _ => Err(ChoiceError(text)),
        }
    }
}

/// As it is configured.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Settings {
    pub(super) fn of(&self, area: Area) -> &Choice {
        match area {
            Area::Network => &self.network,
            Area::Storage => &self.storage,
        }
    }
}

/// Where libvirt's daemons listen, for the daemon of the same user.
pub(super) fn usual_sockets(paths: &Paths, area: Area) -> Vec<PathBuf> {
    let Some(directory) = &paths.libvirt else { return Vec::new() };
    area.sockets().map(|name| directory.join(name)).to_vec()
}
