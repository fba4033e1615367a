//! System management mode, which the host would have to handle for the guest: not with encrypted registers.

use domain::Edit;

use super::{Change, Wish};
use crate::Technology;
use crate::fix::Safety;
use crate::subject::Subject;

pub(super) fn step(subject: &Subject<'_>, wish: &Wish) -> Option<Change> {
    let is_on = subject.domain.features.smm.as_ref().is_some_and(|smm| smm.state.is_on());
    let technology = wish.technology;
    if !is_on || technology < Technology::SevEs || subject.technology() != Some(technology) {
        return None;
    }
    let smm = subject.element(&["features", "smm"])?;
    let edits = vec![Edit::set_attribute(smm, "state", "off")];
    let effect = "a firmware with Secure Boot that guards its variables by system management mode cannot be used; the \
                  operating system does not notice";
    let title = format!("turn system management mode off, which {technology} guests cannot have");
    Some(Change::new("system management mode", Safety::Unsafe, title, effect, edits))
}
