//! Volumes: which there are, what they are, how they are made and removed, and their bytes.

use std::sync::Arc;

use rpc::error::Code;
use rpc::remote::object::{StoragePool, StorageVol};
use rpc::remote::storage::{
    PoolListAllVolumesArgs, PoolListAllVolumesReply, PoolListVolumesArgs, VolCreateXmlArgs,
    VolCreateXmlFromArgs, VolFlags, VolInfo, VolLookupByNameArgs, VolResizeArgs, VolTransferArgs,
    VolWipePatternArgs,
};
use rpc::xdr::{List, Text};

use super::super::{Failure, Service, Stream};
use super::{blocking, flags, pool};
use crate::storage::{Algorithm, CreateFlags, Pool, ResizeFlags, Volume, Wanted, fault};

/// `VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA`, `…_REFLINK`.
const PREALLOC_METADATA: u32 = 1;
const REFLINK: u32 = 2;
/// `VIR_STORAGE_VOL_CREATE_VALIDATE`: no more than what is always done.
const VALIDATE: u32 = 4;
/// `VIR_STORAGE_VOL_USE_ALLOCATION`, `VIR_STORAGE_VOL_GET_PHYSICAL`.
const GET_PHYSICAL: u32 = 1;
/// `VIR_STORAGE_VOL_RESIZE_…`.
const RESIZE_ALLOCATE: u32 = 1;
const RESIZE_DELTA: u32 = 2;
const RESIZE_SHRINK: u32 = 4;
/// `VIR_STORAGE_VOL_WIPE_ALG_ZERO`.
const WIPE_ZERO: u32 = 0;

fn object(pool: &Pool, name: &str) -> StorageVol<'static> {
    let now = pool.now();
    let path = now.map(|now| now.path.join(name).to_string_lossy().into_owned()).unwrap_or_default();
    let pool = now.map(|now| now.name.clone()).unwrap_or_default();
    StorageVol { pool: pool.into(), name: name.to_owned().into(), key: path.into() }
}

/// Does something to the pool that a call is about.
async fn in_pool<T: Send + 'static>(
    service: &Arc<Service>,
    pool: &StoragePool<'_>,
    act: impl FnOnce(&Service, Pool) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (uuid, name) = (pool.uuid, pool.name.clone().into_owned());
    blocking(service, move |service| act(service, service.pools.by_uuid(uuid, Some(&name))?)).await
}

/// Does something to the volume that a call is about: its pool, and its name.
async fn with<T: Send + 'static>(
    service: &Arc<Service>,
    vol: &StorageVol<'_>,
    act: impl FnOnce(&Service, Pool, String) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (pool, name) = (vol.pool.clone().into_owned(), vol.name.clone().into_owned());
    blocking(service, move |service| act(service, service.pools.by_name(&pool)?, name)).await
}

/// Tells that a pool holds something else.
fn changed(service: &Service, pool: &Pool) {
    service.events.publish_pool(&pool::object(pool), None);
}

pub(crate) async fn count(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<i32, Failure> {
    in_pool(service, pool, |_, pool| Ok(i32::try_from(pool.volume_names()?.len()).unwrap_or(i32::MAX))).await
}

pub(crate) async fn names(
    service: &Arc<Service>,
    args: &PoolListVolumesArgs<'_>,
) -> Result<List<Text<'static>, 16384>, Failure> {
    let most = usize::try_from(args.maxnames).unwrap_or(0);
    let names = in_pool(service, &args.pool, |_, pool| pool.volume_names()).await?;
    Ok(names.into_iter().map(Text::from).take(most).collect())
}

pub(crate) async fn list(
    service: &Arc<Service>,
    args: &PoolListAllVolumesArgs<'_>,
) -> Result<PoolListAllVolumesReply<'static>, Failure> {
    flags(args.flags, 0)?;
    let need = args.need_results != 0;
    in_pool(service, &args.pool, move |_, pool| {
        let names = pool.volume_names()?;
        let ret = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let vols = names.iter().filter(|_| need).map(|name| object(&pool, name)).collect();
        Ok(PoolListAllVolumesReply { vols, ret })
    })
    .await
}

pub(crate) async fn by_name(
    service: &Arc<Service>,
    args: &VolLookupByNameArgs<'_>,
) -> Result<StorageVol<'static>, Failure> {
    let name = args.name.clone().into_owned();
    in_pool(service, &args.pool, move |_, pool| {
        pool.volume(&name)?;
        Ok(object(&pool, &name))
    })
    .await
}

pub(crate) async fn by_path(service: &Arc<Service>, path: &str) -> Result<StorageVol<'static>, Failure> {
    let path = path.to_owned();
    blocking(service, move |service| {
        let (pool, name) = service.pools.of_path(&path)?;
        Ok(object(&pool, &name))
    })
    .await
}

pub(crate) async fn by_key(service: &Arc<Service>, key: &str) -> Result<StorageVol<'static>, Failure> {
    let none = |error: Failure| match error.code {
        Code::NO_STORAGE_VOL => {
            fault(Code::NO_STORAGE_VOL, format!("no storage vol with matching key {key}"))
        }
        _ => error,
    };
    by_path(service, key).await.map_err(none)
}

pub(crate) async fn pool_of(
    service: &Arc<Service>,
    vol: &StorageVol<'_>,
) -> Result<StoragePool<'static>, Failure> {
    with(service, vol, |_, pool, _| Ok(pool::object(&pool))).await
}

