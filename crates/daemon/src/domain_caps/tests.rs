//! What is offered, and the reasons for what is not.

use super::*;

/// A QEMU on an EPYC with SEV.
fn caps() -> Caps {
    let mut caps: Caps = serde_json::from_str(include_str!("../../../qemu/test_data/caps.json")).unwrap();
    caps.types = ["sev-guest", "sev-snp-guest"].map(str::to_owned).into();
    caps
}

/// A host of AMD's first generation, which has no SEV-SNP.
fn naples() -> Facts {
    let mut facts = Facts::default();
    facts.assume("host=naples").unwrap();
    facts
}

/// Each technology's verdict, and its last reason.
#[track_caller]
fn check(caps: &Caps, facts: &Facts, technology: Technology, verdict: Verdict, reason: &str) {
    let offer = offer(technology, caps, &rules::host::check(facts));
    assert_eq!(offer.verdict, verdict, "{offer:?}");
    let last = offer.reasons.last().map(|reason| reason.message.as_str()).unwrap_or_default();
    assert_eq!(last, reason);
}

#[test]
fn what_the_host_lacks_is_not_offered_whatever_qemu_has() {
    check(&caps(), &naples(), Technology::SevSnp, Verdict::Cannot, "its processor has no SEV-SNP");
}

#[test]
fn qemus_own_words_are_told() {
    let refused = Caps { sev: Err("SEV is not enabled in KVM".to_owned()), ..caps() };
    let words = "QEMU says: SEV is not enabled in KVM";
    for technology in Technology::ALL {
        check(&refused, &naples(), technology, Verdict::Cannot, words);
    }
    let mut old = caps();
    old.types.remove("sev-snp-guest");
    check(&old, &naples(), Technology::SevSnp, Verdict::Cannot, "this QEMU has no `sev-snp-guest`");
}
