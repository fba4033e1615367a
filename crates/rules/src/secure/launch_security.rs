//! `<launchSecurity>`: what makes the guest confidential, with this host's figures and the policy that was asked for.

use domain::model::launch_security::LaunchSecurity;
use domain::{Edit, Element, NewElement};

use super::{Change, Policy, Wish};
use crate::Technology;
use crate::fix::Safety;
use crate::subject::Subject;

const TOPIC: &str = "launch security";

/// What a guest loses of its physical address on every processor: the C-bit. (What CPUID tells is the host's loss.)
const REDUCED_PHYS_BITS: u32 = 1;

pub(super) fn step(subject: &Subject<'_>, wish: &Wish) -> Option<Change> {
    let technology = wish.technology;
    match subject.element(&["launchSecurity"]) {
        None => Some(added(subject, wish)),
        Some(element) if subject.technology() == Some(technology) => {
            let policy = wish.policy.filter(|policy| Some(*policy) != present(subject))?;
            let edits = vec![set_child(element, "policy", &policy.written())];
            let title = format!("ask for policy {policy}");
            let effect = "the policy is part of what is measured: its owner must expect another measurement";
            Some(Change::new(TOPIC, Safety::Unsafe, title, effect, edits))
        }
        Some(element) => {
            let policy = wish.policy.unwrap_or_else(|| Policy::usual(technology));
            let edits = vec![Edit::remove_element(element), insert(subject, technology, policy)];
            let title = format!("make it a guest of {technology} with policy {policy}");
            let effect = "it is measured in another way: its owner must expect another measurement, and any session \
                          or ID block is gone";
            Some(Change::new(TOPIC, Safety::Unsafe, title, effect, edits))
        }
    }
}

/// The policy that the domain has, where it can be one.
fn present(subject: &Subject<'_>) -> Option<Policy> {
    Some(match subject.domain.launch_security.as_ref()? {
        LaunchSecurity::Sev(sev) => Policy::Sev(attest::sev::policy::Policy(sev.policy?)),
        LaunchSecurity::SevSnp(snp) => Policy::Snp(attest::snp::policy::Policy(snp.policy?)),
        LaunchSecurity::Other { .. } => return None,
    })
}

fn added(subject: &Subject<'_>, wish: &Wish) -> Change {
    let technology = wish.technology;
    let policy = wish.policy.unwrap_or_else(|| Policy::usual(technology));
    let edits = vec![insert(subject, technology, policy)];
    let protects = match technology {
        Technology::Sev => "its memory is encrypted with a key that the host never sees",
        Technology::SevEs => {
            "its memory, and its registers while it does not run, are encrypted with a key that the host never sees"
        }
        Technology::SevSnp => {
            "its memory and registers are encrypted with a key that the host never sees, and the host cannot change or \
             replace its memory unnoticed"
        }
    };
    let effect = format!(
        "{protects}; its firmware is measured at launch. It cannot be saved, migrated or snapshotted with its memory, \
         and its kernel must know {technology}"
    );
    let figures = match c_bit(subject) {
        Some(c_bit) => format!(", {}'s C-bit {c_bit}", subject.host()),
        None => "; the host's C-bit is filled in at start".to_owned(),
    };
    let title = format!("ask for {technology} with policy {policy}{figures}");
    Change::new(TOPIC, Safety::Safe, title, effect, edits)
}

/// The host's C-bit.
fn c_bit(subject: &Subject<'_>) -> Option<u32> {
    subject.facts.cpu.memory_encryption.known().filter(|cpu| cpu.sev).map(|cpu| cpu.cbitpos)
}

fn insert(subject: &Subject<'_>, technology: Technology, policy: Policy) -> Edit {
    let kind = match technology {
        Technology::Sev | Technology::SevEs => "sev",
        Technology::SevSnp => "sev-snp",
    };
    let mut element = NewElement::new("launchSecurity").attribute("type", kind);
    if let Some(c_bit) = c_bit(subject) {
        element = element
            .child(NewElement::new("cbitpos").text(&c_bit.to_string()))
            .child(NewElement::new("reducedPhysBits").text(&REDUCED_PHYS_BITS.to_string()));
    }
    let element = element.child(NewElement::new("policy").text(&policy.written()));
    match subject.element(&["devices"]) {
        Some(devices) => Edit::insert_after(devices, &element),
        None => Edit::insert_child(subject.document.root(), &element),
    }
}

fn set_child(element: Element<'_>, name: &str, text: &str) -> Edit {
    match element.child(name) {
        Some(child) => Edit::set_text(child, text),
        None => Edit::insert_child(element, &NewElement::new(name).text(text)),
    }
}
