//! What machines read: JSON and SARIF. The log is held against the schema that OASIS publishes.

use super::*;

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
    assert_eq!(codes[..3], ["XML001", "FW003", "SEV004"]);
    assert!(codes.contains(&"DEV001"), "{codes:?}");
    let rank = |finding: &serde_json::Value| match finding["severity"].as_str() {
        Some("error") => 0,
        Some("warning") => 1,
        _ => 2,
    };
    assert!(findings[1..].is_sorted_by_key(rank), "{codes:?}");
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
    assert_eq!(findings[2]["fix"], serde_json::json!({"title": "set cbitpos to 51", "safety": "safe"}));
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
    assert_eq!(codes[..2], ["FW003", "SEV004"]);
    assert_eq!(codes.last(), Some(&"DEV001"));
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
    assert_eq!(results.last().unwrap()["suppressions"][0]["status"], "accepted");
    let mut wrong_c_bit = results[1].clone();
    // Its place in the table is no matter.
    wrong_c_bit["ruleIndex"] = 0.into();
    expect![[r#"
        {
          "ruleId": "SEV004",
          "ruleIndex": 0,
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
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&wrong_c_bit).unwrap());
}

/// What breaks the schema, by the place in the log.
#[track_caller]
fn check_sarif(output: &Output) -> serde_json::Value {
    let schema = include_str!("../../test_data/sarif-schema-2.1.0.json");
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let log = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let faults: Vec<String> =
        validator.iter_errors(&log).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert_eq!(faults, [] as [String; 0]);
    log
}

#[test]
fn sarif_obeys_its_schema_for_every_fixture_of_the_rules() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/test_data");
    let facts = fs::canonicalize(FACTS).unwrap();
    let arguments =
        ["lint", "--facts", facts.to_str().unwrap(), "--allow", "DEV001", "--format", "sarif", "."];
    let log = check_sarif(&sevirt(&rules, &arguments, b""));
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(results.len() > 20, "{}", results.len());
    for field in ["suppressions", "fixes", "relatedLocations"] {
        let has = |result: &serde_json::Value| result[field].as_array().is_some_and(|it| !it.is_empty());
        assert!(results.iter().any(has), "no result has {field}");
    }
    assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], true);
}

#[test]
fn sarif_obeys_its_schema_where_nothing_is_found_and_where_nothing_can_be_read() {
    let here = tempfile::tempdir().unwrap();
    let arguments = ["lint", "--facts", FACTS, "--format", "sarif", "-"];
    check_sarif(&sevirt(here.path(), &arguments, b"<domain>\n<name>\xc3\xa9"));
    fs::create_dir(here.path().join("empty")).unwrap();
    let arguments = ["lint", "--facts", FACTS, "--format", "sarif", "empty", "gone.xml"];
    let log = check_sarif(&sevirt(here.path(), &arguments, b""));
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
    assert_eq!(
        log["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"],
        "read `gone.xml`: No such file or directory (os error 2)"
    );
}

#[test]
fn the_schema_catches_what_it_should() {
    let here = tempfile::tempdir().unwrap();
    let arguments = ["lint", "--facts", FACTS, "--format", "sarif", "-"];
    let mut output = sevirt(here.path(), &arguments, seed().as_bytes());
    output.stdout = text(&output.stdout).replace("\"startLine\"", "\"firstLine\"").into_bytes();
    let caught = std::panic::catch_unwind(|| check_sarif(&output));
    assert!(caught.is_err());
}

#[test]
fn json_of_nothing_is_an_empty_array() {
    let here = tempfile::tempdir().unwrap();
    let output = sevirt(here.path(), &["lint", "--facts", FACTS, "--format", "json", "."], b"");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("[]\n", Some(0)));
}
