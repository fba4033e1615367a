//! A definition as the command line that it stands for.

use std::path::Path;
use std::sync::Arc;

use rpc::error::RemoteError;
use rpc::remote::connect::XmlToNativeArgs;
use rpc::xdr::Text;

use super::{blocking, define, only_flags};
use crate::service::{Failure, Service};

/// The only format that there is: `VIR_DOMAIN_CONFIG_FORMAT`'s name of QEMU's command line.
const FORMAT: &str = "qemu-argv";

/// The first descriptor after the standard ones; a real start passes the one that it has.
const MONITOR: i32 = 3;

/// `CONNECT_DOMAIN_XML_TO_NATIVE`: what a start would run, but for the names of the run's own directory and
/// descriptors. Nothing is defined or started.
pub(in crate::service) async fn from_xml(
    service: &Arc<Service>,
    args: &XmlToNativeArgs<'_>,
) -> Result<Text<'static>, Failure> {
    only_flags(args.flags, 0, "virConnectDomainXMLToNative")?;
    known(&args.native_format)?;
    let (service, text) = (Arc::clone(service), args.domain_xml.as_ref().to_owned());
    blocking(move || {
        let ready = define::ready(&service, &text)?;
        let facts = service.host.facts_about(&ready.domain);
        let caps = service.host.caps(&crate::start::emulator(&ready.domain))?;
        let directory = service.paths.run.join("guests").join(ready.name.replace('/', "_"));
        let plan = crate::start::plan(ready.domain, &caps, &facts, Path::new(&directory), MONITOR)
            .map_err(|error| Box::new(RemoteError::config_unsupported(crate::chain(&error))))?;
        Ok(plan.to_shell_line().into())
    })
    .await
}

/// `CONNECT_DOMAIN_XML_FROM_NATIVE`: a command line says less than a definition, so it is not guessed from.
pub(in crate::service) fn to_xml() -> Failure {
    Box::new(RemoteError::no_support(
        "virConnectDomainXMLFromNative: a QEMU command line does not say what a definition must; write the XML, or \
         import it from libvirt with `sevirt import`",
    ))
}

fn known(format: &str) -> Result<(), Failure> {
    if format == FORMAT {
        return Ok(());
    }
    Err(Box::new(RemoteError::invalid_arg(format!("unsupported config type {format}"))))
}
