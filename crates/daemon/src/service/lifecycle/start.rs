//! Starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use domain::model::PrintForm;
use domain::{Document, Domain};
use qemu::Technology;
use rpc::error::RemoteError;
use rpc::remote::object;
use rpc::xdr::Uuid;
use rules::{Finding, Severity};

use super::{end, watch};
use crate::locked;
use crate::service::client::AtEnd;
use crate::service::domain::{blocking, define, only_flags, undefine, xml};
use crate::service::domains::Vm;
use crate::service::{Client, Failure, Service, tune};
use crate::start::{InBackground, Options, Prepared, StartError};
use crate::vm::{Guest, How as Stop, Outcome, Reactions, Record};

/// `virDomainCreateFlags`.
mod flag {
    pub(super) const PAUSED: u32 = 1;
    pub(super) const AUTODESTROY: u32 = 1 << 1;
    /// Of a saved guest's image, which there never is.
    pub(super) const BYPASS_CACHE: u32 = 1 << 2;
    /// Not from a saved guest's image, which there never is.
    pub(super) const FORCE_BOOT: u32 = 1 << 3;
    pub(super) const VALIDATE: u32 = 1 << 4;
    pub(super) const RESET_NVRAM: u32 = 1 << 5;
    pub(super) const START: u32 = PAUSED | AUTODESTROY | BYPASS_CACHE | FORCE_BOOT | RESET_NVRAM;
    pub(super) const CREATE: u32 = PAUSED | AUTODESTROY | VALIDATE | RESET_NVRAM;
}

/// How a domain is to be started.
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct How {
    pub(super) paused: bool,
    pub(super) reset_nvram: bool,
    /// It ends when this client's connection does.
    pub(super) bound_to: Option<Arc<Client>>,
    /// Started from this instead of its definition.
    pub(super) text: Option<Arc<str>>,
}

impl How {
    fn of(flags: u32, client: &Arc<Client>) -> Self {
        Self {
            paused: flags & flag::PAUSED != 0,
            reset_nvram: flags & flag::RESET_NVRAM != 0,
            bound_to: (flags & flag::AUTODESTROY != 0).then(|| Arc::clone(client)),
            text: None,
        }
    }
}

/// `DOMAIN_CREATE_WITH_FLAGS`.
pub(in crate::service) async fn create(
    service: &Arc<Service>,
    client: &Arc<Client>,
    vm: Arc<Vm>,
    flags: u32,
) -> Result<object::Domain<'static>, Failure> {
    only_flags(flags, flag::START, "virDomainCreateWithFlags")?;
    start(service, &vm, How::of(flags, client)).await?;
    Ok(vm.object())
}

/// `DOMAIN_CREATE_XML`: a domain that lives as long as its guest.
pub(in crate::service) async fn create_xml(
    service: &Arc<Service>,
    client: &Arc<Client>,
    text: &str,
    flags: u32,
) -> Result<object::Domain<'static>, Failure> {
    only_flags(flags, flag::CREATE, "virDomainCreateXML")?;
    let (its, text) = (Arc::clone(service), text.to_owned());
    let ready = blocking(move || define::ready(&its, &text)).await?;
    let how = How { text: Some(ready.domain.print().into()), ..How::of(flags, client) };
    // Whom somebody removed meanwhile is asked for again.
    loop {
        let vm = service.domains.admit(&ready.name, ready.uuid)?;
        if try_to_start(service, &vm, how.clone()).await? {
            return Ok(vm.object());
        }
    }
}

/// Starts a domain, once nobody else changes it.
pub(in crate::service) async fn start(service: &Arc<Service>, vm: &Arc<Vm>, how: How) -> Result<(), Failure> {
    if try_to_start(service, vm, how).await? {
        return Ok(());
    }
    Err(Box::new(RemoteError::no_domain_with_uuid(vm.uuid, Some(&vm.name()))))
}

/// The same; false where the domain has been removed. It is done to its end even if the client is gone meanwhile.
async fn try_to_start(service: &Arc<Service>, vm: &Arc<Vm>, how: How) -> Result<bool, Failure> {
    let (service, vm) = (Arc::clone(service), Arc::clone(vm));
    let started = tokio::spawn(async move {
        let job = Arc::clone(&vm.job).lock_owned().await;
        let started = start_alone(&service, &vm, how).await;
        service.domains.settle(&vm);
        drop(job);
        started
    });
    started.await.unwrap_or_else(|error| Err(Box::new(RemoteError::internal(error.to_string()))))
}

