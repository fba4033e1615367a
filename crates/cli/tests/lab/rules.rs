//! What lint says, held against what QEMU does: each rule that speaks of the lab's own facts is broken in a domain that
//! is else in order, and both are started in the lab, paused, whatever lint says of them.
//!
//! What lint passes starts. What it refuses QEMU refuses as well, or the rule's page says why it must not run. The
//! answers make the table of docs/rules-in-the-lab.md; rules that are not in it are judged on recorded facts, and their
//! source stands there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use super::page::{PAGE, second_part};
use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/test_data/lab-rules");
const BASES: [&str; 3] = ["sev", "sev-es", "sev-snp"];

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rule: String,
    base: String,
    replace: Vec<Replace>,
}

#[derive(Deserialize)]
struct Replace {
    from: String,
    to: String,
}

/// Codes and severities, by the domain's name.
type Findings = BTreeMap<String, Vec<(String, String)>>;

/// What becomes of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Starts,
    /// QEMU ends, with these words.
    Refused(String),
    /// sevirt itself has no command line for it.
    NoPlan(String),
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(format!("{DATA}/cases.toml")).unwrap();
    toml::from_str::<Cases>(&text).unwrap().case
}

/// What stands for the paths of this machine in the domains.
fn paths(directory: &Path) -> [(&'static str, String); 4] {
    let guest = lab::image::Guest::find(Path::new("/"), &lab::tools::busybox().unwrap()).unwrap();
    let image = directory.join("empty.img");
    std::fs::write(&image, vec![0; 1440 * 1024]).unwrap();
    let loaders = host::probe(&host::Root::live()).firmware;
    let old = loaders.iter().find(|it| it.image.known().is_some_and(|image| !image.can_set_c_bit()));
    let old = old.map_or_else(|| "/nowhere".to_owned(), |it| it.descriptor.executable().to_owned());
    [
        ("@FIRMWARE32@", old),
        ("@FIRMWARE@", firmware::for_sev()),
        ("@KERNEL@", guest.kernel_path().display().to_string()),
        ("@IMAGE@", image.display().to_string()),
    ]
}

fn base(name: &str) -> String {
    std::fs::read_to_string(format!("{DATA}/{name}.xml")).unwrap()
}

fn broken(case: &Case) -> String {
    case.replace.iter().fold(base(&case.base), |text, Replace { from, to }| {
        assert!(text.contains(from.as_str()), "{}: `{from}` is not in {}.xml", case.rule, case.base);
        text.replace(from.as_str(), to)
    })
}

/// The command line, changed to end as soon as the guest is set up.
fn script(domain: &Path) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_sevirt")).arg("argv").arg(domain).output().unwrap();
    if !output.status.success() {
        return Err(last_words(text(&output.stderr)));
    }
    let mut script = String::from("set -e\n");
    let argv = text(&output.stdout);
    for key in ["dh-cert-file", "session-file"] {
        let Some((_, rest)) = argv.split_once(&format!("\"{key}\":\"")) else { continue };
        let path = rest.split('"').next().unwrap();
        let _ = writeln!(script, "mkdir -p \"$(dirname {path})\"; printf AAAA >{path}");
    }
    let lines = argv.lines().filter(|line| !line.starts_with("-chardev socket,id=charmonitor"));
    for line in lines {
        let line = if line.starts_with("-mon ") { "-monitor stdio \\" } else { line };
        let _ = writeln!(script, "{}", line.replace("-msg timestamp=on", "-no-reboot"));
    }
    Ok(script)
}

/// The last complaint, without who makes it and the option that it is about.
fn last_words(said: &str) -> String {
    let quiet = ["warning: ", "failed to initialize kvm"];
    let said = said.lines().map(|line| line.trim().trim_start_matches("(qemu) "));
    let said = said.filter(|line| !quiet.iter().any(|words| line.contains(words)));
    let said: Vec<&str> = said.filter(|line| !line.is_empty() && !line.starts_with("QEMU ")).collect();
    let of_qemu = said.iter().rfind(|line| line.starts_with("qemu-system-x86_64: "));
    let line = of_qemu.or_else(|| said.last()).copied().unwrap_or_default();
    let words = line.trim_start_matches("error: ").trim_start_matches("qemu-system-x86_64: ");
    let option = words.strip_prefix('-').and_then(|words| words.rsplit_once("}: "));
    option.map_or(words, |(_, words)| words).to_owned()
}

