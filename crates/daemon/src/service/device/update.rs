//! `update-device`: other media, links up and down, passwords.

use std::sync::Arc;

use domain::Domain;
use domain::model::Kept;
use domain::model::disk::{BackingStore, Disk, DiskDevice};
use domain::model::graphics::{Graphics, GraphicsAuth, GraphicsKind};
use domain::model::interface::{Interface, InterfaceSource, LinkState};
use qemu::plan::{Network, hotplug};
use qemu::qmp::device::{
    BlockdevCloseTray, BlockdevInsertMedium, BlockdevOpenTray, BlockdevRemoveMedium, SetLink, SetPassword,
};
use qemu::qmp::figures::{Drive, QueryBlock};
use rpc::error::RemoteError;
use rpc::remote::common::DomXmlFlags;

use super::affect::{self, affected, check, config_unsupported, internal, missing, unsupported};
use super::config::{self, alone};
use super::fragment::{self, Device, Fragment};
use super::{find, is_up, live, qemu_dir};
use crate::network::meanings_of;
use crate::service::domains::Vm;
use crate::service::{Failure, Service, blocking, tune};
use crate::vm::Guest;

/// `VIR_DOMAIN_DEVICE_MODIFY_FORCE`: against the guest's will.
const FORCE: u32 = 4;

/// `DOMAIN_UPDATE_DEVICE_FLAGS`.
pub(crate) async fn update_flags(service: &Arc<Service>, args: &DomXmlFlags<'_>) -> Result<(), Failure> {
    check(args.flags, affect::LIVE | affect::CONFIG | FORCE, "virDomainUpdateDeviceFlags")?;
    let vm = service.domains.of(&args.dom)?;
    let (service, this, xml, flags) =
        (Arc::clone(service), Arc::clone(&vm), args.xml.to_string(), args.flags);
    alone(&vm, async move {
        let affected = affected(&this, flags)?;
        let fragment = fragment::parse(&xml)?;
        if affected.config {
            let mut defined = affect::defined(&this)?;
            redefine(&mut defined, &fragment)?;
        }
        if let Some(guest) = &affected.live {
            update_live(&service, &this, guest, &fragment, flags & FORCE != 0).await?;
        }
        if affected.config {
            config::change(&service, &this, move |domain| redefine(domain, &fragment)).await?;
            config::tell(&service, &this);
        }
        Ok(())
    })
    .await
}

async fn update_live(
    service: &Arc<Service>,
    vm: &Arc<Vm>,
    guest: &Arc<Guest>,
    fragment: &Fragment,
    force: bool,
) -> Result<(), Failure> {
    // What sevirt has no notion of stays as it was, or is refused.
    let whole = |known: &Kept, asked: &Kept| if known == asked { Ok(()) } else { fragment.whole() };
    match &fragment.device {
        Device::Disk(asked) => {
            let live = guest.live();
            let known = live.devices.disks.iter().find(|known| known.target.dev == asked.target.dev);
            let known = known.ok_or_else(|| missing(format!("disk '{}' not found", asked.target.dev)))?;
            whole(&known.info.kept, &asked.info.kept)?;
            same_disk(known, asked)?;
            match known.device {
                DiskDevice::Cdrom | DiskDevice::Floppy => {
                    change_medium(service, vm, guest, Disk::clone(asked), force).await
                }
                DiskDevice::Disk | DiskDevice::Lun => {
                    same_source(known, asked)?;
                    guest.note_live(|live| {
                        let disks = &mut live.devices.disks;
                        if let Some(known) =
                            disks.iter_mut().find(|known| known.target.dev == asked.target.dev)
                        {
                            known.startup_policy = asked.startup_policy;
                        }
                    });
                    Ok(())
                }
            }
        }
        Device::Interface(asked) => {
            let live = guest.live();
            let at = find::interface(&live.devices.interfaces, asked)?;
            let known = live.devices.interfaces.get(at).ok_or_else(|| internal("no interface"))?;
            whole(&known.info.kept, &asked.info.kept)?;
            same_card(known, asked)?;
            let alias = known.info.alias.clone().ok_or_else(|| internal("the interface has no alias"))?;
            if known.source != asked.source {
                rejoin(service, known, asked).await?;
                guest.note_live(|live| {
                    for known in &mut live.devices.interfaces {
                        if known.info.alias.as_ref() == Some(&alias) {
                            known.source = asked.source.clone();
                        }
                    }
                });
            }
            if is_up(known.link) != is_up(asked.link) {
                guest.ask(SetLink { name: alias.clone(), up: is_up(asked.link) }).await?;
            }
            // It may have gone meanwhile, or another come before it.
            guest.note_live(|live| {
                for known in &mut live.devices.interfaces {
                    if known.info.alias.as_ref() == Some(&alias) {
                        known.link = asked.link;
                    }
                }
            });
            Ok(())
        }
        Device::Graphics(asked) => {
            let mut known = display(&mut Domain::clone(&guest.live()), asked)?.clone();
            let protocol = match &asked.kind {
                GraphicsKind::Vnc(_) => "vnc",
                _ => "spice",
            };
            let of = asked;
            let (Some(known), Some(asked)) = (auth(&mut known.kind), auth_of(&asked.kind)) else {
                return Err(unsupported("live update of this display is not supported"));
            };
            if known.password_valid_to != asked.password_valid_to || known.connected != asked.connected {
                return Err(unsupported("of a display that runs, only its password can be changed"));
            }
            if known.password != asked.password {
                let password = asked.password.clone().ok_or_else(|| {
                    unsupported("a display's password cannot be taken away while it runs: set another one")
                })?;
                guest.ask(SetPassword { protocol, password: password.clone() }).await?;
                guest.change_live(|live| {
                    if let Some(known) = auth(&mut display(live, of)?.kind) {
                        known.password = Some(password);
                    }
                    Ok::<_, Failure>(())
                })?;
            }
            Ok(())
        }
        _ => Err(config_unsupported(format!(
            "live update of device '{}' is not supported",
            find::kind_of_update(fragment.kind)
        ))),
    }
}

