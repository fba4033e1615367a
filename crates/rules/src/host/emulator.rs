//! What a QEMU binary lacks for a technology.

use host::{Emulator, Fact, Facts};

use crate::Technology;
use crate::version::Version;

use super::finding::Evidence;
use super::state::shown;

/// Why a QEMU binary runs no such guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lack {
    /// It is not there.
    Missing,
    /// It could not be asked.
    Unreadable(String),
    TooOld {
        version: Version,
        first: Version,
    },
    /// It was built without the object.
    NoObject(&'static str),
    /// In its own words.
    Refusal(String),
    /// Whoever asked it may not open what it needs, which says nothing about those who start guests.
    Denied(String),
}

impl Lack {
    /// In a phrase that reads well after "cannot run SEV guests: "; `None` where nothing is known of the binary.
    pub(crate) fn message(&self, technology: Technology) -> Option<String> {
        Some(match self {
            Self::Missing | Self::Unreadable(_) | Self::Denied(_) => return None,
            Self::TooOld { version, first } => {
                format!("its QEMU {version} is older than {first}, the first with {technology}")
            }
            Self::NoObject(object) => format!("its QEMU has no `{object}`: it was built without"),
            Self::Refusal(words) => format!("its QEMU refuses: {}", words.trim_end_matches('.')),
        })
    }
}

/// The first QEMU that runs such guests.
pub(super) fn first(technology: Technology) -> Version {
    match technology {
        Technology::Sev => Version::new(2, 12, 0),
        Technology::SevEs => Version::new(6, 0, 0),
        Technology::SevSnp => Version::new(9, 1, 0),
    }
}

fn object(technology: Technology) -> &'static str {
    match technology {
        Technology::Sev | Technology::SevEs => "sev-guest",
        Technology::SevSnp => "sev-snp-guest",
    }
}

pub(crate) fn lack(emulator: &Emulator, technology: Technology) -> Option<Lack> {
    let first = first(technology);
    match &emulator.version {
        Fact::Unreadable { .. } => return Some(Lack::Unreadable(shown(&emulator.version))),
        Fact::Known(version) => {
            if let Some(version) = Version::parse(version).filter(|version| *version < first) {
                return Some(Lack::TooOld { version, first });
            }
        }
        Fact::Absent => return Some(Lack::Missing),
    }
    let object = object(technology);
    // Nothing is known of the objects of a binary that is known by its version only.
    let asked = !emulator.machines.is_empty() || !emulator.sev_objects.is_empty();
    if asked && !emulator.sev_objects.iter().any(|it| it == object) {
        return Some(Lack::NoObject(object));
    }
    let words = emulator.sev_refusal.clone()?;
    Some(if words.contains("Permission denied") { Lack::Denied(words) } else { Lack::Refusal(words) })
}

/// The binary that gets farthest, with what it lacks; `None` where there is a binary that lacks nothing, or none.
pub(super) fn best(facts: &Facts, technology: Technology) -> Option<(&Emulator, Lack)> {
    let lacks = facts.emulators.iter().map(|emulator| (emulator, lack(emulator, technology)));
    let mut best: Option<(&Emulator, Lack)> = None;
    for (emulator, lack) in lacks {
        let lack = lack?;
        if best.as_ref().is_none_or(|(_, other)| rank(&lack) > rank(other)) {
            best = Some((emulator, lack));
        }
    }
    best
}

fn rank(lack: &Lack) -> u8 {
    match lack {
        Lack::Missing => 0,
        Lack::TooOld { .. } => 1,
        Lack::NoObject(_) => 2,
        Lack::Refusal(_) => 3,
        Lack::Unreadable(_) | Lack::Denied(_) => 4,
    }
}

pub(super) fn evidence(emulator: &Emulator) -> Evidence {
    Evidence::new("emulators.version", emulator.path.display().to_string(), &emulator.version)
}