/// Starts all of them in one boot; lint's word on each, and QEMU's.
fn run_in_lab(directory: &Path, names: &[String]) -> (Findings, Vec<Answer>) {
    let mut job = format!(
        "cd {}\n{} lint --format json *.xml || true\necho @@@\n",
        directory.display(),
        env!("CARGO_BIN_EXE_sevirt")
    );
    let mut plans = Vec::new();
    for name in names {
        let plan = script(&directory.join(format!("{name}.xml")));
        if let Ok(script) = &plan {
            std::fs::write(directory.join(format!("{name}.sh")), script).unwrap();
            let _ = writeln!(
                job,
                "if echo quit | timeout 120 sh {name}.sh >log 2>&1; then echo starts; else tr -d '\\r' <log; fi; echo @@@"
            );
        } else {
            job.push_str("echo @@@\n");
        }
        plans.push(plan);
    }
    let lab = Lab::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sevirt"));
    command.args(["lab", "exec", "--timeout", "1800", "--state-dir"]).arg(lab.state.path());
    let output = command.args(["--", "sh", "-c", &job]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = text(&output.stdout);
    let mut parts = told.split("@@@\n");
    let found: serde_json::Value = serde_json::from_str(parts.next().unwrap()).unwrap();
    let mut findings = Findings::new();
    for finding in found.as_array().unwrap() {
        let word = |key: &str| finding[key].as_str().unwrap().to_owned();
        let name = word("file").trim_end_matches(".xml").to_owned();
        findings.entry(name).or_default().push((word("code"), word("severity")));
    }
    let answers = plans.into_iter().zip(parts).map(|(plan, said)| match plan {
        Err(why) => Answer::NoPlan(why),
        Ok(_) if said == "starts\n" => Answer::Starts,
        Ok(_) => Answer::Refused(last_words(said)),
    });
    (findings, answers.collect())
}

fn scrubbed(words: &str, paths: &[(&'static str, String)], directory: &Path) -> String {
    let words = paths.iter().fold(words.to_owned(), |words, (mark, path)| words.replace(path.as_str(), mark));
    words.replace(&directory.display().to_string(), "…").replace('|', "\\|")
}

#[test]
fn what_lint_passes_starts_and_what_it_refuses_does_not_or_must_not() {
    let directory = tempfile::tempdir().unwrap();
    let paths = paths(directory.path());
    let cases = cases();
    let mut names = Vec::new();
    let mut put = |name: String, text: String| {
        let text = paths.iter().fold(text, |text, (mark, path)| text.replace(mark, path));
        std::fs::write(directory.path().join(format!("{name}.xml")), text).unwrap();
        names.push(name);
    };
    for name in BASES {
        put(format!("base-{name}"), base(name));
    }
    for (number, case) in cases.iter().enumerate() {
        put(format!("{number:02}-{}", case.rule), broken(case));
    }
    let (findings, answers) = run_in_lab(directory.path(), &names);
    let none = Vec::new();
    let said = |name: &str| findings.get(name).unwrap_or(&none);
    let mut faults = Vec::new();
    for (name, answer) in names.iter().zip(&answers) {
        let refused = said(name).iter().any(|(_, severity)| severity == "error");
        if !refused && *answer != Answer::Starts {
            faults.push(format!("{name}: lint passes it, and {answer:?}"));
        }
    }
    let mut table = String::new();
    for ((name, case), answer) in
        names.iter().skip(BASES.len()).zip(&cases).zip(answers.iter().skip(BASES.len()))
    {
        let rule = rules::rule(&case.rule).unwrap();
        let by_rule = said(name).iter().find(|(code, _)| *code == case.rule);
        let Some((_, severity)) = by_rule else {
            faults.push(format!("{name}: the rule says nothing; {:?}", said(name)));
            continue;
        };
        if said(&format!("base-{}", case.base))
            .iter()
            .any(|(code, kind)| *code == case.rule && kind == severity)
        {
            faults.push(format!("{name}: the base breaks it as well"));
        }
        let does = match answer {
            Answer::Starts if severity == "error" => "starts; why it must not: the rule's page".to_owned(),
            Answer::Starts => "starts".to_owned(),
            Answer::Refused(words) => format!("“{}”", scrubbed(words, &paths, directory.path())),
            Answer::NoPlan(words) => {
                format!("is not asked: “{}”", scrubbed(words, &paths, directory.path()))
            }
        };
        let anchor = format!("{}-{}", rule.code.to_lowercase(), rule.name);
        let _ = writeln!(
            table,
            "| [{}](rules.md#{anchor}) {} | {} | {severity} | {does} |",
            rule.code, rule.name, case.base
        );
    }
    expect_test::expect_file![PAGE].assert_eq(&page(&table, &cases));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn page(table: &str, cases: &[Case]) -> String {
    let started: Vec<String> = cases.iter().map(|case| case.rule.clone()).collect();
    format!(
        "# Rules in the lab\n\n\
         What lint says, held against what QEMU does. Each rule that speaks of the lab's own facts is broken in a domain that is\n\
         else in order (`crates/cli/test_data/lab-rules`), and each is started in the lab, paused, whatever lint says: QEMU with\n\
         its whole command line, under the simulated secure processor, launched and measured. The domains that break nothing\n\
         start. What lint passes starts; what it refuses QEMU refuses in its own words, or the rule's page says why it must not\n\
         run. The first table is written by `UPDATE_EXPECT=1 cargo test -p cli --test lab rules`, which takes a few minutes; the\n\
         second follows from the rules.\n\n\
         | rule | guest | lint | QEMU |\n|---|---|---|---|\n{table}\n{}",
        second_part(&started)
    )
}
