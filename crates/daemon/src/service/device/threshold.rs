//! `domblkthreshold`: who is told when a disk is written to beyond some byte.

use std::sync::Arc;

use qemu::qmp::device::SetWriteThreshold;
use qemu::qmp::figures::QueryBlockstats;
use rpc::remote::block::BlockThresholdArgs;
use serde_json::Value;

use super::affect::{check, internal, invalid};
use super::config::alone;
use super::live::image_number;
use crate::service::domains::Vm;
use crate::service::events::Happening;
use crate::service::stats::{disk_path, find_disk};
use crate::service::{Failure, Service};
use crate::vm::Guest;

/// `DOMAIN_SET_BLOCK_THRESHOLD`.
pub(crate) async fn set_block_threshold(
    service: &Service,
    args: &BlockThresholdArgs<'_>,
) -> Result<(), Failure> {
    check(args.flags, 0, "virDomainSetBlockThreshold")?;
    let vm = service.domains.of(&args.dom)?;
    let (this, device, threshold) = (Arc::clone(&vm), args.dev.clone().into_owned(), args.threshold);
    alone(&vm, async move {
        let guest = this.running()?;
        let live = guest.live();
        let disk = find_disk(&live, &device)
            .filter(|disk| disk.target.dev == device)
            .ok_or_else(|| invalid(format!("failed to find disk '{device}'")))?;
        let alias = disk.info.alias.as_deref().unwrap_or_default();
        let drives = guest.ask(QueryBlockstats).await?;
        let number = drives.iter().find(|drive| drive.is_of(alias)).and_then(image_number);
        let number = number.ok_or_else(|| internal(format!("QEMU has no image in disk '{device}'")))?;
        guest.ask(SetWriteThreshold { node: storage(number), threshold }).await?;
        Ok(())
    })
    .await
}

/// The node of an image's file.
pub(crate) fn storage(number: usize) -> String {
    format!("libvirt-{number}-storage")
}

/// `BLOCK_WRITE_THRESHOLD`: it is told of by the disk's name, and by that of its image.
pub(crate) fn exceeded(service: &Arc<Service>, vm: &Arc<Vm>, guest: Arc<Guest>, data: &Value) {
    let text = data.get("node-name").and_then(Value::as_str);
    let figure = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or_default();
    let Some(node) = text.map(str::to_owned) else { return };
    let (threshold, excess) = (figure("write-threshold"), figure("amount-exceeded"));
    let (service, vm) = (Arc::clone(service), Arc::clone(vm));
    tokio::spawn(async move {
        let Ok(drives) = guest.ask(QueryBlockstats).await else { return };
        let live = guest.live();
        let mut disks = live.devices.disks.iter().filter_map(|disk| {
            let alias = disk.info.alias.as_deref()?;
            let number = drives.iter().find(|drive| drive.is_of(alias)).and_then(image_number)?;
            (storage(number) == node).then_some((disk, number))
        });
        let Some((disk, number)) = disks.next() else { return };
        let target = &disk.target.dev;
        for device in [target.clone(), format!("{target}[{number}]")] {
            let path = disk_path(disk).map(str::to_owned);
            let happening = Happening::BlockThreshold { device, path, threshold, excess };
            service.events.publish(&vm.about(), &happening);
        }
    });
}
