//! Ordinary domains of the shapes that virt-install, virt-manager and libvirt give them, secured in every way.
//!
//! `test_data/secure/NAME/before.xml` is what there is, judged on the host of `test_data/secure/host.json`; for each
//! technology `TECHNOLOGY.xml` is what comes of it when everything is wanted, and `TECHNOLOGY.txt` what is told (notes of
//! lint are left out).

use std::path::{Path, PathBuf};

use domain::model::launch_security::LaunchSecurity;

use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test_data/secure")
}

#[expect(clippy::disallowed_methods, reason = "fixtures are files")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn facts() -> Facts {
    serde_json::from_str(&read(&folder().join("host.json"))).unwrap()
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() >= 4, "{cases:?}");
    cases
}

fn ordinary(case: &Path) -> Document {
    Document::parse(&read(&case.join("before.xml"))).unwrap()
}

fn wish(technology: Technology) -> Wish {
    Wish { technology, policy: None }
}

fn asked_for(domain: &Domain) -> Option<Technology> {
    match domain.launch_security.as_ref()? {
        LaunchSecurity::Sev(sev) if sev.is_es() => Some(Technology::SevEs),
        LaunchSecurity::Sev(_) => Some(Technology::Sev),
        LaunchSecurity::SevSnp(_) => Some(Technology::SevSnp),
        LaunchSecurity::Other { .. } => None,
    }
}

fn told(secured: &Secured) -> String {
    let mut out = String::new();
    for change in &secured.made {
        let Change { topic, title, effect, safety, .. } = change;
        out.push_str(&format!("{topic} ({safety}): {title}\n  {effect}\n"));
    }
    let worth = |finding: &&Finding| finding.severity != Severity::Note;
    for finding in secured.report.findings.iter().filter(worth) {
        out.push_str(&format!("left: {} {} {}\n", finding.severity, finding.code, finding.message));
    }
    out
}

#[test]
fn ordinary_domains_become_confidential_and_nothing_wrong_is_left() {
    for case in cases() {
        for technology in Technology::ALL {
            let name = format!("{}/{}", case.display(), technology.word());
            let secured =
                secure(&ordinary(&case), &facts(), &Allowed::default(), &wish(technology), |_| true);
            expect_test::expect_file![case.join(format!("{}.txt", technology.word()))]
                .assert_eq(&told(&secured));
            expect_test::expect_file![case.join(format!("{}.xml", technology.word()))]
                .assert_eq(secured.document.text());
            assert!(!secured.report.has_errors(), "{name}: {}", told(&secured));
            assert!(secured.left_out.is_empty());
            assert_eq!(asked_for(&secured.report.domain), Some(technology), "{name}");
        }
    }
}

#[test]
fn what_is_secured_stays_as_it_is() {
    for case in cases() {
        for technology in Technology::ALL {
            let once = secure(&ordinary(&case), &facts(), &Allowed::default(), &wish(technology), |_| true);
            let twice = secure(&once.document, &facts(), &Allowed::default(), &wish(technology), |_| true);
            assert_eq!(twice.made, [], "{} {technology}", case.display());
            assert_eq!(once.document.text(), twice.document.text());
        }
    }
}

#[test]
fn only_what_is_safe_is_made_unasked_and_the_rest_is_named() {
    for case in cases() {
        for technology in Technology::ALL {
            let safe = |change: &Change| change.safety == Safety::Safe;
            let secured = secure(&ordinary(&case), &facts(), &Allowed::default(), &wish(technology), safe);
            assert!(secured.made.iter().all(safe));
            assert!(!secured.made.is_empty());
            assert!(secured.left_out.iter().all(|change| change.safety == Safety::Unsafe));
            // What was left out and would have kept the guest from starting is still complained of.
            let bios = secured.left_out.iter().any(|change| change.title.ends_with("instead of a BIOS"));
            let errors = secured.report.findings.iter().any(|it| it.severity == Severity::Error);
            let name = case.display();
            assert!(errors || !bios, "{name} {technology}: {}", told(&secured));
            assert!(!errors || !secured.left_out.is_empty(), "{name} {technology}: {}", told(&secured));
        }
    }
}

#[test]
fn comments_and_what_nobody_knows_stay() {
    let case = folder().join("virt-install-bios-i440fx");
    let text = read(&case.join("before.xml"));
    let marked = text
        .replace("<devices>", "<devices><!-- mine --><odd:thing xmlns:odd=\"urn:odd\"  a = \"1\"/>")
        .replace("<os>", "<os><!-- no firmware -->");
    let document = Document::parse(&marked).unwrap();
    let secured = secure(&document, &facts(), &Allowed::default(), &wish(Technology::SevEs), |_| true);
    let result = secured.document.text();
    for kept in ["<!-- mine -->", "<odd:thing xmlns:odd=\"urn:odd\"  a = \"1\"/>", "<!-- no firmware -->"] {
        assert!(result.contains(kept), "{kept} is gone:\n{result}");
    }
}

#[test]
fn a_policy_that_is_asked_for_is_written_and_one_that_is_there_stays() {
    let case = folder().join("virt-install-uefi-q35");
    let policy = Policy::parse("no-debug,domain", Technology::Sev).unwrap();
    let wish = Wish { technology: Technology::Sev, policy: Some(policy) };
    let secured = secure(&ordinary(&case), &facts(), &Allowed::default(), &wish, |_| true);
    assert!(secured.document.text().contains("<policy>0x0011</policy>"));
    let unsaid = Wish { technology: Technology::Sev, policy: None };
    let safe = |change: &Change| change.safety == Safety::Safe;
    let again = secure(&secured.document, &facts(), &Allowed::default(), &unsaid, safe);
    assert!(again.document.text().contains("<policy>0x0011</policy>"));
    let other =
        secure(&secured.document, &facts(), &Allowed::default(), &tests::wish(Technology::SevSnp), |_| true);
    assert!(other.document.text().contains("<launchSecurity type='sev-snp'>"));
    assert_eq!(other.document.text().matches("launchSecurity type").count(), 1);
}

#[test]
fn every_unsafe_fix_says_what_it_does_to_the_guest() {
    for rule in table::all() {
        let fix = rule.page.fix;
        if fix.contains("fix --unsafe`") {
            assert!(rule.page.unsafe_because().is_some(), "{}: {fix}", rule.code);
        }
    }
}

#[test]
fn a_guest_kernel_that_is_too_old_for_virtio_blk_gets_virtio_scsi() {
    let mut facts = facts();
    facts.guest_kernel = host::Fact::Known("4.18.0-305.el8".to_owned());
    let case = folder().join("virt-install-uefi-q35");
    let secured = secure(&ordinary(&case), &facts, &Allowed::default(), &wish(Technology::Sev), |_| true);
    let text = secured.document.text();
    assert!(secured.made.iter().any(|change| change.topic == "boot disk"), "{}", told(&secured));
    assert!(!text.contains("dev='vda'") && !text.contains("dev=\"vda\""), "{text}");
    assert!(!secured.report.has_errors(), "{}", told(&secured));
}
