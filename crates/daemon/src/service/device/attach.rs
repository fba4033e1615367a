//! `attach-device`.

use std::sync::Arc;

use domain::Domain;
use rpc::error::RemoteError;
use rpc::remote::common::{DomXml, DomXmlFlags};
use rpc::remote::object;

use super::affect::{self, LIVE, affected, check, internal, op_invalid};
use super::config::{self, alone};
use super::fragment::{self, Device, Fragment};
use super::{live, update};
use crate::service::{Failure, Service};

/// `DOMAIN_ATTACH_DEVICE`.
pub(crate) async fn attach(service: &Arc<Service>, args: &DomXml<'_>) -> Result<(), Failure> {
    attach_to(service, &args.dom, &args.xml, LIVE).await
}

/// `DOMAIN_ATTACH_DEVICE_FLAGS`.
pub(crate) async fn attach_flags(service: &Arc<Service>, args: &DomXmlFlags<'_>) -> Result<(), Failure> {
    check(args.flags, LIVE | affect::CONFIG, "virDomainAttachDeviceFlags")?;
    attach_to(service, &args.dom, &args.xml, args.flags).await
}

async fn attach_to(
    service: &Arc<Service>,
    dom: &object::Domain<'_>,
    xml: &str,
    flags: u32,
) -> Result<(), Failure> {
    let vm = service.domains.of(dom)?;
    let (service, this, xml) = (Arc::clone(service), Arc::clone(&vm), xml.to_owned());
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        let mut fragment = fragment::parse(&xml)?;
        same_in_both(&mut fragment)?;
        if affected.config {
            // What the definition would refuse is refused before the guest has it.
            let mut defined = affect::defined(&this)?;
            let (service, fragment) = (Arc::clone(&service), fragment.clone());
            crate::service::blocking(&service, move |service| define(service, &mut defined, &fragment))
                .await?;
        }
        if let Some(guest) = &affected.live {
            match update::medium_of_drive(guest, &fragment) {
                Some(disk) => update::change_medium(&service, &this, guest, disk, false).await?,
                None => live::plug(&service, &this, guest, &fragment).await?,
            }
        }
        if affected.config {
            let its = Arc::clone(&service);
            config::change(&service, &this, move |domain| define(&its, domain, &fragment)).await?;
            config::tell(&service, &this);
        }
        Ok(())
    })
    .await
}

/// Fills in what is chosen at random, so that the guest and the definition get the same.
fn same_in_both(fragment: &mut Fragment) -> Result<(), Failure> {
    if let Device::Interface(interface) = &mut fragment.device
        && interface.mac.is_none()
    {
        let mut random = [0u8; 3];
        getrandom::fill(&mut random).map_err(|error| internal(format!("get random bytes: {error}")))?;
        let [a, b, c] = random;
        interface.mac = Some(domain::model::interface::Mac([0x52, 0x54, 0x00, a, b, c]));
    }
    Ok(())
}

/// Adds a device to a definition, with all that its XML says. May block.
fn define(service: &Service, domain: &mut Domain, fragment: &Fragment) -> Result<(), Failure> {
    if let Device::Disk(disk) = &fragment.device
        && domain.devices.disks.iter().any(|known| known.target.dev == disk.target.dev)
    {
        return Err(op_invalid(format!("target {} already exists", disk.target.dev)));
    }
    live::add(domain, fragment)?;
    let caps = service.host.caps(&crate::start::emulator(domain))?;
    crate::start::complete(domain, &caps).map_err(|error| {
        let mut error: &dyn std::error::Error = &error;
        while let Some(source) = error.source() {
            error = source;
        }
        Box::new(RemoteError::xml_error(error.to_string()))
    })
}
