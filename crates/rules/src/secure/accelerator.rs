//! Only KVM runs confidential guests.

use domain::Edit;
use domain::model::DomainKind;

use super::{Change, Wish};
use crate::fix::Safety;
use crate::subject::Subject;

pub(super) fn step(subject: &Subject<'_>, _: &Wish) -> Option<Change> {
    if subject.domain.kind == DomainKind::Kvm {
        return None;
    }
    let edits = vec![Edit::set_attribute(subject.document.root(), "type", "kvm")];
    let effect = "its instructions run on the host's processor instead of being emulated: it sees that processor's \
                  features, and runs many times faster";
    Some(Change::new("accelerator", Safety::Unsafe, "run it by KVM".to_owned(), effect, edits))
}
