//! libvirt's own cases: from the same domain, with the same capabilities, in the same surroundings, the same command
//! line token by token. The data is not part of the project; `LIBVIRT_TEST_DATA` says where it is.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot read")]

mod domain_caps;
mod firmware;
mod host_cpu;
mod replies;
mod surroundings;
mod words;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use domain::{Document, Domain, model::ProblemKind};
use qemu::{Caps, plan::Plan};

use crate::replies::Peer;

/// Cases that use only what is modelled and still differ, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("audio-default-nographics", "libvirt takes the kind of audio from its own environment"),
    ("audio-default-sdl", "as above"),
    ("graphics-vnc-remove-generated-socket", "libvirt drops a socket's path that an older libvirt has made"),
    ("graphics-vnc-sasl", "SASL is an option of libvirt's configuration that sevirt does not have"),
    ("graphics-vnc-tls-secret", "as above, and TLS with a secret of libvirt's configuration"),
    (
        "launch-security-sev-snp",
        "on purpose: KVM cannot run an SNP guest from flash, the firmware goes to memory by -bios",
    ),
    ("launch-security-sev-snp+amdsev", "as above"),
    ("restore-v2-fd", "the case resumes a saved guest (-incoming); a plan starts one"),
    (
        "serial-tcp-tlsx509-secret-chardev",
        "the key of the host's certificate is encrypted, by libvirt's configuration",
    ),
];

/// What a case came to.
enum Outcome {
    Equal,
    Differs(String),
    Refused(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Equal => f.write_str("equal"),
            Self::Differs(how) => f.write_str(how),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

struct Case {
    name: String,
    /// The domain uses only what the model has.
    in_scope: bool,
    outcome: Outcome,
}

/// Says a line that the test harness does not swallow.
fn say(line: &str) {
    io::stderr().write_all(format!("libvirt's data: {line}\n").as_bytes()).unwrap();
}

/// libvirt's data, where it is.
fn data() -> Option<PathBuf> {
    let Some(data) = std::env::var_os("LIBVIRT_TEST_DATA").map(PathBuf::from) else {
        say("conformance not run: LIBVIRT_TEST_DATA is not set");
        return None;
    };
    // The directory itself, or the one above it.
    let below = data.join("libvirt");
    Some(if below.is_dir() { below } else { data })
}

#[test]
fn domain_capabilities_are_libvirts() {
    let Some(data) = data() else { return };
    for variant in ["", "+amdsev"] {
        domain_caps::is_libvirts(&data, variant);
        say(&format!("<domainCapabilities> of x86_64{variant} is equal"));
    }
}

#[test]
fn the_choice_of_a_firmware_is_libvirts() {
    let Some(data) = data() else { return };
    say(&format!("{} choices of a firmware are equal", firmware::are_libvirts(&data)));
}

#[test]
fn command_lines_are_libvirts() {
    let Some(data) = data() else { return };
    let cases = run_all(&data);
    let equal = |case: &&Case| matches!(case.outcome, Outcome::Equal);
    let in_scope: Vec<&Case> = cases.iter().filter(|case| case.in_scope).collect();
    let excepted = |case: &&Case| EXCEPTIONS.iter().any(|(name, _)| *name == case.name);
    say(&format!(
        "command lines: {} of {} cases that use only what is modelled are equal, {} of all {}",
        in_scope.iter().copied().filter(|case| equal(case)).count(),
        in_scope.len(),
        cases.iter().filter(equal).count(),
        cases.len(),
    ));
    let failures: Vec<String> = in_scope
        .iter()
        .copied()
        .filter(|case| equal(case) == excepted(case))
        .map(|case| format!("{}: {}", case.name, case.outcome))
        .collect();
    assert!(
        failures.is_empty(),
        "{} cases differ, or are equal and listed as exceptions:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(EXCEPTIONS.len() <= 10, "too many exceptions");
}

fn run_all(data: &Path) -> Vec<Case> {
    let capabilities = data.join("capabilities");
    let usual = Peer::open(&capabilities.join("caps_10.0.0_x86_64.replies")).caps(&[]);
    let sev = Peer::open(&capabilities.join("caps_10.0.0_x86_64+amdsev.replies")).caps(&[]);
    let firmware = surroundings::descriptors(&data.join("firmware"));
    let mut files: Vec<PathBuf> =
        fs::read_dir(data.join("xml-to-argv")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "args")) {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let (name, variant) = stem.split_once(".x86_64-latest").unwrap();
        let caps = if variant == "+amdsev" { &sev } else { &usual };
        let xml = fs::read_to_string(file.with_file_name(format!("{name}.xml"))).unwrap();
        let expected = words::split(&fs::read_to_string(file).unwrap());
        let (in_scope, outcome) = run(name, &xml, caps, &firmware, &expected);
        cases.push(Case { name: format!("{name}{variant}"), in_scope, outcome });
    }
    cases
}

fn run(
    name: &str,
    xml: &str,
    caps: &Caps,
    firmware: &[qemu::firmware::Descriptor],
    expected: &[String],
) -> (bool, Outcome) {
    let Ok(document) = Document::parse(xml) else { return (false, Outcome::Refused("ill-formed".into())) };
    let (mut domain, problems) = Domain::read(&document);
    let in_scope = problems.iter().all(|problem| problem.kind != ProblemKind::NotModelled);
    if let Err(error) = domain.complete(&mut surroundings::definition(&domain.clone(), caps, &mut || {
        *b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
    })) {
        return (in_scope, Outcome::Refused(error.to_string()));
    }
    let here = surroundings::surroundings(name, &domain, firmware);
    let plan = match Plan::new(&domain, caps, &here) {
        Ok(plan) => plan,
        Err(error) => return (in_scope, Outcome::Refused(error.to_string())),
    };
    let environment = plan.environment().iter().map(|(name, value)| format!("{name}={value}"));
    let argv = plan.argv().into_iter().map(|word| word.into_string().unwrap());
    let got: Vec<String> = environment.chain(argv).collect();
    (in_scope, compare(expected, &got))
}

/// The first place where two command lines part.
fn compare(expected: &[String], got: &[String]) -> Outcome {
    if expected == got {
        return Outcome::Equal;
    }
    let same = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
    let at = |words: &[String]| words.get(same).cloned().unwrap_or_else(|| "the end".into());
    let before = same.checked_sub(1).map(|index| got[index].clone()).unwrap_or_default();
    Outcome::Differs(format!("after {before}\n    wanted {}\n    got    {}", at(expected), at(got)))
}
