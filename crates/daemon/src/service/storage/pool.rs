//! Pools: which there are, what they are, and their life.

use std::sync::Arc;

use rpc::error::Code;
use rpc::remote::common::{ListAll, XmlFlags};
use rpc::remote::connect::{FindStoragePoolSourcesArgs, ListAllStoragePoolsReply};
use rpc::remote::object::StoragePool;
use rpc::remote::storage::{PoolFlags, PoolInfo, PoolSetAutostartArgs};
use rpc::xdr::{List, Text, Uuid};

use super::super::{Failure, Service};
use super::{blocking, flags};
use crate::storage::{Definition, Pool, fault};

/// `virStoragePoolEventLifecycleType`.
mod event {
    pub(super) const DEFINED: i32 = 0;
    pub(super) const UNDEFINED: i32 = 1;
    pub(super) const STARTED: i32 = 2;
    pub(super) const STOPPED: i32 = 3;
    pub(super) const CREATED: i32 = 4;
    pub(super) const DELETED: i32 = 5;
}

/// `virStoragePoolState`: inactive, running.
const INACTIVE: u8 = 0;
const RUNNING: u8 = 2;
/// `VIR_STORAGE_POOL_CREATE_WITH_BUILD`.
const WITH_BUILD: u32 = 1;
/// `VIR_STORAGE_XML_INACTIVE`.
const XML_INACTIVE: u32 = 1;

/// `virConnectListAllStoragePoolsFlags`: pairs of opposites, then a bit for each type, of which `dir` is the first.
mod list {
    pub(super) const INACTIVE: u32 = 1;
    pub(super) const ACTIVE: u32 = 2;
    pub(super) const PERSISTENT: u32 = 4;
    pub(super) const TRANSIENT: u32 = 8;
    pub(super) const AUTOSTART: u32 = 16;
    pub(super) const NO_AUTOSTART: u32 = 32;
    pub(super) const DIR: u32 = 64;
    pub(super) const TYPES: u32 = 0xf_ffc0;
}

pub(super) fn object(pool: &Pool) -> StoragePool<'static> {
    let now = pool.now();
    let name = now.map(|now| now.name.clone()).unwrap_or_default();
    StoragePool { name: name.into(), uuid: now.map_or(Uuid([0; 16]), |now| now.uuid) }
}

/// Does something to the pool that a call is about.
async fn with<T: Send + 'static>(
    service: &Arc<Service>,
    pool: &StoragePool<'_>,
    act: impl FnOnce(&Service, Pool) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (uuid, name) = (pool.uuid, pool.name.clone().into_owned());
    blocking(service, move |service| act(service, service.pools.by_uuid(uuid, Some(&name))?)).await
}

async fn find(
    service: &Arc<Service>,
    wanted: impl Fn(&Pool) -> bool + Send + 'static,
) -> Result<Vec<StoragePool<'static>>, Failure> {
    blocking(service, move |service| {
        let pools = service.pools.all()?;
        Ok(pools.iter().filter(|pool| wanted(pool)).map(object).collect())
    })
    .await
}

pub(crate) async fn count(service: &Arc<Service>, active: bool) -> Result<i32, Failure> {
    let found = find(service, move |pool| pool.live.is_some() == active).await?;
    Ok(i32::try_from(found.len()).unwrap_or(i32::MAX))
}

pub(crate) async fn names(
    service: &Arc<Service>,
    active: bool,
    most: i32,
) -> Result<List<Text<'static>, 16384>, Failure> {
    let most = usize::try_from(most).unwrap_or(0);
    let found = find(service, move |pool| pool.live.is_some() == active).await?;
    Ok(found.into_iter().map(|pool| pool.name).take(most).collect())
}

pub(crate) async fn list(
    service: &Arc<Service>,
    args: ListAll,
) -> Result<ListAllStoragePoolsReply<'static>, Failure> {
    let wants = args.flags;
    flags(wants, list::TYPES | 0x3f)?;
    let found = find(service, move |pool| selected(pool, wants)).await?;
    let ret = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let pools = if args.need_results == 0 { Vec::new() } else { found };
    Ok(ListAllStoragePoolsReply { pools: pools.into(), ret })
}

