//! `sevirt lint`, `fix` and `explain` as a user meets them: what they print, what they exit with, what they write.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod formats;
#[path = "../lab/page.rs"]
mod lab_page;
mod many;
mod refused;
mod secure;
mod writing;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use expect_test::expect;

const FACTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/test_data/host.json");
const Q35: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/q35.xml");

/// Runs sevirt in `directory`.
fn sevirt(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sevirt"))
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory with one file in it.
fn with_file(name: &str, content: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    (directory, path)
}

fn seed() -> String {
    fs::read_to_string(Q35).unwrap()
}

#[test]
fn the_example_is_judged_with_places_and_mends() {
    let (directory, _) = with_file("q35.xml", seed());
    let output = sevirt(directory.path(), &["lint", "--facts", FACTS, "q35.xml"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
    expect![[r#"
        error[FW003 missing-firmware]: firmware image `/usr/share/edk2/ovmf/OVMF_CODE.fd` does not exist on this host
          --> q35.xml:11:42
           |
        11 |     <loader readonly='yes' type='pflash'>/usr/share/edk2/ovmf/OVMF_CODE.fd</loader>
           |                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           |
           = help: fit for SEV on this host: /usr/share/OVMF/OVMF_CODE_4M.fd
           = fix: use /usr/share/OVMF/OVMF_CODE_4M.fd (`sevirt fix --unsafe` does it)
    "#]]
    .assert_eq(&text(&output.stdout).lines().take(8).map(|line| format!("{line}\n")).collect::<String>());
    assert!(text(&output.stdout).contains("cbitpos is 47, but this host's C-bit is 51"));
}

#[test]
fn ill_formed_xml_is_shown_at_its_line() {
    let (directory, _) = with_file("bad.xml", "<domain>\n  <name>guest</nome>\n</domain>\n");
    let output = sevirt(directory.path(), &["lint", "--facts", FACTS, "bad.xml"], b"");
    assert_eq!(output.status.code(), Some(1));
    expect![[r#"
        error[XML001 ill-formed-document]: expected the end of `name`, found the end of `nome`
         --> bad.xml:2:14
          |
        2 |   <name>guest</nome>
          |    ----      ^^^^^^^
          |    |
          |    `name` starts here

        bad.xml: 1 error
    "#]]
    .assert_eq(&text(&output.stdout));
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "bad.xml"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bad.xml:2:14"));
}

#[test]
fn an_entity_bomb_is_refused_at_its_definition() {
    let bomb = "<?xml version='1.0'?>\n<!DOCTYPE lolz [\n  <!ENTITY a \"ha\">\n  <!ENTITY b \"&a;&a;&a;&a;\">\n]>\n\
                <domain><name>&b;</name></domain>\n";
    let (directory, _) = with_file("bomb.xml", bomb);
    let output = sevirt(directory.path(), &["lint", "--facts", FACTS, "bomb.xml"], b"");
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("a document type declaration is refused"), "{shown}");
    assert!(shown.contains("bomb.xml:2:1"), "{shown}");
}

#[test]
fn a_huge_file_is_refused_at_once_with_the_limit() {
    let (directory, path) = with_file("huge.xml", "<domain>");
    fs::File::options().write(true).open(path).unwrap().set_len(100 * 1024 * 1024).unwrap();
    for command in ["lint", "fix"] {
        let start = Instant::now();
        let output = sevirt(directory.path(), &[command, "--facts", FACTS, "huge.xml"], b"");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            text(&output.stderr),
            "error: `huge.xml` is larger than the limit of 16 MiB for a domain\n"
        );
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    let endless = sevirt(directory.path(), &["lint", "--facts", FACTS, "/dev/zero"], b"");
    assert_eq!(endless.status.code(), Some(2));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_judged() {
    let (directory, _) = with_file("q35.xml", seed());
    fs::write(directory.path().join("latin.xml"), b"<domain>\n<name>\xe9</name></domain>").unwrap();
    let arguments = ["lint", "--facts", FACTS, "gone.xml", "latin.xml", "q35.xml"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!(output.status.code(), Some(2));
    expect![[r#"
        error: read `gone.xml`: No such file or directory (os error 2)
        error: `latin.xml` is not UTF-8: line 2 has a byte sequence that is none
    "#]]
    .assert_eq(&text(&output.stderr));
    assert!(text(&output.stdout).contains("q35.xml: 2 errors"));
}

#[test]
fn a_clean_domain_exits_with_zero() {
    let here = tempfile::tempdir().unwrap();
    let clean = "<domain type='kvm'>\n  <name>plain</name>\n  <memory>1</memory>\n  <vcpu>1</vcpu>\n  <os>\n    \
                 <type arch='x86_64' machine='q35'>hvm</type>\n  </os>\n</domain>\n";
    let output = sevirt(here.path(), &["lint", "--facts", FACTS, "-"], clean.as_bytes());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("note[SEV001 not-confidential]"));
    let output = sevirt(here.path(), &["lint", "--facts", FACTS, "--allow", "SEV001", "-"], clean.as_bytes());
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("<stdin>:1:2: allowed: SEV001"), "{}", text(&output.stdout));
}

#[test]
fn allowing_what_is_no_rule_is_refused() {
    let here = tempfile::tempdir().unwrap();
    for (word, message) in
        [("SEV999", "there is no rule `SEV999`"), ("XML002", "rule XML002 cannot be allowed")]
    {
        let output = sevirt(here.path(), &["lint", "--allow", word, "-"], b"<domain/>");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
}

/// What only the lab can write is taken as it stands; the rest of the page follows from the rules.
#[test]
fn the_page_of_the_rules_in_the_lab_is_current() {
    let page = fs::read_to_string(lab_page::PAGE).unwrap();
    let (first, _) = page.split_once(lab_page::SECOND).unwrap();
    let started: Vec<String> = first
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| [")?.split_once(']')?.0.to_owned()))
        .collect();
    assert!(started.len() > 40, "{started:?}");
    let current = format!("{first}{}", lab_page::second_part(&started));
    expect_test::expect_file![lab_page::PAGE].assert_eq(&current);
}

#[test]
fn explain_knows_codes_and_names() {
    let here = tempfile::tempdir().unwrap();
    let by_code = sevirt(here.path(), &["explain", "dev001"], b"");
    let by_name = sevirt(here.path(), &["explain", "rng-without-backend"], b"");
    assert!(text(&by_code.stdout).starts_with("## DEV001 rng-without-backend\n"));
    assert_eq!(by_code.stdout, by_name.stdout);
    let list = text(&sevirt(here.path(), &["explain", "--list"], b"").stdout);
    assert!(list.starts_with("DEV001  warning  rng-without-backend\n"));
    assert!(list.contains("HOST001 ") && list.contains("XML001  error    ill-formed-document\n"), "{list}");
    let host = sevirt(here.path(), &["explain", "host001"], b"");
    assert!(text(&host.stdout).starts_with("## HOST001 "));
    let near = sevirt(here.path(), &["explain", "wrong-cbit"], b"");
    assert_eq!(text(&near.stderr), "error: there is no rule `wrong-cbit`; did you mean `wrong-c-bit`?\n");
    let unknown = sevirt(here.path(), &["explain", "nonsense"], b"");
    assert_eq!(unknown.status.code(), Some(2));
}
