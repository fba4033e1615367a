//! What is assumed of a host instead of what was found: `--assume KEY=VALUE`.

mod presets;

use serde_json::Value;

use crate::facts::{Emulator, Fact, Facts, KvmAmd};
use crate::keys::{KEYS, Key, Kind, Presence, blank, key};

/// Names that need no path.
const SHORT_NAMES: [&str; 8] =
    ["qemu", "kernel", "guest_kernel", "libvirt", "cbitpos", "sev_es", "sev_snp", "host"];

/// The binary that an assumed version is of, where no binary was found.
const COMMON_EMULATOR: &str = "/usr/bin/qemu-system-x86_64";

/// Why something cannot be assumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssumeError {
    #[error("`{text}` is not of the form KEY=VALUE")]
    NoValue { text: String },
    #[error("no fact is called `{key}`{}", did_you_mean(.nearest))]
    UnknownKey { key: String, nearest: Vec<String> },
    #[error("`{key}` follows from other facts; assume those, or host=…")]
    Derived { key: String },
    #[error("`{value}` is no value of `{key}`: expected {expected}")]
    WrongType { key: String, value: String, expected: String },
    #[error("`{key}` has {count} elements")]
    NoElement { key: String, count: usize },
    #[error("`{key}` is of a list: name the element by its number, such as `{example}`")]
    Unnumbered { key: String, example: String },
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => "; docs/facts.md names them all".to_owned(),
        some => format!("; the nearest names are {}", some.join(", ")),
    }
}

/// Takes `a=1,b=2` apart. A comma stands between two only where a name and `=` follow it: a value may have commas.
#[must_use]
pub fn assumptions(text: &str) -> Vec<&str> {
    let starts_one = |rest: &str| {
        rest.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        })
    };
    let mut parts = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        let (before, after) = (text.get(start..comma), text.get(comma + 1..));
        if let (Some(before), true) = (before, after.is_some_and(starts_one)) {
            parts.push(before);
            start = comma + 1;
        }
    }
    parts.extend(text.get(start..));
    parts
}

impl Facts {
    /// Sets one fact from `KEY=VALUE`: a dotted path of the facts' JSON without the wrapping, or a short name
    /// (`docs/facts.md`).
    pub fn assume(&mut self, text: &str) -> Result<(), AssumeError> {
        let (name, value) =
            text.split_once('=').ok_or_else(|| AssumeError::NoValue { text: text.to_owned() })?;
        let (name, value) = (name.trim(), value.trim());
        match name {
            "qemu" => self.assume_qemu(value),
            "kernel" => self.set("kernel_release", value),
            "libvirt" if value == "absent" || value.starts_with('{') => self.set("libvirt", value),
            "libvirt" => self.set("libvirt.version", value),
            "cbitpos" => self.set("cpu.memory_encryption.cbitpos", value),
            "sev_es" | "sev_snp" => self.assume_technology(name, value),
            "host" => presets::assume(self, value),
            path => self.set(path, value),
        }
    }

    fn assume_qemu(&mut self, value: &str) -> Result<(), AssumeError> {
        let version = version(value).ok_or_else(|| wrong("qemu", value, &Kind::Version.expected()))?;
        if self.emulators.is_empty() {
            self.emulators.push(Emulator { path: COMMON_EMULATOR.into(), ..Emulator::default() });
        }
        for emulator in &mut self.emulators {
            emulator.version = Fact::Known(version.clone());
        }
        Ok(())
    }

    /// What is turned off is off in the kernel; what is turned on needs the processor too, and SNP needs ES.
    fn assume_technology(&mut self, name: &str, value: &str) -> Result<(), AssumeError> {
        let on = boolean(value).ok_or_else(|| wrong(name, value, &Kind::Bool.expected()))?;
        let needed: &[&str] = match (name, on) {
            (_, false) => &[],
            ("sev_es", true) => &["sev", "sev_es"],
            (_, true) => &["sev", "sev_es", "sev_snp"],
        };
        if self.kvm_amd.known().is_none() {
            self.kvm_amd = Fact::Known(KvmAmd { sev: None, sev_es: None, sev_snp: None });
        }
        for technology in needed {
            self.set(&format!("kvm_amd.{technology}"), "true")?;
            self.set(&format!("cpu.memory_encryption.{technology}"), "true")?;
        }
        self.set(&format!("kvm_amd.{name}"), value)
    }

    fn set(&mut self, path: &str, value: &str) -> Result<(), AssumeError> {
        let place = find(path)?;
        let new = read(place, path, value)?;
        let failed = || wrong(path, value, &place.kind.expected());
        let mut json = serde_json::to_value(&*self).map_err(|_| failed())?;
        *place_in(&mut json, path)? = new;
        *self = serde_json::from_value(json).map_err(|error| {
            let expected = place.kind.expected();
            wrong(path, value, &format!("{expected} ({error})"))
        })?;
        Ok(())
    }
}

fn wrong(key: &str, value: &str, expected: &str) -> AssumeError {
    AssumeError::WrongType { key: key.to_owned(), value: value.to_owned(), expected: expected.to_owned() }
}

/// `path` as the table writes it: `emulators.0.version` is `emulators[].version`.
fn row_of(path: &str) -> String {
    let mut row = String::new();
    for name in path.split('.') {
        if !row.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
            row.push_str("[]");
        } else {
            if !row.is_empty() {
                row.push('.');
            }
            row.push_str(name);
        }
    }
    row
}

