//! The keys of `sevirtd.toml`, in the order in which they are shown.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::{Config, Format, Who};
use crate::forward::Choice;

/// One key.
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// What it means, in lines.
    pub about: &'static str,
    pub(super) set: fn(&mut Config, &DeValue<'_>) -> Result<(), String>,
    /// As TOML; `None` where nothing is set.
    pub(super) show: fn(&Config) -> Option<String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.section, self.name)
    }
}

/// Every key.
pub const KEYS: &[Key] = &[
    Key {
        section: "socket",
        name: "path",
        about: "Where clients connect that may change things. Unset: sevirt-sock in the run directory.",
        set: |config, value| path(value).map(|path| config.socket.path = Some(path)),
        show: |config| config.socket.path.as_ref().map(|path| quoted(&path.to_string_lossy())),
    },
    Key {
        section: "socket",
        name: "read_only_path",
        about: "Where clients connect that only read (virsh -r). Unset: sevirt-sock-ro in the run directory.",
        set: |config, value| path(value).map(|path| config.socket.read_only_path = Some(path)),
        show: |config| config.socket.read_only_path.as_ref().map(|path| quoted(&path.to_string_lossy())),
    },
    Key {
        section: "socket",
        name: "read_only",
        about: "Whether there is a socket for clients that only read.",
        set: |config, value| boolean(value).map(|value| config.socket.read_only = value),
        show: |config| Some(config.socket.read_only.to_string()),
    },
    Key {
        section: "socket",
        name: "group",
        about: "The group of both sockets, by name or number. Where there is no such group, and for \"\",\n\
                they are the daemon's own group's.",
        set: |config, value| text(value).map(|value| value.clone_into(&mut config.socket.group)),
        show: |config| Some(quoted(&config.socket.group)),
    },
    Key {
        section: "socket",
        name: "mode",
        about: "Who may connect, as chmod(1) has it, in octal.",
        set: |config, value| mode(value).map(|value| config.socket.mode = value),
        show: |config| Some(quoted(&format!("{:04o}", config.socket.mode))),
    },
    Key {
        section: "socket",
        name: "read_only_mode",
        about: "The same of the socket for clients that only read.",
        set: |config, value| mode(value).map(|value| config.socket.read_only_mode = value),
        show: |config| Some(quoted(&format!("{:04o}", config.socket.read_only_mode))),
    },
    Key {
        section: "allow",
        name: "write",
        about: "Who may do everything: users by name or number, groups with @ before them, \"*\" for everybody.\n\
                The kernel says who a client is; it must also be able to open the socket. Whoever may write\n\
                is as powerful as root. A session's daemon serves its own user and nobody else.",
        set: |config, value| list(value).map(|value| config.allow.write = value),
        show: |config| Some(shown(&config.allow.write)),
    },
    Key {
        section: "allow",
        name: "read",
        about: "Who may look, on the socket for clients that only read. Passwords are not shown there.",
        set: |config, value| list(value).map(|value| config.allow.read = value),
        show: |config| Some(shown(&config.allow.read)),
    },
    Key {
        section: "limits",
        name: "clients",
        about: "How many clients may be connected.",
        set: |config, value| number(value, 1, 100_000).map(|value| config.limits.clients = value),
        show: |config| Some(config.limits.clients.to_string()),
    },
    Key {
        section: "limits",
        name: "clients_per_user",
        about: "How many of them may be one user's. Root is not held to it.",
        set: |config, value| number(value, 1, 100_000).map(|value| config.limits.clients_per_user = value),
        show: |config| Some(config.limits.clients_per_user.to_string()),
    },
    Key {
        section: "limits",
        name: "handshake_seconds",
        about: "How long a client may take from connecting to opening the connection.",
        set: |config, value| seconds(value).map(|value| config.limits.handshake = value),
        show: |config| Some(config.limits.handshake.as_secs().to_string()),
    },
    Key {
        section: "keepalive",
        name: "interval_seconds",
        about: "How long a client is silent before it is pinged. Only clients that know of pings are.",
        set: |config, value| seconds(value).map(|value| config.keepalive.interval = value),
        show: |config| Some(config.keepalive.interval.as_secs().to_string()),
    },
    Key {
        section: "keepalive",
        name: "count",
        about: "How many pings a client may leave unanswered before it is taken for dead. 0: none is pinged.",
        set: |config, value| number(value, 0, 1000).map(|value| config.keepalive.count = value),
        show: |config| Some(config.keepalive.count.to_string()),
    },
    Key {
        section: "forward",
        name: "network",
        about: "Who answers net-* commands: \"auto\", libvirt's network daemon where it runs, else a network of the\n\
                daemon's own; \"none\", always its own; or the path of a daemon's socket.",
        set: |config, value| choice(value).map(|value| config.forward.network = value),
        show: |config| Some(quoted(&config.forward.network.to_string())),
    },
    Key {
        section: "forward",
        name: "storage",
        about: "The same for pool-* and vol-* commands.",
        set: |config, value| choice(value).map(|value| config.forward.storage = value),
        show: |config| Some(quoted(&config.forward.storage.to_string())),
    },
    Key {
        section: "lint",
        name: "allow",
        about: "Rules of lint, by code or name, that hinder no start of any guest; what they find is logged. A domain\n\
                can do the same for itself in its metadata (docs/rules.md).",
        set: |config, value| rules(value).map(|value| config.lint = value),
        show: |config| {
            let codes: Vec<String> = config.lint.codes().map(quoted).collect();
            Some(format!("[{}]", codes.join(", ")))
        },
    },
    Key {
        section: "log",
        name: "level",
        about: "error, warn, info, debug or trace; also by part, as in \"info,daemon::vm=debug\".",
        set: |config, value| text(value).and_then(level).map(|value| config.log.level = value),
        show: |config| Some(quoted(&config.log.level)),
    },
    Key {
        section: "log",
        name: "format",
        about: "text, with the priorities that systemd's journal understands, or json, one object a line.",
        set: |config, value| {
            config.log.format = match text(value)? {
                "text" => Format::Text,
                "json" => Format::Json,
                other => return Err(format!("\"text\" or \"json\", not \"{other}\"")),
            };
            Ok(())
        },
        show: |config| {
            Some(quoted(match config.log.format {
                Format::Text => "text",
                Format::Json => "json",
            }))
        },
    },
    Key {
        section: "isolation",
        name: "user",
        about: "Whom QEMU runs as, where the daemon is root's. \"root\": as the daemon, but without its\n\
                capabilities. No guest is started while there is no such user. docs/security.md has the rest.",
        set: |config, value| text(value).map(|value| value.clone_into(&mut config.isolation.user)),
        show: |config| Some(quoted(&config.isolation.user)),
    },
    Key {
        section: "isolation",
        name: "group",
        about: "QEMU's group. Unset: the user's own. The groups of /dev/kvm and /dev/sev come by themselves.",
        set: |config, value| text(value).map(|value| config.isolation.group = Some(value.to_owned())),
        show: |config| config.isolation.group.as_deref().map(quoted),
    },
    Key {
        section: "isolation",
        name: "namespaces",
        about: "Whether each QEMU has mounts, devices, processes and System V IPC of its own.",
        set: |config, value| boolean(value).map(|value| config.isolation.namespaces = value),
        show: |config| Some(config.isolation.namespaces.to_string()),
    },
    Key {
        section: "isolation",
        name: "visible",
        about: "Files and directories of the host that every QEMU sees there, beside the system's and those that its\n\
                domain names.",
        set: |config, value| paths(value).map(|paths| config.isolation.visible = paths),
        show: |config| {
            let paths: Vec<_> =
                config.isolation.visible.iter().map(|path| quoted(&path.to_string_lossy())).collect();
            Some(format!("[{}]", paths.join(", ")))
        },
    },
];

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn shown(list: &[Who]) -> String {
    let names: Vec<String> = list.iter().map(|who| quoted(&who.to_string())).collect();
    format!("[{}]", names.join(", "))
}

