//! What is on disk after each change, and what a store does with what it did not write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn text(name: &str, number: u8) -> String {
    let name = name.replace('&', "&amp;");
    format!(
        "<domain type='kvm'>\n  <name>{name}</name>\n  <uuid>6d9ac89f-7a55-4ea6-93a3-2e7b36e6b1{number:02x}</uuid>\n</domain>\n"
    )
}

fn names(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = store.load().into_iter().map(|stored| stored.name).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_found_again() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path());
    let long = "ü".repeat(200);
    let odd = ["a", "..", ".hidden", "a/b", "100%", "a&b", "日本", "a b", &long, &format!("{long}x")];
    for (name, number) in odd.iter().zip(0..) {
        store.save(name, &text(name, number)).unwrap();
        store.set_autostart(name, Autostart::Always, number % 2 == 0).unwrap();
    }
    let mut expected: Vec<String> = odd.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    let store = Store::open(state.path());
    assert_eq!(names(&store), expected);
    for stored in store.load() {
        let number = odd.iter().position(|name| *name == stored.name).unwrap();
        assert_eq!(stored.autostart, number % 2 == 0, "{}", stored.name);
        assert_eq!(*stored.text, text(&stored.name, number.try_into().unwrap()));
    }
    // All of it is below the state directory, and nobody else may read it.
    assert_eq!(fs::read_dir(state.path().join("domains")).unwrap().count(), odd.len());
    for entry in fs::read_dir(state.path().join("domains")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    for name in odd {
        store.remove(name).unwrap();
    }
    assert!(names(&store).is_empty());
    assert_eq!(fs::read_dir(state.path().join("autostart")).unwrap().count(), 0);
}

#[test]
fn what_is_not_understood_stays() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path());
    store.save("good", &text("good", 1)).unwrap();
    let domains = state.path().join("domains");
    let foreign = [
        ("cut.xml", "<domain type='kvm'>\n  <name>cut</name>\n"),
        ("net.xml", "<network/>"),
        ("empty.xml", ""),
        ("README", "hands off"),
        ("copy.xml", &text("good", 2)),
        ("same-uuid.xml", &text("other", 1)),
    ];
    for (file, contents) in foreign {
        fs::write(domains.join(file), contents).unwrap();
    }
    fs::write(domains.join("binary.xml"), [0xff, 0xfe, 0]).unwrap();
    fs::create_dir(domains.join("directory.xml")).unwrap();
    fs::write(domains.join(".sevirt-abc.tmp"), "half").unwrap();
    // Files that tell of the same domain: one of them is taken, and none removed.
    assert_eq!(names(&store), ["good"]);
    for (file, contents) in foreign {
        assert_eq!(fs::read_to_string(domains.join(file)).unwrap(), contents);
    }
    assert!(domains.join("good.xml").exists() && domains.join("binary.xml").exists());
    assert!(!domains.join(".sevirt-abc.tmp").exists(), "what an interrupted write left is removed");
}

#[test]
fn a_rename_interrupted_half_way_is_finished() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path());
    store.save("old", &text("old", 1)).unwrap();
    store.set_autostart("old", Autostart::Once, true).unwrap();
    store.rename("old", "new", &text("new", 1)).unwrap();
    let loaded = store.load();
    assert_eq!(loaded.len(), 1);
    assert!(loaded[0].name == "new" && loaded[0].autostart_once && !loaded[0].autostart);
    // Between the two steps the text has the new name and the file the old one.
    let domains = state.path().join("domains");
    fs::rename(domains.join("new.xml"), domains.join("old.xml")).unwrap();
    assert_eq!(names(&store), ["new"]);
    assert!(domains.join("new.xml").exists() && !domains.join("old.xml").exists());
}

#[test]
fn a_failed_write_leaves_the_old_definition() {
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path());
    store.save("a", &text("a", 1)).unwrap();
    let domains = state.path().join("domains");
    // A directory where the file would go: the name cannot be taken.
    fs::create_dir(domains.join("b.xml")).unwrap();
    fs::write(domains.join("b.xml/x"), "").unwrap();
    let error = crate::chain(&store.save("b", &text("b", 2)).unwrap_err());
    assert!(error.contains("b.xml"), "{error}");
    assert_eq!(names(&store), ["a"]);
    assert_eq!(fs::read_dir(&domains).unwrap().count(), 2, "nothing half written is left");
}
