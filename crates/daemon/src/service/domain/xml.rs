//! What a domain's XML says, and how it is shown.

use std::sync::Arc;

use domain::model::{DomainKind, Keyword as _, PrintForm, PrintState, Problem, ProblemKind, Secrets};
use domain::{Document, Domain, Edit};
use rpc::Rights;
use rpc::error::{Code, Origin, RemoteError};
use rpc::xdr::Text;

use super::only_flags;
use crate::service::domains::Vm;
use crate::service::{Client, Failure, Service};

/// `virDomainXMLFlags`.
mod flag {
    pub(super) const SECURE: u32 = 1;
    pub(super) const INACTIVE: u32 = 1 << 1;
    pub(super) const UPDATE_CPU: u32 = 1 << 2;
    pub(super) const MIGRATABLE: u32 = 1 << 3;
    pub(super) const ALL: u32 = (1 << 4) - 1;
}

/// Reads a definition of the daemon's own, which was read before when it was taken.
pub(crate) fn parse(text: &str) -> Result<Domain, Failure> {
    let document = Document::parse(text).map_err(|error| ill_formed(&error))?;
    Ok(Domain::read(&document).0)
}

/// As libvirt passes on what its XML parser says.
pub(crate) fn ill_formed(error: &domain::SyntaxError) -> Failure {
    Box::new(RemoteError::new(Code::XML_DETAIL, Origin::XML, error.to_string()))
}

/// Reads a client's document. What libvirt would refuse is refused, whether the client wants it validated or not; what
/// is not known here stays where it is, and is returned.
pub(crate) fn read(text: &str) -> Result<(Domain, Vec<Problem>), Failure> {
    let document = Document::parse(text).map_err(|error| ill_formed(&error))?;
    let root = document.root();
    let refused = |detail: String| Err(Box::new(RemoteError::xml_error(detail)));
    if root.name() != "domain" {
        return refused(format!("expecting root element of 'domain', not '{}'", root.name()));
    }
    if root.child("name").is_none() {
        return Err(Box::new(no_name()));
    }
    if root.child("os").and_then(|os| os.child("type")).is_none() {
        return refused("an os <type> must be specified".to_owned());
    }
    let (domain, problems) = Domain::read(&document);
    if domain.memory.0 == 0 && root.child("memory").is_none() {
        let detail = "Memory size must be specified via <memory> or in the <numa> configuration";
        return refused(detail.to_owned());
    }
    let kind = root.attribute("type").map(|kind| kind.value()).unwrap_or_default();
    if !kind.is_empty() && DomainKind::from_word(&kind).is_none() {
        let emulator = crate::start::emulator(&domain);
        let detail = format!("Emulator '{}' does not support virt type '{kind}'", emulator.display());
        return Err(Box::new(RemoteError::config_unsupported(detail)));
    }
    if domain.name.contains('/') {
        return refused(format!("name {} cannot contain '/'", domain.name));
    }
    for name in ["on_poweroff", "on_reboot", "on_crash"] {
        if problems.iter().any(|problem| problem.kind == ProblemKind::Malformed && problem.path == name) {
            let action = root.child(name).map(|action| action.text().trim().to_owned()).unwrap_or_default();
            let detail = format!("unknown {name} action: {action}");
            return Err(Box::new(RemoteError::config_unsupported(detail)));
        }
    }
    let (malformed, unknown): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.kind == ProblemKind::Malformed);
    if let Some(problem) = malformed.first() {
        let place = document.position(problem.span.start);
        return refused(format!("line {}: {problem}", place.line));
    }
    Ok((domain, unknown))
}

/// libvirt has shorter words for this than its pattern.
fn no_name() -> RemoteError<'static> {
    let words = "missing name information";
    let error = RemoteError::new(Code::NO_NAME, Origin::DOMAIN, "");
    RemoteError { message: Some(words.into()), str1: Some(words.into()), str2: None, ..error }
}

/// `DOMAIN_GET_XML_DESC`.
pub(in crate::service) fn describe(
    service: &Service,
    client: &Client,
    vm: &Vm,
    flags: u32,
) -> Result<Text<'static>, Failure> {
    only_flags(flags, flag::ALL, "virDomainGetXMLDesc")?;
    let secrets = if flags & flag::SECURE != 0 { Secrets::Show } else { Secrets::Hide };
    if secrets == Secrets::Show && client.rights() != Rights::Full {
        let detail = "virDomainGetXMLDesc with secure flag";
        return Err(Box::new(RemoteError::new(Code::OPERATION_DENIED, Origin::DOM, detail)));
    }
    // Nothing here depends on the host's CPU: `host-model` is resolved at each start.
    let _ = flag::UPDATE_CPU;
    let wants_definition = flags & (flag::INACTIVE | flag::MIGRATABLE) != 0;
    let text = match (vm.live(), vm.definition()) {
        (Some(live), None) if wants_definition => {
            live.print_as(PrintForm { state: PrintState::Inactive, secrets })
        }
        (Some(live), _) if !wants_definition => {
            let text = live.print_as(PrintForm { state: PrintState::Live, secrets });
            labelled(text, &service.isolation.label())
        }
        (_, Some(definition)) => shown(&definition, secrets)?,
        (_, None) => return Err(crate::service::domains::not_running()),
    };
    Ok(text.into())
}

/// Says whom a running guest's QEMU and files belong to, as libvirt does: after the devices. A label that the domain
/// brings says it already.
fn labelled(mut text: String, label: &str) -> String {
    const END: &str = "\n  </devices>\n";
    let end = text.rfind(END).map(|at| at + END.len());
    if let Some(end) = end.filter(|end| text.get(*end..).is_some_and(|rest| !rest.contains("\n  <seclabel")))
        && !text.get(end..).is_some_and(|rest| rest.starts_with("  <seclabel"))
    {
        let label = format!(
            "  <seclabel type='dynamic' model='dac' relabel='yes'>\n    <label>{label}</label>\n    \
             <imagelabel>{label}</imagelabel>\n  </seclabel>\n"
        );
        text.insert_str(end, &label);
    }
    text
}

/// A definition as it is stored, without its displays' passwords where they are to be hidden.
fn shown(definition: &Arc<str>, secrets: Secrets) -> Result<String, Failure> {
    if secrets == Secrets::Show || !definition.contains("passwd") {
        return Ok(definition.to_string());
    }
    let document = Document::parse(definition).map_err(|error| ill_formed(&error))?;
    let devices = document.root().children_named("devices");
    let displays = devices.flat_map(|devices| devices.children_named("graphics"));
    let hidden: Vec<Edit> = displays
        .flat_map(|display| {
            let attributes = ["passwd", "passwdValidTo", "connected"];
            attributes.into_iter().filter_map(move |name| Edit::remove_attribute(display, name))
        })
        .collect();
    let hidden = document.apply(&hidden).map_err(|error| RemoteError::internal(crate::chain(&error)))?;
    Ok(hidden.text().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_guests_label_stands_where_libvirt_has_it() {
        let text = "<domain>\n  <devices>\n  </devices>\n  <launchSecurity type='sev'/>\n</domain>\n";
        let said = labelled(text.into(), "+7:+8");
        let expected = "<domain>\n  <devices>\n  </devices>\n  \
            <seclabel type='dynamic' model='dac' relabel='yes'>\n    <label>+7:+8</label>\n    \
            <imagelabel>+7:+8</imagelabel>\n  </seclabel>\n  <launchSecurity type='sev'/>\n</domain>\n";
        assert_eq!(said, expected);
        assert_eq!(labelled(said.clone(), "+9:+9"), said);
    }
}