/// Of a disk only its medium, and what is done where there is none, is changed while it runs. What is not said stays.
fn same_disk(known: &Disk, asked: &Disk) -> Result<(), Failure> {
    fn other<T: PartialEq>(known: &Option<T>, asked: &Option<T>) -> bool {
        asked.is_some() && known != asked
    }
    let (was, is) = (&known.driver, &asked.driver);
    let rates = known.io_tune.as_deref().cloned().unwrap_or_default();
    let wanted = asked.io_tune.as_deref().cloned().unwrap_or_default();
    let rate = rates.named().zip(wanted.named()).find(|((_, was), (_, is))| *is > 0 && was != is);
    if let Some((_, (name, _))) = rate {
        return Err(unsupported(format!("cannot modify field 'blkdeviotune {name}' of the disk")));
    }
    let is_readonly = |disk: &Disk| disk.readonly || disk.device == DiskDevice::Cdrom;
    let fields = [
        ("device", known.device != asked.device),
        ("bus", other(&known.target.bus, &asked.target.bus)),
        ("removable", other(&known.target.removable, &asked.target.removable)),
        ("rotation rate", other(&known.target.rotation_rate, &asked.target.rotation_rate)),
        ("blockio", other(&known.block_io, &asked.block_io)),
        ("serial", other(&known.serial, &asked.serial)),
        ("wwn", other(&known.wwn, &asked.wwn)),
        ("vendor", other(&known.vendor, &asked.vendor)),
        ("product", other(&known.product, &asked.product)),
        ("cache", other(&was.cache, &is.cache)),
        ("error_policy", other(&was.error_policy, &is.error_policy)),
        ("rerror_policy", other(&was.rerror_policy, &is.rerror_policy)),
        ("io", other(&was.io, &is.io)),
        ("ioeventfd", other(&was.ioeventfd, &is.ioeventfd)),
        ("event_idx", other(&was.event_idx, &is.event_idx)),
        ("copy_on_read", other(&was.copy_on_read, &is.copy_on_read)),
        ("discard", other(&was.discard, &is.discard)),
        ("detect_zeroes", other(&was.detect_zeroes, &is.detect_zeroes)),
        ("queues", other(&was.queues, &is.queues)),
        ("readonly", is_readonly(known) != is_readonly(asked)),
        ("shared", known.shareable != asked.shareable),
        ("transient", known.transient != asked.transient),
        ("boot order", other(&known.info.boot_order, &asked.info.boot_order)),
    ];
    match fields.iter().find(|(_, differs)| *differs) {
        Some((field, _)) => Err(unsupported(format!("cannot modify field '{field}' of the disk"))),
        None => Ok(()),
    }
}

fn same_source(known: &Disk, asked: &Disk) -> Result<(), Failure> {
    if known.source == asked.source {
        return Ok(());
    }
    Err(config_unsupported("disk source can be changed only in removable drives"))
}

