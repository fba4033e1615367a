//! SEV011: a confidential guest whose processor has no RDRAND.

use domain::model::cpu::{Cpu, CpuMode, FeaturePolicy};
use domain::{Element, Span};

use crate::finding::Finding;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "SEV011",
    name: "cpu-without-rdrand",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "An SEV, SEV-ES or SEV-SNP guest whose `<cpu>` has no RDRAND instruction: a model that lacks it (qemu64, \
               which a domain without `<cpu>` gets, kvm64, any Opteron), or `<feature policy='disable' name='rdrand'/>`.",
        why: "The host is not trusted with a confidential guest's random numbers, so the guest's kernel insists on \
              RDRAND for its seed. Linux 6.9 and newer, and the stable kernels that took the change over (Debian's 6.1 \
              is one), panic early at boot without it (\"RDRAND is defective\"), before the console works.",
        example: "<cpu mode='custom'>\n  <model>qemu64</model>\n</cpu>",
        fix: "Write `<cpu mode='host-model'/>` or `<cpu mode='host-passthrough'/>`, or name a model that has it, such \
              as EPYC: every processor with SEV has RDRAND. There is no automatic fix: the model is what the guest \
              sees, and with SEV-ES and SEV-SNP the launch measurement covers it.",
        since: "0.1",
        source: "Linux, arch/x86/coco/core.c, cc_random_init; QEMU 10.0, query-cpu-model-expansion of all models.",
    },
};

/// QEMU's x86 models without RDRAND, versions (`-v1`) and variants (`-IBRS`) left off.
const WITHOUT: &[&str] = &[
    "486",
    "athlon",
    "base",
    "Conroe",
    "core2duo",
    "coreduo",
    "kvm32",
    "kvm64",
    "n270",
    "Nehalem",
    "Opteron_G1",
    "Opteron_G2",
    "Opteron_G3",
    "Opteron_G4",
    "Opteron_G5",
    "Penryn",
    "pentium",
    "pentium2",
    "pentium3",
    "phenom",
    "qemu32",
    "qemu64",
    "SandyBridge",
    "Westmere",
];

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.technology().is_none() {
        return Vec::new();
    }
    let Some((span, lack)) = lacking(subject) else { return Vec::new() };
    let message =
        format!("{lack} no RDRAND, without which newer Linux guests with memory encryption panic at boot");
    vec![
        RULE.finding(span, message)
            .help("write `<cpu mode='host-model'/>`, or name a model that has it, such as EPYC"),
    ]
}

/// What has no RDRAND, and where that is said.
fn lacking(subject: &Subject<'_>) -> Option<(Span, String)> {
    let default = Cpu::default();
    let cpu = subject.domain.cpu.as_ref().unwrap_or(&default);
    // Of several the last one counts, as for QEMU.
    match cpu.features.iter().rfind(|feature| feature.name == "rdrand").map(|feature| feature.policy) {
        Some(Some(FeaturePolicy::Disable | FeaturePolicy::Forbid)) => {
            let is_rdrand = |feature: &Element<'_>| {
                feature.attribute("name").is_some_and(|name| name.value() == "rdrand")
            };
            let feature = subject.element(&["cpu"])?.children_named("feature").filter(is_rdrand).last()?;
            return Some((feature.span(), "this leaves the guest".to_owned()));
        }
        Some(None | Some(FeaturePolicy::Force | FeaturePolicy::Require)) => return None,
        Some(Some(FeaturePolicy::Optional)) | None => {}
    }
    if !matches!(cpu.mode, None | Some(CpuMode::Custom)) {
        return None;
    }
    match cpu.model.as_ref().and_then(|model| model.name.as_deref()) {
        Some(name) if lacks(name) => {
            let model = subject.element(&["cpu", "model"])?;
            Some((model.text_span(), format!("CPU model `{name}` has")))
        }
        Some(_) => None,
        None => Some((
            subject.nearest(&["cpu"]),
            "no CPU model is named, and QEMU's usual one, qemu64, has".to_owned(),
        )),
    }
}

fn lacks(model: &str) -> bool {
    let base = match model.rsplit_once("-v") {
        Some((base, version)) if version.parse::<u8>().is_ok() => base,
        _ => model,
    };
    WITHOUT.contains(&base.strip_suffix("-IBRS").unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use domain::{Document, Domain};
    use host::Facts;

    use super::*;

    /// What is said of a guest with this `<cpu>`, and what it points at.
    #[track_caller]
    fn check(kind: &str, cpu: &str, expected: Option<(&str, &str)>) {
        let text = format!(
            "<domain type='{kind}'><name>a</name>{cpu}\
             <launchSecurity type='sev'><policy>3</policy></launchSecurity></domain>"
        );
        let document = Document::parse(&text).unwrap();
        let (domain, problems) = Domain::read(&document);
        let facts = Facts::default();
        let subject = Subject { document: &document, domain: &domain, problems: &problems, facts: &facts };
        let found = super::check(&subject);
        let found = found.first().map(|finding| (finding.span.of(&text), finding.message.as_str()));
        let matches = match (found, expected) {
            (Some((at, message)), Some((place, start))) => at == place && message.starts_with(start),
            (None, None) => true,
            _ => false,
        };
        assert!(matches, "{found:?}");
    }

    #[test]
    fn what_lacks_it_is_pointed_at() {
        let model = "<cpu mode='custom'><model>kvm64</model></cpu>";
        check("kvm", model, Some(("kvm64", "CPU model `kvm64` has no RDRAND")));
        check("kvm", "", Some(("<domain type='kvm'>", "no CPU model is named")));
        // That it is emulated is another fault, and the mend of that one would not mend this.
        check("qemu", "", Some(("<domain type='qemu'>", "no CPU model is named")));
        check(
            "kvm",
            "<cpu><topology sockets='1' cores='1' threads='1'/></cpu>",
            Some(("<cpu>", "no CPU model")),
        );
        let disabled = "<feature policy='disable' name='rdrand'/>";
        let host = format!("<cpu mode='host-model'>{disabled}</cpu>");
        check("kvm", &host, Some((disabled, "this leaves the guest no RDRAND")));
    }

    #[test]
    fn what_has_it_is_left_alone() {
        check("kvm", "<cpu mode='host-model'/>", None);
        check("kvm", "<cpu mode='host-passthrough'/>", None);
        check("kvm", "<cpu><model>EPYC-Milan</model></cpu>", None);
        check("kvm", "<cpu><model>qemu64</model><feature policy='require' name='rdrand'/></cpu>", None);
    }

    #[test]
    fn models_are_told_by_their_family() {
        for model in ["qemu64", "qemu64-v1", "Nehalem-IBRS", "Opteron_G5-v1", "SandyBridge"] {
            assert!(lacks(model), "{model}");
        }
        for model in ["EPYC", "EPYC-Rome-v4", "IvyBridge-IBRS", "host", "max", "Dhyana-v2", "-v1", ""] {
            assert!(!lacks(model), "{model}");
        }
    }
}
