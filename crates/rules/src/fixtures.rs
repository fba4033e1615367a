//! Hosts and files for the tests.

use std::path::{Path, PathBuf};

use host::Facts;
use serde_json::{Map, Value};

/// A folder of this crate.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[expect(clippy::disallowed_methods, reason = "fixtures are files")]
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The host of a fixture: `test_data/NAME.json`, or else `test_data/host.json`, with what `test_data/NAME.host.json`
/// says otherwise (RFC 7396).
pub(crate) fn facts(name: &str) -> Facts {
    let folder = folder("test_data");
    let whole = folder.join(format!("{name}.json"));
    let mut json = parse(&if whole.exists() { whole } else { folder.join("host.json") });
    let own = folder.join(format!("{name}.host.json"));
    if own.exists() {
        merge(&mut json, parse(&own));
    }
    serde_json::from_value(json).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn parse(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { unreachable!("it was just made one") };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}
