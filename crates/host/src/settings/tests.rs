//! Whole trees: enabled, looked at as their own programs look at them, and disabled again.

mod crash;
mod layouts;
mod odd;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::*;

/// A directory that stands for `/`.
struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self { directory: tempfile::tempdir().unwrap() };
        for (path, content) in files {
            tree.put(path, content);
        }
        tree
    }

    fn root(&self) -> Root {
        Root::at(self.directory.path().to_owned())
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.root().path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root().path(path)).unwrap()
    }

    fn enable(&self, technology: Technology) -> Plan {
        let plan = enable(&self.root(), technology).unwrap();
        plan.apply(&self.root(), Direction::Enable).unwrap();
        plan
    }

    fn disable(&self) -> Plan {
        let plan = disable(&self.root()).unwrap();
        plan.apply(&self.root(), Direction::Disable).unwrap();
        plan
    }

    /// Every path with its mode and content.
    fn snapshot(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        walk(self.directory.path(), self.directory.path(), &mut found);
        found
    }
}

fn walk(base: &Path, directory: &Path, found: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(base).unwrap().display().to_string();
        let content = if about.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if about.is_dir() {
            walk(base, &path, found);
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(name, (about.mode(), content));
    }
}

/// The paths of a plan's changes.
fn changed(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(|change| change.path.display().to_string()).collect()
}
