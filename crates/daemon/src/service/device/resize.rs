//! `blockresize`.

use std::sync::Arc;

use qemu::qmp::device::BlockResize;
use qemu::qmp::figures::QueryBlock;
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::block::BlockResizeArgs;

use super::affect::{check, internal, invalid, unsupported};
use super::config::alone;
use crate::service::stats::find_disk;
use crate::service::{Failure, Service};

/// `virDomainBlockResizeFlags`.
const BYTES: u32 = 1;

/// `DOMAIN_BLOCK_RESIZE`.
pub(crate) async fn block_resize(service: &Service, args: &BlockResizeArgs<'_>) -> Result<(), Failure> {
    check(args.flags, BYTES, "virDomainBlockResize")?;
    let size = if args.flags & BYTES != 0 { Some(args.size) } else { args.size.checked_mul(1024) };
    let size = size.ok_or_else(|| {
        Box::new(RemoteError::new(Code::OVERFLOW, Origin::QEMU, "size must be less than 18014398509481983"))
    })?;
    if size == 0 {
        return Err(invalid("a disk of no bytes"));
    }
    let vm = service.domains.of(&args.dom)?;
    let (this, name) = (Arc::clone(&vm), args.disk.clone().into_owned());
    alone(&vm, async move {
        let guest = this.running()?;
        let live = guest.live();
        let disk = find_disk(&live, &name)
            .ok_or_else(|| invalid(format!("disk '{name}' was not found in the domain config")))?;
        if disk.source.is_none() || disk.readonly {
            return Err(unsupported(format!("can't resize empty or readonly disk '{name}'")));
        }
        let alias = disk.info.alias.as_deref().unwrap_or_default();
        let drives = guest.ask(QueryBlock).await?;
        let drive = drives.iter().find(|drive| drive.is_of(alias));
        let node = drive.and_then(|drive| drive.inserted.as_ref()).and_then(|found| found.node_name.clone());
        let node = node.ok_or_else(|| internal(format!("QEMU has no image in disk '{name}'")))?;
        guest.ask(BlockResize { node, size }).await?;
        Ok(())
    })
    .await
}