fn selected(pool: &Pool, flags: u32) -> bool {
    let either =
        |yes: u32, no: u32, is: bool| flags & (yes | no) == 0 || flags & if is { yes } else { no } != 0;
    either(list::ACTIVE, list::INACTIVE, pool.live.is_some())
        && either(list::PERSISTENT, list::TRANSIENT, pool.defined.is_some())
        && either(list::AUTOSTART, list::NO_AUTOSTART, pool.autostart)
        && (flags & list::TYPES == 0 || flags & list::DIR != 0)
}

pub(crate) async fn by_name(service: &Arc<Service>, name: &str) -> Result<StoragePool<'static>, Failure> {
    let name = name.to_owned();
    blocking(service, move |service| service.pools.by_name(&name).map(|pool| object(&pool))).await
}

pub(crate) async fn by_uuid(service: &Arc<Service>, uuid: Uuid) -> Result<StoragePool<'static>, Failure> {
    blocking(service, move |service| service.pools.by_uuid(uuid, None).map(|pool| object(&pool))).await
}

pub(crate) async fn by_target(service: &Arc<Service>, path: &str) -> Result<StoragePool<'static>, Failure> {
    let path = path.trim_end_matches('/').to_owned();
    blocking(service, move |service| {
        let has = |pool: &Pool| pool.now().is_some_and(|now| now.path.as_os_str() == path.as_str());
        let none = || {
            let words = format!("no storage pool with matching target path '{path}'");
            fault(Code::NO_STORAGE_POOL, words)
        };
        service.pools.all()?.into_iter().find(has).map(|pool| object(&pool)).ok_or_else(none)
    })
    .await
}

fn definition(args: &XmlFlags<'_>) -> Result<Definition, Failure> {
    Definition::parse(&args.xml, Uuid(uuid::Uuid::new_v4().into_bytes()))
}

pub(crate) async fn define(
    service: &Arc<Service>,
    args: &XmlFlags<'_>,
) -> Result<StoragePool<'static>, Failure> {
    // `VIR_STORAGE_POOL_DEFINE_VALIDATE` asks for no more than what is always done.
    flags(args.flags, 1)?;
    let definition = definition(args)?;
    blocking(service, move |service| {
        let pool = object(&service.pools.define(definition)?);
        service.events.publish_pool(&pool, Some(event::DEFINED));
        Ok(pool)
    })
    .await
}

pub(crate) async fn create(
    service: &Arc<Service>,
    args: &XmlFlags<'_>,
) -> Result<StoragePool<'static>, Failure> {
    flags(args.flags, WITH_BUILD)?;
    let (definition, build) = (definition(args)?, args.flags & WITH_BUILD != 0);
    blocking(service, move |service| {
        let pool = object(&service.pools.create(definition, build)?);
        service.events.publish_pool(&pool, Some(event::STARTED));
        Ok(pool)
    })
    .await
}

pub(crate) async fn start(service: &Arc<Service>, args: &PoolFlags<'_>) -> Result<(), Failure> {
    flags(args.flags, WITH_BUILD)?;
    let build = args.flags & WITH_BUILD != 0;
    with(service, &args.pool, move |service, pool| {
        let pool = object(&service.pools.start(&object(&pool).name, build)?);
        service.events.publish_pool(&pool, Some(event::STARTED));
        Ok(())
    })
    .await
}