pub(crate) async fn info(
    service: &Arc<Service>,
    vol: &StorageVol<'_>,
    given: u32,
) -> Result<VolInfo, Failure> {
    flags(given, GET_PHYSICAL)?;
    let volume = look(service, vol).await?;
    let allocation = if given & GET_PHYSICAL == 0 { volume.allocation } else { volume.physical };
    Ok(VolInfo { kind: volume.kind.number(), capacity: volume.capacity, allocation })
}

async fn look(service: &Arc<Service>, vol: &StorageVol<'_>) -> Result<Volume, Failure> {
    with(service, vol, |_, pool, name| pool.volume(&name)).await
}

pub(crate) async fn xml(service: &Arc<Service>, args: &VolFlags<'_>) -> Result<Text<'static>, Failure> {
    flags(args.flags, 0)?;
    Ok(look(service, &args.vol).await?.print().into())
}

pub(crate) async fn path(service: &Arc<Service>, vol: &StorageVol<'_>) -> Result<Text<'static>, Failure> {
    Ok(look(service, vol).await?.path.to_string_lossy().into_owned().into())
}

fn create_flags(given: u32) -> Result<CreateFlags, Failure> {
    if given & REFLINK != 0 {
        let words = "--reflink: copies here do not share blocks; copy with cp --reflink by hand";
        return Err(fault(Code::ARGUMENT_UNSUPPORTED, words));
    }
    flags(given, PREALLOC_METADATA | VALIDATE)?;
    Ok(CreateFlags { preallocate_metadata: given & PREALLOC_METADATA != 0 })
}

pub(crate) async fn create(
    service: &Arc<Service>,
    args: &VolCreateXmlArgs<'_>,
) -> Result<StorageVol<'static>, Failure> {
    let (flags, wanted) = (create_flags(args.flags)?, Wanted::parse(&args.xml, false)?);
    in_pool(service, &args.pool, move |service, pool| {
        pool.make_volume(&wanted, flags)?;
        changed(service, &pool);
        Ok(object(&pool, &wanted.name))
    })
    .await
}

pub(crate) async fn create_from(
    service: &Arc<Service>,
    args: &VolCreateXmlFromArgs<'_>,
) -> Result<StorageVol<'static>, Failure> {
    let (flags, wanted) = (create_flags(args.flags)?, Wanted::parse(&args.xml, true)?);
    let (from, source) = (args.clonevol.pool.clone().into_owned(), args.clonevol.name.clone().into_owned());
    in_pool(service, &args.pool, move |service, pool| {
        let from = service.pools.by_name(&from)?;
        pool.copy_volume(&wanted, &from, &source, flags)?;
        changed(service, &pool);
        Ok(object(&pool, &wanted.name))
    })
    .await
}

pub(crate) async fn delete(service: &Arc<Service>, args: &VolFlags<'_>) -> Result<(), Failure> {
    flags(args.flags, 0)?;
    with(service, &args.vol, |service, pool, name| {
        pool.remove_volume(&name)?;
        changed(service, &pool);
        Ok(())
    })
    .await
}

pub(crate) async fn resize(service: &Arc<Service>, args: &VolResizeArgs<'_>) -> Result<(), Failure> {
    let (given, capacity) = (args.flags, args.capacity);
    flags(given, RESIZE_ALLOCATE | RESIZE_DELTA | RESIZE_SHRINK)?;
    let flags = ResizeFlags {
        allocate: given & RESIZE_ALLOCATE != 0,
        delta: given & RESIZE_DELTA != 0,
        shrink: given & RESIZE_SHRINK != 0,
    };
    with(service, &args.vol, move |_, pool, name| pool.resize_volume(&name, capacity, flags)).await
}

pub(crate) async fn wipe(service: &Arc<Service>, args: &VolFlags<'_>) -> Result<(), Failure> {
    flags(args.flags, 0)?;
    with(service, &args.vol, |_, pool, name| pool.wipe_volume(&name, Algorithm::Zero)).await
}

pub(crate) async fn wipe_pattern(
    service: &Arc<Service>,
    args: &VolWipePatternArgs<'_>,
) -> Result<(), Failure> {
    flags(args.flags, 0)?;
    if args.algorithm != WIPE_ZERO {
        let words = format!(
            "wiping algorithm {}: only zeroes are written here; shred(1) knows others",
            args.algorithm
        );
        return Err(fault(Code::ARGUMENT_UNSUPPORTED, words));
    }
    with(service, &args.vol, |_, pool, name| pool.wipe_volume(&name, Algorithm::Zero)).await
}

/// Holes are sent as the zeroes that they are.
fn no_holes(given: u32) -> Result<(), Failure> {
    match given {
        0 => Ok(()),
        _ => Err(fault(
            Code::ARGUMENT_UNSUPPORTED,
            "--sparse: streams with holes are not spoken here; leave it out",
        )),
    }
}

pub(crate) async fn upload(service: &Arc<Service>, args: &VolTransferArgs<'_>) -> Result<Stream, Failure> {
    no_holes(args.flags)?;
    let (offset, length) = (args.offset, args.length);
    let transfer = with(service, &args.vol, move |_, pool, name| pool.upload(&name, offset, length)).await?;
    Ok(Stream(Box::new(transfer)))
}

pub(crate) async fn download(service: &Arc<Service>, args: &VolTransferArgs<'_>) -> Result<Stream, Failure> {
    no_holes(args.flags)?;
    let (offset, length) = (args.offset, args.length);
    let transfer =
        with(service, &args.vol, move |_, pool, name| pool.download(&name, offset, length)).await?;
    Ok(Stream(Box::new(transfer)))
}
