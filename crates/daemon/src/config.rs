//! `sevirtd.toml`: what can be set, what is in force, and what is wrong with a file, by line.
//!
//! [`KEYS`] is the one list of keys: the parser, `sevirt daemon --check-config` and `docs/daemon.md` follow from it.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::isolate;

mod table;

use crate::forward;

pub use table::{KEYS, Key};

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub socket: Socket,
    pub allow: Allow,
    pub limits: Limits,
    pub keepalive: Keepalive,
    pub forward: forward::Settings,
    /// The rules that a site has decided to live with.
    pub lint: rules::Allowed,
    pub log: Log,
    /// How guests are kept apart.
    pub isolation: isolate::Settings,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// In place of the one in the run directory.
    pub path: Option<PathBuf>,
    pub read_only_path: Option<PathBuf>,
    /// Whether there is a socket for those who may only read.
    pub read_only: bool,
    /// Whose group the sockets are; empty for the daemon's own.
    pub group: String,
    pub mode: u32,
    pub read_only_mode: u32,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    pub write: Vec<Who>,
    pub read: Vec<Who>,
}

/// A user, a group, or everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    Everybody,
    User(String),
    Group(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub clients: usize,
    pub clients_per_user: usize,
    /// How long a client may take to open the connection.
    pub handshake: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    pub interval: Duration,
    /// 0 for no pings.
    pub count: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `error` to `trace`, or directives of tracing's `EnvFilter`.
    pub level: String,
    pub format: Format,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Config {
    /// What holds where a file says nothing.
    #[must_use]
    pub fn default_for(system: bool) -> Self {
        let system_only = |group: &str| if system { group.to_owned() } else { String::new() };
        Self {
            socket: Socket {
                path: None,
                read_only_path: None,
                read_only: system,
                group: system_only("libvirt"),
                mode: if system { 0o660 } else { 0o600 },
                read_only_mode: 0o666,
            },
            allow: Allow {
                write: vec![Who::User("root".into()), Who::Group("libvirt".into())],
                read: vec![Who::Everybody],
            },
            limits: Limits { clients: 5000, clients_per_user: 1200, handshake: Duration::from_secs(30) },
            keepalive: Keepalive { interval: Duration::from_secs(5), count: 5 },
            forward: forward::Settings::default(),
            lint: rules::Allowed::default(),
            log: Log { level: "info".into(), format: Format::Text },
            isolation: isolate::Settings::default(),
        }
    }

    /// The file, or what holds without one.
    pub fn load(path: &Path, system: bool) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default_for(system)),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        Self::parse(&text, system).map_err(|faults| ConfigError::Faults { path: path.to_owned(), faults })
    }

    /// The text of a file over what holds without one.
    pub fn parse(text: &str, system: bool) -> Result<Self, Faults> {
        let mut config = Self::default_for(system);
        let mut faults = Vec::new();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            faults.push(Fault { line: line(text, at), why: error.message().to_owned() });
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        for (section, value) in document.get_ref() {
            let name = section.get_ref();
            let at = section.span().start;
            let Some(table) = value.get_ref().as_table() else {
                let why =
                    format!("`{name}` is not a section; keys stand below [{}]", sections().join("], ["));
                faults.push(Fault { line: line(text, at), why });
                continue;
            };
            if !sections().contains(&name.as_ref()) {
                let why = format!("there is no section [{name}], only [{}]", sections().join("], ["));
                faults.push(Fault { line: line(text, at), why });
                continue;
            }
            for (key, value) in table {
                if let Err(why) = config.set(name, key.get_ref(), value) {
                    faults.push(Fault { line: line(text, key.span().start), why });
                }
            }
        }
        faults.sort_by_key(|fault| fault.line);
        if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
    }

    fn set(&mut self, section: &str, name: &str, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let in_section = || KEYS.iter().filter(|key| key.section == section);
        let Some(key) = in_section().find(|key| key.name == name) else {
            let known: Vec<&str> = in_section().map(|key| key.name).collect();
            return Err(format!("[{section}] has no key `{name}`, only {}", known.join(", ")));
        };
        (key.set)(self, value.get_ref()).map_err(|why| format!("{section}.{name}: {why}"))
    }

    /// As a file that says the same, each key with what it means.
    #[must_use]
    pub fn show(&self, explain: bool) -> String {
        let mut text = String::new();
        let mut section = "";
        for key in KEYS {
            if key.section != section {
                section = key.section;
                let gap = if text.is_empty() { "" } else { "\n" };
                let _ = writeln!(text, "{gap}[{section}]");
            }
            if explain {
                for line in key.about.lines() {
                    let _ = writeln!(text, "# {line}");
                }
            }
            match (key.show)(self) {
                Some(value) => {
                    let _ = writeln!(text, "{} = {value}", key.name);
                }
                None => {
                    let _ = writeln!(text, "# {} =", key.name);
                }
            }
        }
        text
    }
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections
}

/// The line of a byte, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// What is wrong with a file, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    line: usize,
    why: String,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "; " };
            write!(f, "{gap}line {}: {}", fault.line, fault.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read the configuration `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("configuration `{}`", path.display())]
    Faults {
        path: PathBuf,
        #[source]
        faults: Faults,
    },
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("*"),
            Self::User(name) => f.write_str(name),
            Self::Group(name) => write!(f, "@{name}"),
        }
    }
}

#[cfg(test)]
mod tests;
