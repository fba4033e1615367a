//! `sevirt lint` and `fix` on what an enemy may feed them: a finding or a clear error, in bounded memory and time.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/test_data/host.json");

/// KiB of address space that a run may have. What it uses of that, its resident set, can not be more.
const MEMORY_KIB: u32 = 1024 * 1024;
/// Of a build that is not optimised, on a busy machine.
const TIME: Duration = Duration::from_secs(60);

struct Ran {
    code: i32,
    text: String,
}

/// Runs sevirt with a file of that content, held to the limits by the kernel.
#[track_caller]
fn sevirt(command: &[&str], content: &[u8]) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("guest.xml"), content).unwrap();
    let start = Instant::now();
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {MEMORY_KIB}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sevirt")])
        .args(command)
        .args(["--facts", FACTS, "guest.xml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let took = start.elapsed();
    assert!(took < TIME, "{took:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let text = text(&output.stdout) + &text(&output.stderr);
    assert!(!text.contains("panicked") && !text.contains("overflow"), "{text}");
    Ran { code: output.status.code().unwrap(), text }
}

/// A finding or an error that says this, and nothing is fixed in it.
#[track_caller]
fn refused(content: &[u8], expected: &str) {
    let lint = sevirt(&["lint"], content);
    assert!(lint.text.contains(expected), "{}", head(&lint.text));
    assert_ne!(lint.code, 0);
    let fix = sevirt(&["fix", "--unsafe", "--diff"], content);
    assert_eq!(fix.code, 2, "{}", head(&fix.text));
    assert!(fix.text.contains(expected), "{}", head(&fix.text));
}

fn head(text: &str) -> String {
    text.chars().take(2000).collect()
}

#[test]
fn fifty_megabytes_are_refused_by_their_size() {
    let text = format!("<domain><name>{}</name></domain>", "x".repeat(50_000_000));
    refused(text.as_bytes(), "is larger than the limit of 16 MiB for a domain");
}

#[test]
fn a_hundred_thousand_devices_are_judged() {
    let text = format!(
        "<domain type='kvm'><name>a</name><launchSecurity type='sev'/><devices>{}</devices></domain>",
        "<rng model='virtio'/>\n".repeat(100_000)
    );
    let ran = sevirt(&["lint", "--format", "json"], text.as_bytes());
    assert_eq!(ran.code, 1, "{}", head(&ran.text));
    assert!(ran.text.contains("DEV001"), "{}", head(&ran.text));
    // The most that one rule says about one document.
    assert_eq!(ran.text.matches("\"DEV001\"").count(), 1000);
}

#[test]
fn as_much_as_a_document_may_have_is_judged() {
    let text = format!("<domain>{}</domain>", "<a b='c'/>".repeat(499_999));
    let ran = sevirt(&["lint", "--format", "json"], text.as_bytes());
    assert!(ran.code <= 1, "{}", head(&ran.text));
    let text = format!("<domain>{}</domain>", "<a b='c'/>".repeat(500_001));
    refused(text.as_bytes(), "more than 1000000");
}

#[test]
fn nests_are_refused_where_they_get_too_deep() {
    let nest = |depth: usize| format!("<domain>{}{}</domain>", "<a>".repeat(depth), "</a>".repeat(depth));
    refused(nest(1_000_000).as_bytes(), "deep");
    refused(format!("<domain>{}", "<a>".repeat(3_000_000)).as_bytes(), "deep");
    let ran = sevirt(&["lint"], nest(200).as_bytes());
    assert!(ran.code <= 1, "{}", head(&ran.text));
}

#[test]
fn entity_bombs_do_not_go_off() {
    let mut laughs = "<!DOCTYPE domain [<!ENTITY a0 'ha'>".to_owned();
    for level in 1..30 {
        laughs += &format!("<!ENTITY a{level} '{}'>", format!("&a{};", level - 1).repeat(10));
    }
    laughs += "]><domain><name>&a29;</name></domain>";
    refused(laughs.as_bytes(), "document type declaration");
    let outside = "<!DOCTYPE domain SYSTEM 'file:///etc/shadow'><domain/>";
    refused(outside.as_bytes(), "document type declaration");
    refused(b"<domain><name>&unknown;</name></domain>", "unknown");
}

#[test]
fn bytes_that_are_no_text_are_refused_by_their_line() {
    refused(b"<domain>\n<name>\xff\xfe</name></domain>", "line 2 has a byte sequence that is none");
    refused(b"\xff\xfe<\0d\0o\0m\0a\0i\0n\0/\0>\0", "is not UTF-8");
    refused(b"<domain>\0</domain>", "character");
    refused(b"", "root element");
}

#[test]
fn line_ends_and_byte_order_marks_stay() {
    let text = "\u{feff}<domain type='kvm'>\r\n  <name>a</name>\r\n  <launchSecurity type='sev'>\r\n    <cbitpos>47</cbitpos>\r\n    <reducedPhysBits>1</reducedPhysBits>\r\n    <policy>0x0003</policy>\r\n  </launchSecurity>\r\n  <devices>\r\n    <rng model='virtio'/>\r\n  </devices>\r\n</domain>\r\n";
    let ran = sevirt(&["lint"], text.as_bytes());
    assert!(ran.code <= 1 && ran.text.contains("DEV001"), "{}", head(&ran.text));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("guest.xml");
    fs::write(&file, text).unwrap();
    let fixed = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .args(["fix", "--write", "--facts", FACTS])
        .arg(&file)
        .output()
        .unwrap();
    let after = fs::read_to_string(&file).unwrap();
    assert_ne!(after, text, "{fixed:?}");
    assert!(after.starts_with('\u{feff}'));
    assert!(!after.replace("\r\n", "").contains('\n'), "{after:?}");
    // All lines that no fix names are still there.
    for line in text.lines().filter(|line| line.contains("name") || line.contains("policy")) {
        assert!(after.contains(line), "{line:?}");
    }
}

#[test]
fn one_endless_line_is_shown_in_part() {
    let text = format!("<domain><devices><rng model='virtio'/>{}</devices></domain>", "<x/>".repeat(200_000));
    let ran = sevirt(&["lint"], text.as_bytes());
    assert!(ran.text.len() < 200_000, "{} bytes", ran.text.len());
    assert!(ran.text.contains("DEV001"), "{}", head(&ran.text));
}
