//! Compares reading, completing and printing with libvirt's own results, where its test data is at hand.
//!
//! `LIBVIRT_TEST_DATA` names the directory that holds `xml-to-argv`. Each case `NAME.xml` there has what libvirt
//! makes of it beside it. Cases with content that sevirt has no notion of are passed over.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use domain::{
    Document, Domain,
    model::{Problem, ProblemKind, Surroundings, address::Address},
};

/// Cases that differ, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("audio-default-nographics", "a setting of the daemon sends sound to the host"),
    (
        "firmware-manual-efi-no-secboot-legacy-paths",
        "where the variables are kept is a setting of the daemon",
    ),
    ("graphics-vnc-remove-generated-socket", "the socket's path is one that the daemon itself chose"),
];

/// Says a line that the test harness does not swallow.
fn say(line: &str) {
    io::stderr().write_all(format!("domains: {line}\n").as_bytes()).unwrap();
}

fn read(path: &Path) -> (Domain, Vec<Problem>, String) {
    let text = fs::read_to_string(path).unwrap();
    let document = Document::parse(&text).unwrap();
    let (domain, problems) = Domain::read(&document);
    (domain, problems, text)
}

/// Ports of USB devices are assigned at definition by libvirt's daemon, but not in its test.
fn forget_usb_ports(domain: &mut Domain) {
    let inputs = domain.devices.inputs.iter_mut().map(|input| &mut input.info);
    let disks = domain.devices.disks.iter_mut().map(|disk| &mut disk.info);
    let hubs = domain.devices.hubs.iter_mut().map(|hub| &mut hub.info);
    for info in inputs.chain(disks).chain(hubs) {
        if matches!(info.address, Some(Address::Usb(_))) {
            info.address = None;
        }
    }
}

#[test]
fn libvirt_completes_and_prints_domains_the_same_way() {
    let Some(data) = std::env::var_os("LIBVIRT_TEST_DATA") else {
        say("conformance not run: LIBVIRT_TEST_DATA is not set");
        return;
    };
    let cases = Path::new(&data).join("xml-to-argv");
    let mut names: Vec<(String, String)> = fs::read_dir(&cases)
        .unwrap()
        .filter_map(|entry| {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let (name, suffix) = file.split_once(".x86_64-latest")?;
            Some((name.to_owned(), format!("{name}.x86_64-latest{}", suffix.strip_suffix(".xml")?)))
        })
        .collect();
    names.sort();
    let (mut compared, mut same, mut faults) = (0, 0, Vec::new());
    for (name, result) in &names {
        let (mut domain, problems, _) = read(&cases.join(format!("{name}.xml")));
        let (mut expected, expected_problems, expected_text) = read(&cases.join(format!("{result}.xml")));
        let all = || problems.iter().chain(&expected_problems);
        if all().any(|problem| problem.kind == ProblemKind::NotModelled) {
            continue;
        }
        compared += 1;
        let mut check = || -> Result<(), String> {
            if let Some(problem) = all().next() {
                return Err(format!("{problem}"));
            }
            if expected.metadata.is_none() {
                equal("printing", &expected.print(), &expected_text)?;
            }
            let mut random = || [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
            let mut surroundings = Surroundings {
                machine: None,
                cpu_model: "qemu64".to_owned(),
                emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
                random: &mut random,
            };
            domain.complete(&mut surroundings).map_err(|error| error.to_string())?;
            let before = domain.clone();
            domain.complete(&mut surroundings).map_err(|error| format!("again: {error}"))?;
            equal("completing twice", &domain.print(), &before.print())?;
            // Which firmware is chosen depends on the host's descriptors; `qemu::firmware` does it.
            if expected.os.firmware.is_some() {
                domain.os.clone_from(&expected.os);
                domain.features.smm = expected.features.smm;
            }
            // Where USB ports run out, libvirt adds hubs, but again not in its test.
            domain.devices.hubs.truncate(expected.devices.hubs.len());
            forget_usb_ports(&mut domain);
            forget_usb_ports(&mut expected);
            domain.metadata.clone_from(&expected.metadata);
            equal("completing", &domain.print(), &expected.print())
        };
        match check() {
            Ok(()) => same += 1,
            Err(fault) => faults.push((result.clone(), fault)),
        }
    }
    let all = names.len();
    say(&format!("{same} of {compared} cases with only modelled content are the same, of {all} in all"));
    let unexpected: Vec<String> = faults
        .iter()
        .filter(|(name, _)| !EXCEPTIONS.iter().any(|(exception, _)| name.starts_with(exception)))
        .map(|(name, fault)| format!("{name}: {fault}"))
        .collect();
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    for (exception, _) in EXCEPTIONS {
        assert!(faults.iter().any(|(name, _)| name.starts_with(exception)), "{exception} is no exception");
    }
}

fn equal(what: &str, ours: &str, theirs: &str) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    let diff: Vec<String> = similar_lines(ours, theirs);
    Err(format!("{what}\n{}", diff.join("\n")))
}

/// The lines that only one side has.
fn similar_lines(ours: &str, theirs: &str) -> Vec<String> {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let start = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let end =
        ours[start..].iter().rev().zip(theirs[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = theirs[start..theirs.len() - end].iter().map(|line| format!("  -{line}"));
    minus.chain(ours[start..ours.len() - end].iter().map(|line| format!("  +{line}"))).collect()
}

#[test]
fn what_is_not_known_of_libvirts_domains_is_kept() {
    let Some(data) = std::env::var_os("LIBVIRT_TEST_DATA") else {
        say("conformance not run: LIBVIRT_TEST_DATA is not set");
        return;
    };
    let mut files: Vec<_> = fs::read_dir(Path::new(&data).join("xml-to-argv"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "xml"));
    files.sort();
    let (mut kept, mut faults) = (0, Vec::new());
    for path in &files {
        let (mut domain, problems, _) = read(path);
        if problems.iter().any(|problem| problem.kind == ProblemKind::Malformed) {
            continue;
        }
        let mut random = || [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut surroundings = Surroundings {
            machine: None,
            cpu_model: "qemu64".to_owned(),
            emulator: Some("/usr/bin/qemu-system-x86_64".to_owned()),
            random: &mut random,
        };
        if domain.complete(&mut surroundings).is_err() {
            continue;
        }
        let once = domain.print();
        let document = Document::parse(&once).unwrap();
        let (mut again, problems_again) = Domain::read(&document);
        let paths = |problems: &[Problem]| {
            let mut paths: Vec<String> = problems.iter().map(ToString::to_string).collect();
            paths.sort();
            paths
        };
        kept += problems.len();
        let outcome = equal("unknown", &paths(&problems_again).join("\n"), &paths(&problems).join("\n"))
            .and_then(|()| {
                again.complete(&mut surroundings).map_err(|error| format!("again: {error}"))?;
                equal("twice", &again.print(), &once)
            });
        if let Err(fault) = outcome {
            faults.push(format!("{}: {fault}", path.display()));
        }
    }
    say(&format!("{kept} unknown parts of {} files are kept", files.len()));
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
    assert!(kept > 500, "{kept}");
}