pub(crate) async fn destroy(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<(), Failure> {
    with(service, pool, |service, pool| {
        let pool = object(&service.pools.stop(&object(&pool).name)?);
        service.events.publish_pool(&pool, Some(event::STOPPED));
        Ok(())
    })
    .await
}

pub(crate) async fn undefine(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<(), Failure> {
    with(service, pool, |service, pool| {
        let pool = object(&pool);
        service.pools.undefine(&pool.name)?;
        service.events.publish_pool(&pool, Some(event::UNDEFINED));
        Ok(())
    })
    .await
}

pub(crate) async fn build(service: &Arc<Service>, args: &PoolFlags<'_>) -> Result<(), Failure> {
    flags(args.flags, 0)?;
    with(service, &args.pool, |service, pool| {
        let pool = object(&pool);
        service.pools.build(&pool.name)?;
        service.events.publish_pool(&pool, Some(event::CREATED));
        Ok(())
    })
    .await
}

pub(crate) async fn delete(service: &Arc<Service>, args: &PoolFlags<'_>) -> Result<(), Failure> {
    flags(args.flags, 0)?;
    with(service, &args.pool, |service, pool| {
        let pool = object(&pool);
        service.pools.delete(&pool.name)?;
        service.events.publish_pool(&pool, Some(event::DELETED));
        Ok(())
    })
    .await
}

/// Volumes are looked at whenever they are asked for: there is nothing to do but to tell.
pub(crate) async fn refresh(service: &Arc<Service>, args: &PoolFlags<'_>) -> Result<(), Failure> {
    flags(args.flags, 0)?;
    with(service, &args.pool, |service, pool| {
        pool.volume_names()?;
        service.events.publish_pool(&object(&pool), None);
        Ok(())
    })
    .await
}

pub(crate) async fn info(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<PoolInfo, Failure> {
    with(service, pool, |_, pool| {
        let space = pool.space()?;
        let state = if pool.live.is_some() { RUNNING } else { INACTIVE };
        let (capacity, available) = (space.capacity, space.available);
        Ok(PoolInfo { state, capacity, allocation: space.allocation(), available })
    })
    .await
}

pub(crate) async fn xml(service: &Arc<Service>, args: &PoolFlags<'_>) -> Result<Text<'static>, Failure> {
    flags(args.flags, XML_INACTIVE)?;
    let inactive = args.flags & XML_INACTIVE != 0;
    with(service, &args.pool, move |_, pool| pool.print(inactive).map(Into::into)).await
}

pub(crate) async fn autostart(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<i32, Failure> {
    with(service, pool, |_, pool| Ok(i32::from(pool.autostart))).await
}

pub(crate) async fn set_autostart(
    service: &Arc<Service>,
    args: &PoolSetAutostartArgs<'_>,
) -> Result<(), Failure> {
    let on = args.autostart != 0;
    with(service, &args.pool, move |service, pool| service.pools.set_autostart(&object(&pool).name, on)).await
}

pub(crate) async fn is_active(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<i32, Failure> {
    with(service, pool, |_, pool| Ok(i32::from(pool.live.is_some()))).await
}

pub(crate) async fn is_persistent(service: &Arc<Service>, pool: &StoragePool<'_>) -> Result<i32, Failure> {
    with(service, pool, |_, pool| Ok(i32::from(pool.defined.is_some()))).await
}

pub(crate) fn sources(args: &FindStoragePoolSourcesArgs<'_>) -> Result<Text<'static>, Failure> {
    let words = format!("pool type '{}' does not support source discovery", args.kind);
    Err(fault(Code::NO_SUPPORT, words))
}

/// `<storagepoolCapabilities>`.
pub(crate) fn capabilities(given: u32) -> Result<Text<'static>, Failure> {
    flags(given, 0)?;
    Ok("<storagepoolCapabilities>\n  <pool type='dir' supported='yes'>\n    <volOptions>\n      \
        <defaultFormat type='raw'/>\n      <enum name='targetFormatType'>\n        <value>raw</value>\n        \
        <value>qcow2</value>\n      </enum>\n    </volOptions>\n  </pool>\n</storagepoolCapabilities>\n"
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_of_what_was_asked_for() {
        let definition = Definition::parse(
            "<pool type='dir'><name>a</name><target><path>/a</path></target></pool>",
            Uuid([1; 16]),
        );
        let definition = Some(Arc::new(definition.unwrap()));
        let active = Pool { live: definition.clone(), defined: None, autostart: false };
        let defined = Pool { live: None, defined: definition, autostart: true };
        let check = |flags: u32| (selected(&active, flags), selected(&defined, flags));
        assert_eq!(check(0), (true, true));
        assert_eq!(check(list::ACTIVE), (true, false));
        assert_eq!(check(list::INACTIVE | list::ACTIVE), (true, true));
        assert_eq!(check(list::PERSISTENT), (false, true));
        assert_eq!(check(list::NO_AUTOSTART | list::TRANSIENT), (true, false));
        assert_eq!(check(list::DIR), (true, true));
        assert_eq!(check(128), (false, false));
    }
}