/// Takes an interface from its bridge to another.
async fn rejoin(service: &Arc<Service>, known: &Interface, asked: &Interface) -> Result<(), Failure> {
    let (known, asked) = (known.clone(), asked.clone());
    blocking(service, move |service| {
        let bridge = |interface: &Interface| -> Result<Option<String>, Failure> {
            Ok(match &interface.source {
                InterfaceSource::Bridge { bridge } => Some(bridge.clone()),
                InterfaceSource::Network { network, .. } => {
                    match meanings_of(service, std::slice::from_ref(interface))?.remove(network) {
                        Some(Network::Bridge(bridge)) => Some(bridge),
                        Some(Network::User) | None => None,
                    }
                }
                _ => None,
            })
        };
        match (&known.target, bridge(&known)?, bridge(&asked)?) {
            (Some(device), Some(from), Some(to)) => crate::tap::rejoin(device, &from, &to)
                .map_err(|error| Box::new(RemoteError::operation_failed(crate::chain(&error)))),
            _ => Err(unsupported(
                "cannot modify network device source while the guest runs: only an interface on a bridge takes another",
            )),
        }
    })
    .await
}

/// Of an interface only its link and its bridge are changed while it runs.
fn same_card(known: &Interface, asked: &Interface) -> Result<(), Failure> {
    let differs =
        |what: &str| Err(unsupported(format!("cannot modify network device {what} while the guest runs")));
    if let (Some(known), Some(asked)) = (&known.model, &asked.model)
        && known != asked
    {
        return Err(unsupported(format!("cannot modify network device model from {known} to {asked}")));
    }
    if asked.driver != Default::default() && known.driver != asked.driver || known.virtio != asked.virtio {
        return differs("driver");
    }
    if asked.mtu.is_some() && known.mtu != asked.mtu {
        return differs("MTU");
    }
    if asked.info.boot_order != known.info.boot_order {
        return differs("boot index");
    }
    Ok(())
}

/// The display of the same kind.
fn display<'d>(domain: &'d mut Domain, asked: &Graphics) -> Result<&'d mut Graphics, Failure> {
    let kind = std::mem::discriminant(&asked.kind);
    let found = domain.devices.graphics.iter_mut().find(|known| std::mem::discriminant(&known.kind) == kind);
    found.ok_or_else(|| missing("cannot find existing graphics device to modify"))
}

fn auth(kind: &mut GraphicsKind) -> Option<&mut GraphicsAuth> {
    match kind {
        GraphicsKind::Vnc(vnc) => Some(&mut vnc.auth),
        GraphicsKind::Spice(spice) => Some(&mut spice.auth),
        _ => None,
    }
}

fn auth_of(kind: &GraphicsKind) -> Option<&GraphicsAuth> {
    match kind {
        GraphicsKind::Vnc(vnc) => Some(&vnc.auth),
        GraphicsKind::Spice(spice) => Some(&spice.auth),
        _ => None,
    }
}

/// Changes a definition.
fn redefine(domain: &mut Domain, fragment: &Fragment) -> Result<(), Failure> {
    match &fragment.device {
        Device::Disk(asked) => {
            let known = domain.devices.disks.iter_mut().find(|known| known.target.dev == asked.target.dev);
            let known = known.ok_or_else(|| {
                Box::new(RemoteError::invalid_arg(format!("target {} doesn't exist.", asked.target.dev)))
            })?;
            let mut new = Disk::clone(asked);
            new.target.bus = new.target.bus.or(known.target.bus);
            new.driver.name = new.driver.name.or_else(|| known.driver.name.clone());
            new.driver.format = new.driver.format.or(known.driver.format);
            new.readonly |= new.device == DiskDevice::Cdrom;
            new.info.address = new.info.address.or_else(|| known.info.address.clone());
            new.info.alias = users_own(new.info.alias).or_else(|| known.info.alias.clone());
            new.backing_store = new.backing_store.filter(|below| *below != BackingStore::End);
            *known = new;
        }
        Device::Interface(asked) => {
            let at = find::interface(&domain.devices.interfaces, asked)?;
            if let Some(known) = domain.devices.interfaces.get_mut(at) {
                let mut new = (**asked).clone();
                new.model = new.model.or_else(|| known.model.clone());
                new.info.address = new.info.address.or_else(|| known.info.address.clone());
                new.info.alias = users_own(new.info.alias).or_else(|| known.info.alias.clone());
                new.link = asked.link.or_else(|| known.link.filter(|link| *link == LinkState::Up));
                *known = new;
            }
        }
        Device::Graphics(asked) => {
            let new = (**asked).clone();
            *display(domain, asked)? = new;
        }
        _ => {
            return Err(unsupported(format!(
                "persistent update of device '{}' is not supported",
                find::kind_of_update(fragment.kind)
            )));
        }
    }
    Ok(())
}