fn wanted(what: &str, value: &DeValue<'_>) -> String {
    format!("{what} is wanted, not {} {}", if value.is_integer() { "an" } else { "a" }, value.type_str())
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| wanted("text in quotes", value))
}

fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() { Ok(path) } else { Err(format!("`{}` does not begin with /", path.display())) }
}

fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| wanted("true or false", value))
}

fn paths(value: &DeValue<'_>) -> Result<Vec<PathBuf>, String> {
    let list = value.as_array().ok_or_else(|| wanted("a list, such as [\"/srv/qemu\"],", value))?;
    list.iter().map(|item| path(item.get_ref())).collect()
}

fn mode(value: &DeValue<'_>) -> Result<u32, String> {
    let text = text(value).map_err(|_| wanted("a mode in quotes, such as \"0660\",", value))?;
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("\"{text}\" is not a mode such as \"0660\""))
}

fn number<T: TryFrom<i64>>(value: &DeValue<'_>, least: i64, most: i64) -> Result<T, String> {
    let digits = value.as_integer().filter(|number| number.radix() == 10);
    let digits = digits.ok_or_else(|| wanted("a number", value))?.as_str();
    let number = digits.parse().ok().filter(|number| (least..=most).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{digits} is not between {least} and {most}"))
}

fn seconds(value: &DeValue<'_>) -> Result<Duration, String> {
    number(value, 1, 86_400).map(Duration::from_secs)
}

fn list(value: &DeValue<'_>) -> Result<Vec<Who>, String> {
    let list = value.as_array().ok_or_else(|| wanted("a list, such as [\"root\", \"@libvirt\"],", value))?;
    list.iter()
        .map(|who| {
            let name = text(who.get_ref())?;
            match name.strip_prefix('@') {
                _ if name.is_empty() || name == "@" || name.contains([':', '\n']) => {
                    Err(format!("\"{name}\" is no user or group"))
                }
                Some(group) => Ok(Who::Group(group.to_owned())),
                None if name == "*" => Ok(Who::Everybody),
                None => Ok(Who::User(name.to_owned())),
            }
        })
        .collect()
}

fn rules(value: &DeValue<'_>) -> Result<rules::Allowed, String> {
    let list = value.as_array().ok_or_else(|| wanted("a list, such as [\"SEV003\"],", value))?;
    let words = list.iter().map(|word| text(word.get_ref())).collect::<Result<Vec<_>, _>>()?;
    rules::Allowed::named(words).map_err(|error| error.to_string())
}

fn choice(value: &DeValue<'_>) -> Result<Choice, String> {
    Choice::try_from(text(value)?.to_owned()).map_err(|error| error.to_string())
}

fn level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |directive: &str| {
        let level = directive.rsplit('=').next().unwrap_or(directive);
        LEVELS.contains(&level.trim())
    };
    if text.split(',').all(known) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is none of {}", LEVELS.join(", ")))
    }
}
