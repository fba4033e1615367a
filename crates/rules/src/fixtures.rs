//! Hosts and files for the tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use host::Facts;
use serde_json::{Map, Value};

use crate::Rule;

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

/// What holds of each table of rules: sorted, each word once, found by code and by name, a complete page, and a file in
/// the folder for each, and for nothing else.
#[track_caller]
pub(crate) fn check_table(rules: &[&'static Rule], files: &str) {
    let codes: Vec<_> = rules.iter().map(|rule| rule.code).collect();
    assert!(codes.is_sorted(), "{codes:?}");
    let all = crate::all();
    let words: BTreeSet<_> = all.iter().flat_map(|rule| [rule.code, rule.name]).collect();
    assert_eq!(words.len(), 2 * all.len(), "a code or a name stands twice");
    for rule in rules {
        for word in [rule.code, &rule.code.to_lowercase(), rule.name] {
            assert_eq!(crate::rule(word), Some(*rule));
        }
        let page = &rule.page;
        for (section, text) in
            [("what", page.what), ("why", page.why), ("fix", page.fix), ("source", page.source)]
        {
            assert!(text.ends_with('.'), "{}: {section} is not made of sentences", rule.code);
        }
        assert!(!page.example.is_empty() && !page.since.is_empty(), "{}", rule.code);
    }
    let mut found: BTreeSet<String> = std::fs::read_dir(folder(files))
        .unwrap()
        .filter_map(|entry| entry.unwrap().path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    found.remove("mod");
    let named = rules.iter().map(|rule| rule.name.replace('-', "_")).collect();
    assert_eq!(found, named, "each rule has a file of its name");
}