fn find(path: &str) -> Result<&'static Key, AssumeError> {
    let row = row_of(path);
    if let Some(found) = key(&row) {
        return match found.presence {
            Presence::Derived => Err(AssumeError::Derived { key: path.to_owned() }),
            _ => Ok(found),
        };
    }
    if let Some(found) = KEYS.iter().find(|key| key.path.replace("[]", "") == row) {
        let example = found.path.replace("[]", ".0");
        return Err(AssumeError::Unnumbered { key: path.to_owned(), example });
    }
    Err(AssumeError::UnknownKey { key: path.to_owned(), nearest: nearest(path) })
}

/// The names most like `wanted`: by few changed letters, or with the same last part.
fn nearest(wanted: &str) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let names = SHORT_NAMES.into_iter().chain(KEYS.iter().map(|key| key.path));
    let mut scored: Vec<(usize, &str)> = names
        .map(|name| {
            let whole = distance(wanted, name);
            let end = if last(wanted).len() > 2 { distance(&last(wanted), &last(name)) } else { whole };
            let start = if wanted.len() > 2 && last(name).starts_with(&last(wanted)) { 2 } else { whole };
            (whole.min(end + 2).min(start), name)
        })
        .filter(|(score, _)| *score <= 2 + wanted.len() / 4)
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, name)| name.replace("[]", ".0")).collect()
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// The place of a value; what leads to it is made where it is absent.
fn place_in<'j>(json: &'j mut Value, path: &str) -> Result<&'j mut Value, AssumeError> {
    let mut at = json;
    let mut row = String::new();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let unknown = || AssumeError::UnknownKey { key: path.to_owned(), nearest: nearest(path) };
        match at {
            Value::Array(elements) => {
                row.push_str("[]");
                let count = elements.len();
                let index: usize = name.parse().map_err(|_| unknown())?;
                if index == count && names.peek().is_some() {
                    elements.push(blank(&row));
                }
                at = elements
                    .get_mut(index)
                    .ok_or_else(|| AssumeError::NoElement { key: path.to_owned(), count })?;
                continue;
            }
            Value::Object(fields) => {
                if !row.is_empty() {
                    row.push('.');
                }
                row.push_str(name);
                at = fields.entry(name).or_insert(Value::Null);
            }
            _ => return Err(unknown()),
        }
        if names.peek().is_none() {
            return Ok(at);
        }
        let Some(found) = key(&row) else { continue };
        if found.presence == Presence::Fact {
            if at.get("known").is_none() {
                let inside =
                    if matches!(found.kind, Kind::List) { Value::Array(Vec::new()) } else { blank(&row) };
                *at = serde_json::json!({ "known": inside });
            }
            at = at.get_mut("known").ok_or_else(unknown)?;
        }
    }
    Ok(at)
}

/// The JSON of a value, wrapped where it must be.
fn read(place: &Key, path: &str, text: &str) -> Result<Value, AssumeError> {
    let failed = |expected: &str| wrong(path, text, expected);
    match (place.presence, text) {
        (Presence::Fact, "absent") => return Ok("absent".into()),
        (Presence::Fact, "unreadable") => {
            let unreadable =
                Fact::<()>::Unreadable { path: path.to_owned(), errno: 0, why: "assumed".to_owned() };
            return serde_json::to_value(unreadable).map_err(|error| failed(&error.to_string()));
        }
        (Presence::Optional, "none" | "null") => return Ok(Value::Null),
        _ => {}
    }
    let expected = || {
        let of = place.kind.expected();
        match place.presence {
            Presence::Fact => format!("{of}, or absent"),
            Presence::Optional => format!("{of}, or none"),
            Presence::Plain | Presence::Derived => of,
        }
    };
    let json = || serde_json::from_str::<Value>(text).ok();
    let value: Option<Value> = match place.kind {
        Kind::Bool => boolean(text).map(Value::from),
        Kind::Number => number(text).map(Value::from),
        Kind::Mode => {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            u32::from_str_radix(digits, 8).ok().map(Value::from)
        }
        Kind::Text => Some(text.into()),
        Kind::Version => version(text).map(Value::from),
        Kind::Words if text.starts_with('[') => json().filter(Value::is_array),
        Kind::Words => {
            Some(text.split([' ', '+']).filter(|word| !word.is_empty()).map(Value::from).collect())
        }
        Kind::Numbers => text.split([' ', '+']).map(|word| number(word).map(Value::from)).collect(),
        Kind::Choice(words) => words.contains(&text).then(|| text.into()),
        Kind::List => json().filter(Value::is_array),
        Kind::Object | Kind::Map => json().filter(Value::is_object),
        Kind::Other(_) => json().or_else(|| Some(text.into())),
    };
    let value = value.ok_or_else(|| failed(&expected()))?;
    Ok(if place.presence == Presence::Fact { serde_json::json!({ "known": value }) } else { value })
}

fn boolean(text: &str) -> Option<bool> {
    Some(match text {
        "true" | "yes" | "on" | "1" | "Y" | "y" => true,
        "false" | "no" | "off" | "0" | "N" | "n" => false,
        _ => return None,
    })
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A version with all three numbers.
fn version(text: &str) -> Option<String> {
    let numbers: Vec<u32> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [major] => Some(format!("{major}.0.0")),
        [major, minor] => Some(format!("{major}.{minor}.0")),
        [major, minor, micro] => Some(format!("{major}.{minor}.{micro}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
