//! DEV001: an rng device without a backend.

use domain::{Edit, NewElement};

use crate::finding::{Finding, MOST};
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

/// What a backend that is not named becomes; libvirt's own default for model `random`.
const DEFAULT: &str = "/dev/urandom";

pub(crate) static RULE: Rule = Rule {
    code: "DEV001",
    name: "rng-without-backend",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An `<rng>` device that does not say where its random numbers come from.",
        why: "libvirt refuses such a domain (\"only one RNG backend is supported\"). sevirt takes `/dev/urandom`, \
              which is what the author of such a domain most likely had in mind.",
        example: "<rng model='virtio'>\n  <driver iommu='on'/>\n</rng>",
        fix: "Name the backend: `<backend model='random'>/dev/urandom</backend>`. `sevirt fix` writes that. It is a \
              safe fix: the guest sees the same device.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\": both full examples have this fault.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(devices) = subject.element(&["devices"]) else { return Vec::new() };
    devices
        .children_named("rng")
        .filter(|rng| rng.child("backend").is_none())
        .take(MOST)
        .map(|rng| {
            let backend = NewElement::new("backend").attribute("model", "random").text(DEFAULT);
            let edit = match rng.children().next() {
                Some(first) => Edit::insert_before(first, &backend),
                None => Edit::insert_child(rng, &backend),
            };
            RULE.finding(rng.start_tag_span(), "this rng device has no backend")
                .help(format!("`{DEFAULT}` is taken; libvirt would refuse the domain"))
                .fix(Fix::safe(format!("draw random numbers from {DEFAULT}"), vec![edit]))
        })
        .collect()
}