/// An alias that the user gave; others belong to running guests.
fn users_own(alias: Option<String>) -> Option<String> {
    alias.filter(|alias| alias.starts_with("ua-"))
}

/// The medium that `attach-device` names, where the guest has a drive for it: it is put in there.
pub(super) fn medium_of_drive(guest: &Guest, fragment: &Fragment) -> Option<Disk> {
    let Device::Disk(asked) = &fragment.device else { return None };
    let live = guest.live();
    let known = live.devices.disks.iter().find(|known| known.target.dev == asked.target.dev)?;
    let is_drive = |disk: &Disk| matches!(disk.device, DiskDevice::Cdrom | DiskDevice::Floppy);
    (is_drive(known) && is_drive(asked)).then(|| Disk::clone(asked))
}

/// Puts another medium into a drive, or none.
pub(super) async fn change_medium(
    service: &Arc<Service>,
    vm: &Arc<Vm>,
    guest: &Arc<Guest>,
    asked: Disk,
    force: bool,
) -> Result<(), Failure> {
    let live = guest.live();
    let target = asked.target.dev.clone();
    let known = live.devices.disks.iter().find(|known| known.target.dev == target);
    let known = known.ok_or_else(|| missing(format!("disk '{target}' not found")))?.clone();
    let id = known.info.alias.clone().ok_or_else(|| internal("the drive has no alias"))?;
    let mut new = known.clone();
    new.source.clone_from(&asked.source);
    new.startup_policy = asked.startup_policy;
    new.driver.format = asked.driver.format.or(known.driver.format);
    new.backing_store = asked.backing_store.filter(|below| matches!(below, BackingStore::Image(_)));
    let before = live::nodes_of(service, guest, &live, &known).await?;
    let (its, dir, asked) = (Arc::clone(&live), qemu_dir(guest), new.clone());
    let here = blocking(service, move |service| {
        live::is_accessible(&asked)?;
        live::surroundings(service, &its, &dir)
    })
    .await?;
    let node = live::next_node(guest).await?;
    let medium = hotplug::medium(&new, node, &here).map_err(|error| live::planned(&error))?;
    // The new one is there before the old one goes: what cannot be opened changes nothing.
    let inserted = match medium {
        None => None,
        Some((steps, top)) => {
            live::admit(service, guest, new.clone()).await?;
            if let Err(error) = live::carry_out(guest, steps.clone()).await {
                live::withdraw(service, guest, new).await;
                return Err(error);
            }
            Some((steps, top))
        }
    };
    let changed = swap(guest, &id, &target, inserted.as_ref().map(|(_, top)| top.clone()), force).await;
    if let Err(error) = changed {
        if let Some((steps, _)) = inserted {
            live::undo(guest, steps).await;
            live::withdraw(service, guest, new).await;
        }
        return Err(error);
    }
    let inserted = inserted.is_some();
    live::undo(guest, before).await;
    if known.source.is_some() && known.source != new.source {
        live::withdraw(service, guest, known).await;
    }
    new.run = if inserted { live::run_of(&new, node).await } else { None };
    guest.note_live(|live| {
        if let Some(known) = live.devices.disks.iter_mut().find(|known| known.target.dev == target) {
            *known = new.clone();
        }
    });
    tune::throttle(guest, &new).await?;
    tracing::info!(domain = %vm.name(), drive = %target, "the medium was changed");
    Ok(())
}

async fn swap(
    guest: &Guest,
    id: &str,
    target: &str,
    node: Option<String>,
    force: bool,
) -> Result<(), Failure> {
    let named = || id.to_owned();
    guest.ask(BlockdevOpenTray { id: named(), force }).await?;
    let drives = guest.ask(QueryBlock).await?;
    let drive: Option<&Drive> = drives.iter().find(|drive| drive.is_of(id));
    if drive.is_some_and(|drive| drive.locked && drive.tray_open == Some(false)) {
        return Err(Box::new(RemoteError::operation_failed(format!(
            "the guest has locked the tray of '{target}' and was asked to open it: try again, or --force it"
        ))));
    }
    if drive.is_some_and(|drive| drive.inserted.is_some()) {
        guest.ask(BlockdevRemoveMedium { id: named() }).await?;
    }
    if let Some(node) = node {
        guest.ask(BlockdevInsertMedium { id: named(), node }).await?;
    }
    guest.ask(BlockdevCloseTray { id: named() }).await?;
    Ok(())
}
