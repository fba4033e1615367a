//! The project's invariants that no compiler checks: layers, module comments, file sizes, licences, and what must
//! never stand in a source file. ARCHITECTURE.md states them; this test holds them.

#![expect(clippy::unwrap_used, reason = "a test that can not read the tree has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every crate, lowest first, and the crates that it may use: never one further down.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sevirt-attest", &[]),
    ("rpc", &[]),
    ("qemu", &["domain"]),
    ("sim", &["sevirt-attest"]),
    ("shim", &["sevirt-attest", "sim"]),
    ("cr8", &[]),
    ("host", &["qemu", "sevirt-attest"]),
    ("rules", &["domain", "sevirt-attest", "qemu", "host"]),
    ("daemon", &["domain", "sevirt-attest", "rpc", "qemu", "host", "rules"]),
    ("lab", &["domain", "qemu", "host"]),
    ("cli", &["domain", "sevirt-attest", "rpc", "qemu", "host", "rules", "daemon", "lab"]),
    ("xtask", &["host", "rules"]),
];

/// Crates that do no input or output: they forbid unsafe code and turn the purity lints on.
const PURE: &[&str] = &["domain", "attest", "rpc", "qemu", "rules"];

/// Lines of code that a file may have, its tests not counted.
const MOST_LINES: usize = 800;

/// Licences of dependencies that the project can live with.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates of other licences, which reach no user: the tests' oracle `sev` and `jsonschema` bring them.
const TESTS_ONLY: &[&str] = &["borrow-or-share", "option-ext"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for directory in ["crates", "xtask"] {
        files_below(&root().join(directory), &mut found);
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn no_faults(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn dependencies_point_downwards() {
    let packages = packages();
    let members: BTreeMap<&str, &Value> = packages
        .iter()
        .filter(|package| package["source"].is_null())
        .map(|package| (package["name"].as_str().unwrap(), package))
        .collect();
    let mut faults = Vec::new();
    for (name, package) in &members {
        let Some(row) = LAYERS.iter().position(|(layer, _)| layer == name) else {
            faults.push(format!("crate `{name}` is in no layer; add it to LAYERS and to ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            if !members.contains_key(used) || dependency["kind"] == "dev" {
                continue;
            }
            let lower = LAYERS[..row].iter().any(|(layer, _)| *layer == used);
            if !lower || !LAYERS[row].1.contains(&used) {
                faults.push(format!("crate `{name}` must not use `{used}`"));
            }
        }
    }
    no_faults(&faults);
}

#[test]
fn only_known_licences_are_depended_on() {
    let mut faults = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none").replace('/', " OR ");
        let known = |one: &str| LICENCES.contains(&one.trim_matches(|c| matches!(c, '(' | ')' | ' ')));
        if TESTS_ONLY.iter().any(|name| package["name"] == *name) {
            continue;
        }
        if !licence.split(" OR ").any(|choice| choice.split(" AND ").all(known)) {
            faults.push(format!("{} {}: `{licence}`", package["name"], package["version"]));
        }
    }
    no_faults(&faults);
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if !text.starts_with("//! ") || text.starts_with("//! Placeholder") {
            faults.push(format!("{} has no module comment", path.display()));
        }
    }
    no_faults(&faults);
}

#[test]
fn files_stay_small() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let lines = text.lines().take_while(|line| *line != "mod tests {").count();
        if !is_test && lines > MOST_LINES {
            faults.push(format!("{}: {lines} lines, {MOST_LINES} are the limit", path.display()));
        }
    }
    no_faults(&faults);
}

#[test]
fn pure_crates_are_held_to_it() {
    let mut faults = Vec::new();
    for name in PURE {
        let text = fs::read_to_string(root().join("crates").join(name).join("src/lib.rs")).unwrap();
        for needed in ["#![forbid(unsafe_code)]", "clippy::disallowed_methods", "clippy::disallowed_types"] {
            if !text.contains(needed) {
                faults.push(format!("`{name}` does not say {needed}"));
            }
        }
    }
    no_faults(&faults);
}

#[test]
fn nothing_is_left_undone() {
    // In two parts each, or this file would accuse itself.
    let unwanted = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
        concat!("#[", "should_panic"),
        concat!("FIX", "ME"),
        concat!("thread::", "sleep"),
    ];
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) || unwanted.iter().any(|word| line.contains(word)) {
                faults.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    no_faults(&faults);
}

#[test]
fn the_architecture_fits_on_its_page() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut faults = Vec::new();
    if text.lines().count() > 200 {
        faults.push("ARCHITECTURE.md has more than 200 lines".to_owned());
    }
    for (name, _) in LAYERS {
        let directory = name.trim_start_matches("sevirt-");
        if !text.contains(&format!("`{directory}`")) {
            faults.push(format!("ARCHITECTURE.md does not mention `{directory}`"));
        }
    }
    no_faults(&faults);
}

#[test]
fn relative_links_in_documents_lead_somewhere() {
    let mut pages = Vec::new();
    files_below(&root().join("docs"), &mut pages);
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "PROVENANCE.md"] {
        pages.push(root().join(name));
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    let mut faults = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !page.parent().unwrap().join(file).exists() {
                faults.push(format!("{}: `{target}` leads nowhere", page.display()));
            }
        }
    }
    no_faults(&faults);
}
