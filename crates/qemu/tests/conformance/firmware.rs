//! What libvirt writes into definitions that leave their firmware to the host.

use std::{fs, path::Path};

use domain::{Document, Domain, model::ProblemKind};
use qemu::{firmware::Descriptor, plan::settle_firmware};

use crate::surroundings;

/// Compares all cases; how many of them have a firmware that libvirt chose or completed.
pub(crate) fn are_libvirts(data: &Path) -> usize {
    let descriptors = surroundings::descriptors(&data.join("firmware"));
    let descriptors: Vec<&Descriptor> = descriptors.iter().collect();
    let (mut count, mut faults) = (0, Vec::new());
    let mut files: Vec<_> =
        fs::read_dir(data.join("xml-to-argv")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(case) = name.strip_suffix(".x86_64-latest.xml") else { continue };
        let expected = read(&file);
        let written = read(&file.with_file_name(format!("{case}.xml")));
        let (Some(expected), Some(mut ours)) = (expected, written) else { continue };
        if expected.os.loader.is_none() {
            continue;
        }
        let random = &mut || [7; 16];
        let mut definition = domain::model::Surroundings {
            machine: expected.os.machine.clone(),
            cpu_model: "qemu64".to_owned(),
            emulator: None,
            random,
        };
        ours.complete(&mut definition).unwrap();
        let guest = ours.name.clone();
        settle_firmware(&mut ours, &descriptors, |ending| {
            format!("/var/lib/libvirt/qemu/nvram/{guest}_VARS.{ending}")
        })
        .unwrap();
        count += 1;
        let is_same = ours.os == expected.os && ours.features.smm == expected.features.smm;
        if !is_same {
            faults.push(format!("{case}:\n  ours   {:?}\n  theirs {:?}", ours.os, expected.os));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count >= 20, "{count}");
    count
}

fn read(file: &Path) -> Option<Domain> {
    let document = Document::parse(&fs::read_to_string(file).unwrap()).unwrap();
    let (domain, problems) = Domain::read(&document);
    problems.iter().all(|problem| problem.kind != ProblemKind::NotModelled).then_some(domain)
}