/// The same for whoever holds the domain's job.
async fn start_alone(service: &Arc<Service>, vm: &Arc<Vm>, how: How) -> Result<bool, Failure> {
    if !service.domains.holds(vm) {
        return Ok(false);
    }
    if vm.guest().is_some() {
        let detail = match how.text {
            Some(_) => format!("domain '{}' is already active", vm.name()),
            None => "domain is already running".to_owned(),
        };
        return Err(Box::new(RemoteError::operation_invalid(detail)));
    }
    let Some(text) = how.text.clone().or_else(|| vm.definition()) else { return Ok(false) };
    let begun = Instant::now();
    let (its, options) = (Arc::clone(service), how.clone());
    let ready = blocking(move || prepare(&its, &text, &options)).await?;
    let prepared = begun.elapsed();
    let guest = launch(service, vm, &how, ready)?;
    let up = match guest.set_up().await {
        Ok(()) => {
            if let Err(error) = tune::at_start(&guest).await {
                tracing::warn!(domain = %vm.name(), %error, "start failed: what its domain asks for cannot be done");
                guest.stop(Stop::Terminate).await;
                guest.ended().await;
                return Err(error);
            }
            guest.go().await;
            guest.up().await
        }
        Err(outcome) => Err(outcome),
    };
    match up {
        Ok(()) => {
            tracing::info!(
                domain = %vm.name(),
                uuid = %vm.uuid,
                id = guest.id(),
                pid = guest.pid(),
                paused = how.paused,
                prepared_ms = millis(prepared),
                launched_ms = millis(begun.elapsed().saturating_sub(prepared)),
                "started"
            );
            Ok(true)
        }
        Err(outcome) => {
            let failure = cannot_start(&outcome, &guest.record().warned);
            tracing::warn!(domain = %vm.name(), uuid = %vm.uuid, error = %failure, "start failed");
            Err(failure)
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// A start that nothing speaks against.
struct Ready {
    prepared: Prepared,
    technology: Option<Technology>,
    /// Codes of the errors that lint found and the domain allows.
    allowed: Vec<String>,
    /// What lint warns of: it may tell why the guest dies.
    warned: Vec<String>,
}

/// Everything that can be refused before QEMU runs is refused here. May block.
fn prepare(service: &Service, text: &str, how: &How) -> Result<Ready, Failure> {
    let document = Document::parse(text).map_err(|error| xml::ill_formed(&error))?;
    let (domain, problems) = Domain::read(&document);
    let facts = service.host.facts_about(&domain);
    let report = rules::lint_read(&document, domain, &problems, &facts, &service.allowed);
    let errors: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    if !errors.is_empty() {
        let said: Vec<String> = errors.into_iter().map(said).collect();
        return Err(Box::new(RemoteError::config_unsupported(format!(
            "lint refuses to start the domain: {}",
            said.join("\n")
        ))));
    }
    for finding in &report.allowed {
        tracing::warn!(domain = %report.domain.name, code = finding.code, "allowed: {}", finding.message);
    }
    let allowed = report.allowed.iter().map(|finding| finding.code.to_owned()).collect();
    let warned = report.findings.iter().filter(|finding| finding.severity == Severity::Warning);
    let warned = warned.map(said).collect();
    let domain = report.domain;
    // Lint has refused what cannot be carried out.
    let reactions = Reactions::of(&domain)
        .map_err(|error| Box::new(RemoteError::config_unsupported(error.to_string())))?;
    let technology = domain.launch_security.as_ref().and_then(Technology::of);
    let caps = service.host.caps(&crate::start::emulator(&domain))?;
    refuse_shared_variables(service, &domain, how)?;
    if how.reset_nvram {
        reset_variables(&domain)?;
    }
    let background = InBackground {
        reactions,
        log: log_path(service, &domain.name),
        nvram_dir: service.paths.state.join("nvram"),
        networks: crate::network::meanings(service, &domain)?,
    };
    let options = Options {
        attest: None,
        stay_paused: how.paused,
        console: None,
        timeout: None,
        run_base: service.paths.run.join("guests"),
        isolation: service.isolation.clone(),
        background: Some(background),
    };
    let prepared = crate::start::prepare(domain, &caps, &facts, options).map_err(|error| refusal(&error))?;
    for line in &prepared.notes {
        tracing::info!(domain = %prepared.live.name, "{line}");
    }
    for line in &prepared.unmodelled {
        tracing::warn!(domain = %prepared.live.name, "not carried out: {line}");
    }
    Ok(Ready { prepared, technology, allowed, warned })
}

/// A finding as lint shows it: code, name, message and help.
fn said(finding: &Finding) -> String {
    let Finding { code, name, message, help, .. } = finding;
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{code} ({name}): {message}{help}")
}

/// Two guests never write to one file of variables, and nobody's are thrown away with another's.
fn refuse_shared_variables(service: &Service, domain: &Domain, how: &How) -> Result<(), Failure> {
    let own = domain.uuid.map(|uuid| Uuid(uuid.into_bytes()));
    let Some(path) = undefine::variables(domain) else { return Ok(()) };
    let Some(other) = undefine::other_user(service, own, &path) else { return Ok(()) };
    let shown = path.display();
    if how.reset_nvram || service.domains.by_name(&other).is_ok_and(|vm| vm.is_active()) {
        return Err(Box::new(RemoteError::operation_invalid(format!(
            "the firmware variables {shown} are those of domain '{other}' too: give each domain a file of its own"
        ))));
    }
    tracing::warn!(domain = %domain.name, %other, "both domains name the firmware variables {shown}");
    Ok(())
}

/// Has the guest's variables made anew from their template.
fn reset_variables(domain: &Domain) -> Result<(), Failure> {
    let Some(path) = domain.os.nvram.as_ref().and_then(|nvram| nvram.path.as_deref()) else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let detail = format!("cannot reset nvram {path}: {}", crate::os_words(&error));
            Err(Box::new(RemoteError::system_error(detail)))
        }
        _ => Ok(()),
    }
}

fn refusal(error: &StartError) -> Failure {
    let words = crate::chain(error);
    Box::new(match error {
        StartError::File { path, source, .. } => RemoteError::system_error(format!(
            "Cannot access storage file '{}': {}",
            path.display(),
            crate::os_words(source)
        )),
        StartError::RunDir(_)
        | StartError::Tap(_)
        | StartError::Variables { .. }
        | StartError::Log { .. } => RemoteError::system_error(words),
        _ => RemoteError::config_unsupported(words),
    })
}

/// Why a guest did not come up: how it ended, what QEMU said last, what lint thinks of it.
fn cannot_start(outcome: &Outcome, warned: &[String]) -> Failure {
    use crate::vm::End;
    let words = end::with_last_words(String::new(), outcome, warned);
    Box::new(match &outcome.end {
        End::RefusedToStart(_) => {
            RemoteError::internal(format!("process exited while connecting to monitor: {words}"))
        }
        End::Stopped(_) => RemoteError::operation_failed("domain was destroyed while it was being started"),
        End::CannotResume(reason) => RemoteError::operation_unsupported(reason.clone()),
        End::TimedOut(_) => RemoteError::operation_timeout(format!("{}{words}", outcome.end)),
        other => RemoteError::operation_failed(format!("{other}{words}")),
    })
}

/// Has QEMU start. From here on the domain is active.
fn launch(service: &Arc<Service>, vm: &Arc<Vm>, how: &How, ready: Ready) -> Result<Arc<Guest>, Failure> {
    let Ready { prepared, technology, allowed, warned } = ready;
    let Prepared { request, mut live, cannot_resume, .. } = prepared;
    let id = service.domains.next_id();
    live.id = Some(id);
    let record = Record {
        technology,
        cannot_resume,
        allowed,
        warned,
        bound: how.bound_to.is_some(),
        ..Record::new(vm.uuid.to_string(), vm.name(), id)
    };
    let bound = Arc::new(std::sync::Mutex::new(None::<AtEnd>));
    let afterwards =
        end::afterwards(service, vm, how.bound_to.clone().map(|client| (client, Arc::clone(&bound))));
    let observer = watch::observer(service, vm);
    let launched = Guest::launch(request, record, live, observer, afterwards, |guest| {
        let mut state = locked(&vm.state);
        state.id = Some(id);
        state.guest = Some(Arc::clone(guest));
        state.updated = false;
        state.messages.clear();
    });
    let guest = launched.map_err(|error| {
        let detail = format!("cannot write down the start of '{}': {}", vm.name(), crate::os_words(&error));
        Box::new(RemoteError::system_error(detail))
    })?;
    if let Some(client) = &how.bound_to {
        let held = Arc::downgrade(&guest);
        let registered = client.on_disconnect(move || {
            if let Some(guest) = held.upgrade() {
                tokio::spawn(async move { guest.stop(Stop::Terminate).await });
            }
        });
        *locked(&bound) = Some(registered);
    }
    Ok(guest)
}

/// What a guest is started from again when it reboots: as it ran, not as it was defined meanwhile.
pub(super) fn as_it_ran(live: &Domain) -> Arc<str> {
    live.print_as(PrintForm::DEFINITION).into()
}
/// Where what QEMU says of a domain is kept.
pub(super) fn log_path(service: &Service, name: &str) -> PathBuf {
    service.paths.log.join(crate::store::file_name(name)).with_extension("log")
}
