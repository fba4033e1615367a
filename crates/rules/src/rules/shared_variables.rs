//! FW019: two domains that write to the same firmware variables.

use domain::{Document, Domain};

use crate::finding::Finding;
use crate::neighbours::Neighbours;
use crate::rule::{Page, Rule, Severity};
use crate::subject::Subject;

pub(crate) static RULE: Rule = Rule {
    code: "FW019",
    name: "shared-variables",
    severity: Severity::Warning,
    allowable: true,
    page: Page {
        what: "Two domains, judged together by one `sevirt lint`, that name the same file in `<nvram>`.",
        why: "Each guest's firmware writes its boot entries there and finds those of the other. The two cannot run at the \
              same time: QEMU locks the file.",
        example: "<nvram>/var/lib/libvirt/qemu/nvram/sev-dummy_VARS.fd</nvram>",
        fix: "Give each domain a file of its own. There is no automatic fix: which of them has the right one is not known.",
        since: "0.1",
        source: "libvirt, \"Launch security with AMD SEV\": the two full examples name the same file; QEMU, \
                 block/file-posix.c, locking.",
    },
};

/// One domain alone shares nothing.
pub(crate) fn check(_: &Subject<'_>) -> Vec<Finding> {
    Vec::new()
}

/// What is found about a domain beside those before it, of which it becomes one.
pub(crate) fn judge(
    neighbours: &mut Neighbours,
    file: &str,
    document: &Document,
    domain: &Domain,
) -> Option<Finding> {
    let path = domain.os.nvram.as_ref()?.path.as_ref().filter(|path| !path.is_empty())?;
    let Some((name, place)) = neighbours.variables.get(path) else {
        neighbours.variables.insert(path.clone(), (domain.name.clone(), file.to_owned()));
        return None;
    };
    if *name == domain.name {
        return None;
    }
    let nvram = document.root().child("os")?.child("nvram")?;
    let message = format!("`{path}` holds the variables of domain `{name}` too ({place})");
    Some(RULE.finding(nvram.text_span(), message).help("give each domain a file of its own"))
}
