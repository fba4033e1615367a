//! What is known of a confidential guest's launch, and the secret that its owner may inject.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use qemu::qmp::command::{QuerySev, QuerySevLaunchMeasure, SevGuest, SevInjectLaunchSecret};
use rpc::remote::common::DomFlags;
use rpc::remote::domain::LaunchSecurityStateArgs;
use rpc::remote::typed_param;
use rules::ops::{Operation, refused};

use super::affect::{check, invalid, op_invalid, unsupported};
use super::config::alone;
use crate::service::params::{Given, Params};
use crate::service::{Failure, Service, blocking};

/// The longest header and secret that are taken, in base64.
const LONGEST: usize = 64 << 10;

/// `virDomainState`: paused.
const PAUSED: i32 = 3;

/// `DOMAIN_GET_LAUNCH_SECURITY_INFO`: nothing for a guest that is not confidential.
pub(crate) async fn info(
    service: &Service,
    args: &DomFlags<'_>,
) -> Result<typed_param::Params<'static, 64>, Failure> {
    // Strings may be among the parameters.
    check(args.flags, 4, "virDomainGetLaunchSecurityInfo")?;
    let vm = service.domains.of(&args.dom)?;
    let asks_for_it = vm.current()?.launch_security.is_some();
    if !asks_for_it {
        return Ok(Params::default().all());
    }
    let guest = vm.running()?;
    let sev = guest.ask(QuerySev).await?;
    let mut params = Params::default();
    if let SevGuest::Sev { .. } = sev.guest {
        let measured = guest.ask(QuerySevLaunchMeasure).await.map(|measured| measured.data);
        let known = measured.ok().or_else(|| guest.sev()?.measurement);
        params.add_some("sev-measurement", known);
    }
    params.add("sev-api-major", u32::from(sev.api_major));
    params.add("sev-api-minor", u32::from(sev.api_minor));
    params.add("sev-build-id", u32::from(sev.build_id));
    match sev.guest {
        SevGuest::Sev { policy, .. } => params.add("sev-policy", policy),
        SevGuest::Snp { policy } => params.add("sev-snp-policy", policy),
    }
    Ok(params.all())
}

/// `DOMAIN_SET_LAUNCH_SECURITY_STATE`. Neither header nor secret is written anywhere but to QEMU.
pub(crate) async fn set_state(
    service: &Arc<Service>,
    args: &LaunchSecurityStateArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, 4, "virDomainSetLaunchSecurityState")?;
    let mut given = Given::new(&args.params.0)?;
    let header = given.string("sev-secret-header")?.map(str::to_owned);
    let secret = given.string("sev-secret")?.map(str::to_owned);
    let gpa = given.ullong("sev-secret-set-address")?;
    given.finish()?;
    let vm = service.domains.of(&args.dom)?;
    let none = || unsupported("setting a launch secret is only supported in SEV-enabled domains");
    if vm.current()?.launch_security.is_none() {
        return Err(none());
    }
    let (Some(header), Some(secret)) = (header, secret) else {
        return Err(invalid("Both sev-secret-header and sev-secret are required parameters"));
    };
    is_base64("sev-secret-header", &header)?;
    is_base64("sev-secret", &secret)?;
    let (service, this) = (Arc::clone(service), Arc::clone(&vm));
    alone(&vm, async move {
        let guest = this.running()?;
        let technology = guest.technology().ok_or_else(none)?;
        if let Some(reason) = refused(Operation::InjectSecret, technology) {
            return Err(unsupported(format!("{technology} guests {}: {}", reason.message, reason.help)));
        }
        if guest.state().state != PAUSED {
            return Err(op_invalid("domain must be in a paused state"));
        }
        if gpa.is_none() {
            let loader = guest.live().os.loader.as_ref().and_then(|loader| loader.path.clone());
            has_secret_area(&service, loader).await?;
        }
        guest.ask(SevInjectLaunchSecret { header, secret, gpa }).await?;
        tracing::info!(domain = %this.name(), %technology, "a launch secret was injected");
        Ok(())
    })
    .await
}

fn is_base64(name: &str, text: &str) -> Result<(), Failure> {
    if text.len() > LONGEST {
        return Err(invalid(format!("{name} is longer than {LONGEST} characters")));
    }
    match base64::engine::general_purpose::STANDARD.decode(text.trim()) {
        Ok(bytes) if !bytes.is_empty() => Ok(()),
        _ => Err(invalid(format!("{name} is not base64"))),
    }
}

/// Refuses an injection without an address into a guest whose firmware has no place for it: QEMU would put it to
/// address 0 where the table says so.
async fn has_secret_area(service: &Arc<Service>, loader: Option<String>) -> Result<(), Failure> {
    let Some(loader) = loader else {
        return Err(op_invalid(
            "the guest's firmware is not known: say where the secret goes (--set-address)",
        ));
    };
    blocking(service, move |_| {
        crate::expected::check_secret_area(Path::new(&loader)).map_err(|error| {
            op_invalid(format!(
                "{}: say where the secret goes (--set-address), or use firmware that has a place for it",
                crate::chain(&error)
            ))
        })
    })
    .await
}
