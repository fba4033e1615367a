//! libvirt's own `<domainCapabilities>` documents: the same from the same answers, in the same surroundings.

use std::path::Path;

use qemu::{
    caps::Part,
    domain_caps::{Described, DomainCaps, Guests, Here, TpmVersion, Wanted},
};

use crate::{replies::Peer, surroundings};

/// What the documents may differ in: libvirt's tests pretend a host, and these are the pretence's or decided otherwise
/// here on purpose (the model for `host-model`).
const ELEMENTS_APART: [(&str, &str); 2] =
    [("<mode name='host-model' supported='yes'>", "</mode>"), ("<hostdev", "</hostdev>")];
const LINES_APART: [&str; 2] = ["<maxGuests>", "<maxESGuests>"];

pub(crate) fn is_libvirts(data: &Path, variant: &str) {
    let recording = data.join(format!("capabilities/caps_10.0.0_x86_64{variant}.replies"));
    let caps = Peer::open(&recording).caps(&[Part::Extent]);
    let descriptors = surroundings::descriptors(&data.join("firmware"));
    let here = Here {
        emulator: "/usr/bin/qemu-system-x86_64".to_owned(),
        firmware: descriptors.into_iter().map(|descriptor| Described { descriptor, exists: true }).collect(),
        swtpm: Some(vec![TpmVersion::V2]),
        rdp: true,
        vfio: true,
        guests: Guests { sev: 59, sev_es: 450 },
        ..Here::default()
    };
    let wanted = Wanted { machine: Some("q35"), ..Wanted::default() };
    let ours = DomainCaps::new(&caps, &wanted, &here).unwrap().to_string();
    let path = data.join(format!("domain-capabilities/qemu_10.0.0-q35.x86_64{variant}.xml"));
    let theirs = std::fs::read_to_string(path).unwrap();
    let (ours, theirs) = (compared(&ours), compared(&theirs));
    let different = theirs.lines().zip(ours.lines()).enumerate().find(|(_, (theirs, ours))| theirs != ours);
    if let Some((line, (theirs, ours))) = different {
        panic!(
            "x86_64{variant}, line {} of what is compared: libvirt says `{theirs}`, sevirt `{ours}`",
            line + 1
        );
    }
    assert_eq!(theirs, ours);
}

/// The document without what may differ. What is left out leaves its first line behind.
fn compared(document: &str) -> String {
    let mut kept = String::new();
    let (mut until, mut in_loader) = (None, false);
    for line in document.lines() {
        let text = line.trim_start();
        if let Some(end) = until {
            if text.starts_with(end) {
                until = None;
            }
            continue;
        }
        in_loader = match text {
            "<loader supported='yes'>" => true,
            "<enum name='type'>" => false,
            _ => in_loader,
        };
        if in_loader && text.starts_with("<value>") || LINES_APART.iter().any(|start| text.starts_with(start))
        {
            continue;
        }
        until = ELEMENTS_APART.iter().find(|(start, _)| text.starts_with(start)).map(|(_, end)| *end);
        kept.push_str(line);
        kept.push('\n');
    }
    assert!(until.is_none(), "an element is not closed");
    kept
}

#[test]
fn only_what_may_differ_is_left_out() {
    let document = "\
<domainCapabilities>
  <loader supported='yes'>
    <value>/here.fd</value>
    <enum name='type'>
      <value>rom</value>
    </enum>
  </loader>
  <mode name='host-model' supported='yes'>
    <vendor>AMD</vendor>
  </mode>
  <mode name='custom' supported='no'/>
  <hostdev supported='yes'>
    <enum name='mode'/>
  </hostdev>
  <maxGuests>5</maxGuests>
</domainCapabilities>
";
    let expected = "\
<domainCapabilities>
  <loader supported='yes'>
    <enum name='type'>
      <value>rom</value>
    </enum>
  </loader>
  <mode name='host-model' supported='yes'>
  <mode name='custom' supported='no'/>
  <hostdev supported='yes'>
</domainCapabilities>
";
    assert_eq!(compared(document), expected);
}
