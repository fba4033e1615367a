//! `detach-device` and `detach-device-alias`.

use std::sync::Arc;

use domain::Domain;
use rpc::remote::common::{DomDeviceFlags, DomXml, DomXmlFlags};
use rpc::remote::object;

use super::affect::{self, LIVE, affected, check};
use super::config::{self, alone};
use super::find::{self, Found};
use super::fragment::{self, Fragment};
use super::live;
use crate::service::{Failure, Service};

/// How a client names a device.
#[derive(Debug, Clone)]
enum Named {
    Like(Box<Fragment>),
    Alias(String),
}

impl Named {
    fn of_live(&self, domain: &Domain) -> Result<Found, Failure> {
        match self {
            Self::Like(fragment) => find::like(domain, fragment),
            Self::Alias(alias) => find::by_alias(domain, alias),
        }
    }

    fn of_defined(&self, domain: &Domain) -> Result<Found, Failure> {
        match self {
            Self::Like(fragment) => find::defined_like(domain, fragment),
            Self::Alias(alias) => find::by_alias(domain, alias),
        }
    }
}

/// `DOMAIN_DETACH_DEVICE`.
pub(crate) async fn detach(service: &Arc<Service>, args: &DomXml<'_>) -> Result<(), Failure> {
    detach_from(service, &args.dom, Ok(args.xml.to_string()), LIVE).await
}

/// `DOMAIN_DETACH_DEVICE_FLAGS`.
pub(crate) async fn detach_flags(service: &Arc<Service>, args: &DomXmlFlags<'_>) -> Result<(), Failure> {
    check(args.flags, LIVE | affect::CONFIG, "virDomainDetachDeviceFlags")?;
    detach_from(service, &args.dom, Ok(args.xml.to_string()), args.flags).await
}

/// `DOMAIN_DETACH_DEVICE_ALIAS`.
pub(crate) async fn detach_alias(service: &Arc<Service>, args: &DomDeviceFlags<'_>) -> Result<(), Failure> {
    check(args.flags, LIVE | affect::CONFIG, "virDomainDetachDeviceAlias")?;
    detach_from(service, &args.dom, Err(args.device.to_string()), args.flags).await
}

/// `named` is XML, or else an alias.
async fn detach_from(
    service: &Arc<Service>,
    dom: &object::Domain<'_>,
    named: Result<String, String>,
    flags: u32,
) -> Result<(), Failure> {
    let vm = service.domains.of(dom)?;
    let (service, this) = (Arc::clone(service), Arc::clone(&vm));
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        let named = match named {
            Ok(xml) => Named::Like(Box::new(fragment::parse(&xml)?)),
            Err(alias) => Named::Alias(alias),
        };
        // Both are looked at before either is changed.
        if affected.config {
            named.of_defined(&affect::defined(&this)?)?;
        }
        if let Some(guest) = &affected.live {
            let found = named.of_live(&guest.live())?;
            live::unplug(&service, &this, guest, found).await?;
        }
        if affected.config {
            config::change(&service, &this, move |domain| {
                named.of_defined(domain)?.remove(domain);
                Ok(())
            })
            .await?;
            config::tell(&service, &this);
        }
        Ok(())
    })
    .await
}
