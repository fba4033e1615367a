//! What is in the document, and what is not; the whole of it is compared with libvirt's in `tests/conformance`.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use super::*;
use crate::Caps;
use crate::caps::Extent;
use crate::qmp::command::SgxSection;

/// A small QEMU on an EPYC with SEV.
fn caps() -> Caps {
    let mut caps: Caps = serde_json::from_str(include_str!("../../test_data/caps.json")).unwrap();
    caps.types = ["sev-guest", "sev-snp-guest", "sgx-epc"].map(str::to_owned).into();
    let only = |name: &str| BTreeSet::from([name.to_owned()]);
    caps.extent = Some(Extent { displays: only("dbus"), netdevs: only("user"), ..Extent::default() });
    caps
}

fn here() -> Here {
    Here { emulator: "/opt/qemu & co".to_owned(), guests: Guests::of_asids(509, 100), ..Here::default() }
}

/// The lines of the document that hold one of the words.
#[track_caller]
fn check(caps: &Caps, wanted: &Wanted<'_>, here: &Here, words: &[&str], expected: &Expect) {
    let text = DomainCaps::new(caps, wanted, here).unwrap().to_string();
    let lines = text.lines().filter(|line| words.iter().any(|word| line.contains(word)));
    expected.assert_eq(&lines.map(|line| format!("{}\n", line.trim_start())).collect::<String>());
}

const SEV: &[&str] = &["sev", "cbitpos", "Guests", "launchSecurity"];

#[test]
fn a_host_that_can_says_so() {
    check(
        &caps(),
        &Wanted::default(),
        &here(),
        SEV,
        &expect![[r#"
            <sev supported='yes'>
            <cbitpos>51</cbitpos>
            <maxGuests>410</maxGuests>
            <maxESGuests>99</maxESGuests>
            </sev>
            <launchSecurity supported='yes'>
            <value>sev</value>
            <value>sev-snp</value>
            </launchSecurity>
        "#]],
    );
}

#[test]
fn what_the_host_cannot_start_is_not_offered() {
    let cannot = vec![Technology::SevEs, Technology::SevSnp];
    check(
        &caps(),
        &Wanted::default(),
        &Here { cannot, ..here() },
        SEV,
        &expect![[r#"
            <sev supported='yes'>
            <cbitpos>51</cbitpos>
            <maxGuests>410</maxGuests>
            <maxESGuests>0</maxESGuests>
            </sev>
            <launchSecurity supported='yes'>
            <value>sev</value>
            </launchSecurity>
        "#]],
    );
    let cannot = vec![Technology::Sev, Technology::SevEs, Technology::SevSnp];
    check(
        &caps(),
        &Wanted::default(),
        &Here { cannot, ..here() },
        SEV,
        &expect![[r#"
            <sev supported='no'/>
            <launchSecurity supported='no'/>
    "#]],
    );
    let refused = Caps { sev: Err("SEV is not enabled in KVM".into()), ..caps() };
    check(
        &refused,
        &Wanted::default(),
        &here(),
        SEV,
        &expect![[r#"
            <sev supported='no'/>
            <launchSecurity supported='no'/>
    "#]],
    );
}

#[test]
fn a_machine_is_named_by_its_full_name_and_has_no_more_vcpus_than_kvm_gives() {
    let wanted = Wanted { machine: Some("q35"), ..Wanted::default() };
    let words = &["<path", "<domain>", "<machine", "<arch", "<vcpu", "ide<"];
    check(
        &caps(),
        &wanted,
        &Here { kvm_vcpus: Some(1024), ..here() },
        words,
        &expect![[r#"
          <path>/opt/qemu &amp; co</path>
          <domain>kvm</domain>
          <machine>pc-q35-10.0</machine>
          <arch>x86_64</arch>
          <vcpu max='1024'/>
    "#]],
    );
    check(
        &caps(),
        &Wanted::default(),
        &Here { kvm_vcpus: Some(1024), ..here() },
        words,
        &expect![[r#"
            <path>/opt/qemu &amp; co</path>
            <domain>kvm</domain>
            <machine>pc-i440fx-10.0</machine>
            <arch>x86_64</arch>
            <vcpu max='255'/>
            <value>ide</value>
        "#]],
    );
}

#[test]
fn memory_for_enclaves_is_told_by_node() {
    let mut caps = caps();
    let sections = vec![SgxSection { node: 0, size: 64 << 20 }, SgxSection { node: 1, size: 32 << 20 }];
    let sgx = SgxCapabilities { flc: true, sgx1: true, sgx2: false, sections };
    caps.extent = Some(Extent { sgx: Some(sgx), ..Extent::default() });
    check(
        &caps,
        &Wanted::default(),
        &here(),
        &["sgx", "flc", "section"],
        &expect![[r#"
            <sgx supported='yes'>
            <flc>yes</flc>
            <sgx1>yes</sgx1>
            <sgx2>no</sgx2>
            <section_size unit='KiB'>98304</section_size>
            <sections>
            <section node='0' size='65536' unit='KiB'/>
            <section node='1' size='32768' unit='KiB'/>
            </sections>
            </sgx>
        "#]],
    );
}

#[track_caller]
fn refused(caps: &Caps, wanted: &Wanted<'_>, expected: &str) {
    assert_eq!(DomainCaps::new(caps, wanted, &here()).unwrap_err().to_string(), expected);
}

#[test]
fn what_there_is_no_document_about_is_named() {
    refused(
        &caps(),
        &Wanted { machine: Some("virt"), ..Wanted::default() },
        "`/opt/qemu & co` has no machine type `virt`; the newest are pc-i440fx-10.0 (pc), pc-q35-10.0 (q35)",
    );
    refused(
        &caps(),
        &Wanted { arch: Some("aarch64"), ..Wanted::default() },
        "`/opt/qemu & co` is for `x86_64` guests, not for `aarch64`",
    );
    let mut tcg = caps();
    tcg.kvm.enabled = false;
    refused(
        &tcg,
        &Wanted { kind: Some(DomainKind::Kvm), ..Wanted::default() },
        "`/opt/qemu & co` cannot use KVM on this host",
    );
    refused(
        &Caps { extent: None, ..caps() },
        &Wanted::default(),
        "`/opt/qemu & co` was not asked for all that the document tells",
    );
}

#[test]
fn guests_are_counted_by_asids() {
    assert_eq!(Guests::of_asids(509, 100), Guests { sev: 410, sev_es: 99 });
    assert_eq!(Guests::of_asids(15, 5), Guests { sev: 11, sev_es: 4 });
    // All for SEV-ES.
    assert_eq!(Guests::of_asids(99, 100), Guests { sev: 0, sev_es: 99 });
    assert_eq!(Guests::of_asids(0, 5), Guests::default());
    assert_eq!(Guests::of_asids(15, 0), Guests::default());
}
