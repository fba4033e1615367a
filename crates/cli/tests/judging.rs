//! `sevirt lint`, `fix` and `explain` as a user meets them: what they print, what they exit with, what they write.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
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
fn json_is_one_array_over_all_files() {
    let (directory, _) = with_file("q35.xml", seed());
    fs::write(directory.path().join("bad.xml"), "<domain>\n  <name>é</nom>\n</domain>").unwrap();
    let output =
        sevirt(directory.path(), &["lint", "--facts", FACTS, "--format", "json", "bad.xml", "q35.xml"], b"");
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    let codes: Vec<_> = findings.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["XML001", "FW003", "DEV001", "SEV004"]);
    expect![[r#"
        {
          "code": "XML001",
          "name": "ill-formed-document",
          "severity": "error",
          "message": "expected the end of `name`, found the end of `nom`",
          "file": "bad.xml",
          "line": 2,
          "column": 10,
          "end_line": 2,
          "end_column": 16,
          "help": null,
          "fix": null
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&findings[0]).unwrap());
    assert_eq!(findings[3]["fix"], serde_json::json!({"title": "set cbitpos to 51", "safety": "safe"}));
}

#[test]
fn sarif_carries_rules_results_and_replacements() {
    let (directory, _) = with_file("a guest.xml", seed());
    let arguments = ["lint", "--facts", FACTS, "--format", "sarif", "--allow", "DEV001", "a guest.xml"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!(output.status.code(), Some(1));
    let log: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    let codes: Vec<_> = results.iter().map(|result| result["ruleId"].as_str().unwrap()).collect();
    assert_eq!(codes, ["FW003", "SEV004", "DEV001"]);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    assert_eq!(results[2]["suppressions"][0]["status"], "accepted");
    expect![[r#"
        {
          "ruleId": "SEV004",
          "ruleIndex": 15,
          "level": "error",
          "message": {
            "text": "cbitpos is 47, but this host's C-bit is 51; leave `<cbitpos>` out to get each host's own, or write 51"
          },
          "locations": [
            {
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "a%20guest.xml"
                },
                "region": {
                  "startLine": 70,
                  "startColumn": 14,
                  "endLine": 70,
                  "endColumn": 16
                }
              }
            }
          ],
          "relatedLocations": [],
          "fixes": [
            {
              "description": {
                "text": "set cbitpos to 51 (safe)"
              },
              "artifactChanges": [
                {
                  "artifactLocation": {
                    "uri": "a%20guest.xml"
                  },
                  "replacements": [
                    {
                      "deletedRegion": {
                        "startLine": 70,
                        "startColumn": 14,
                        "endLine": 70,
                        "endColumn": 16
                      },
                      "insertedContent": {
                        "text": "51"
                      }
                    }
                  ]
                }
              ]
            }
          ]
        }"#]].assert_eq(&serde_json::to_string_pretty(&results[1]).unwrap());
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
    let arguments = ["lint", "--facts", FACTS, "gone.xml", ".", "latin.xml", "q35.xml"];
    let output = sevirt(directory.path(), &arguments, b"");
    assert_eq!(output.status.code(), Some(2));
    expect![[r#"
        error: read `gone.xml`: No such file or directory (os error 2)
        error: read `.`: is a directory
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

#[test]
fn fix_shows_a_diff_and_writes_nothing() {
    let (directory, path) = with_file("q35.xml", seed());
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "q35.xml"], b"");
    assert_eq!(output.status.code(), Some(1), "the firmware is still missing");
    expect![[r#"
        --- a/q35.xml
        +++ b/q35.xml
        @@ -63,11 +63,12 @@
               <driver iommu='on'/>
             </memballoon>
             <rng model='virtio'>
        +      <backend model='random'>/dev/urandom</backend>
               <driver iommu='on'/>
             </rng>
           </devices>
           <launchSecurity type='sev'>
        -    <cbitpos>47</cbitpos>
        +    <cbitpos>51</cbitpos>
             <reducedPhysBits>1</reducedPhysBits>
             <policy>0x0003</policy>
           </launchSecurity>
    "#]]
    .assert_eq(&text(&output.stdout));
    assert_eq!(fs::read_to_string(path).unwrap(), seed());
}

#[test]
fn fix_writes_through_a_link_and_keeps_the_mode() {
    let (directory, path) = with_file("q35.xml", seed().replace('\n', "\r\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link.xml");
    std::os::unix::fs::symlink("q35.xml", &link).unwrap();
    let output = sevirt(directory.path(), &["fix", "--facts", FACTS, "--unsafe", "--write", "link.xml"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains("<cbitpos>51</cbitpos>\r\n"));
    assert!(written.lines().all(|line| !line.ends_with('\r')) && !written.replace("\r\n", "").contains('\n'));
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "something was left behind: {left:?}");
    let again = sevirt(directory.path(), &["fix", "--facts", FACTS, "--unsafe", "--write", "q35.xml"], b"");
    assert_eq!(text(&again.stderr), "q35.xml: nothing to fix\n");
}

#[test]
fn fix_passes_standard_input_on() {
    let here = tempfile::tempdir().unwrap();
    let output = sevirt(here.path(), &["fix", "--facts", FACTS, "--write", "-"], seed().as_bytes());
    assert!(text(&output.stdout).starts_with("<domain type='kvm'>"));
    assert!(text(&output.stdout).contains("<backend model='random'>/dev/urandom</backend>"));
}

#[test]
fn explain_knows_codes_and_names() {
    let here = tempfile::tempdir().unwrap();
    let by_code = sevirt(here.path(), &["explain", "dev001"], b"");
    let by_name = sevirt(here.path(), &["explain", "rng-without-backend"], b"");
    assert!(text(&by_code.stdout).starts_with("## DEV001 rng-without-backend\n"));
    assert_eq!(by_code.stdout, by_name.stdout);
    assert!(
        text(&sevirt(here.path(), &["explain"], b"").stdout)
            .starts_with("DEV001  warning  rng-without-backend\n")
    );
    let unknown = sevirt(here.path(), &["explain", "nonsense"], b"");
    assert_eq!(unknown.status.code(), Some(2));
}
