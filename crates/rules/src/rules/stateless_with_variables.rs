//! FW017: firmware without state that is given some.

use domain::Edit;
use domain::model::Switch;

use crate::finding::Finding;
use crate::fix::Fix;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW017",
    name: "stateless-with-variables",
    severity: Severity::Error,
    allowable: true,
    page: Page {
        what: "`<loader stateless='yes'>` together with an `<nvram>`.",
        why: "A stateless firmware keeps no variables; the domain contradicts itself, and libvirt refuses it.",
        example: "<loader readonly='yes' type='pflash' stateless='yes'>/usr/share/OVMF/OVMF.amdsev.fd</loader>\n\
                  <nvram>/var/lib/libvirt/qemu/nvram/guest_VARS.fd</nvram>",
        fix: "Remove the one or the other. `sevirt fix --unsafe` removes `<nvram>`; it is unsafe because the firmware loses \
              its boot entries.",
        since: "0.1",
        source: "libvirt, \"Domain XML format\", section \"BIOS bootloader\", stateless.",
    },
};

pub(crate) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let stateless = subject.domain.os.loader.as_ref().and_then(|loader| loader.stateless);
    let place = subject.element(&["os", "loader"]).and_then(|loader| loader.attribute("stateless"));
    let (Some(Switch::On), Some(place), Some(nvram)) = (stateless, place, subject.element(&["os", "nvram"]))
    else {
        return Vec::new();
    };
    let edits = vec![Edit::remove_element(nvram)];
    vec![
        RULE.finding(nvram.start_tag_span(), "a stateless firmware has no variables, and these are some")
            .label(place.span(), "stateless")
            .help("remove `<nvram>`, or `stateless='yes'`")
            .fix(Fix::unsafe_("remove the variables", edits)),
    ]
}
