//! Calls about storage pools, volumes and secrets.

use crate::xdr::{Hidden, List, Opaque, Text, records};

use super::object::{Secret, StoragePool, StorageVol};

records! {
    PoolFlags<'a> { pool: StoragePool<'a>, flags: u32 }
    /// Sizes are in bytes; `state` is `virStoragePoolState`.
    PoolInfo { state: u8, capacity: u64, allocation: u64, available: u64 }
    PoolSetAutostartArgs<'a> { pool: StoragePool<'a>, autostart: i32 }
    PoolListVolumesArgs<'a> { pool: StoragePool<'a>, maxnames: i32 }
    PoolListAllVolumesArgs<'a> { pool: StoragePool<'a>, need_results: i32, flags: u32 }
    PoolListAllVolumesReply<'a> { vols: List<StorageVol<'a>, 16384>, ret: u32 }
    PoolEventArgs<'a> { event_id: i32, pool: Option<StoragePool<'a>> }
    PoolLifecycle<'a> { callback_id: i32, pool: StoragePool<'a>, event: i32, detail: i32 }
    PoolRefresh<'a> { callback_id: i32, pool: StoragePool<'a> }

    VolLookupByNameArgs<'a> { pool: StoragePool<'a>, name: Text<'a> }
    VolCreateXmlArgs<'a> { pool: StoragePool<'a>, xml: Text<'a>, flags: u32 }
    VolCreateXmlFromArgs<'a> { pool: StoragePool<'a>, xml: Text<'a>, clonevol: StorageVol<'a>, flags: u32 }
    VolFlags<'a> { vol: StorageVol<'a>, flags: u32 }
    /// Sizes are in bytes; `kind` is `virStorageVolType`.
    VolInfo { kind: i8, capacity: u64, allocation: u64 }
    /// The bytes from `offset` on; 0 for `length` means all.
    VolTransferArgs<'a> { vol: StorageVol<'a>, offset: u64, length: u64, flags: u32 }
    VolResizeArgs<'a> { vol: StorageVol<'a>, capacity: u64, flags: u32 }
    VolWipePatternArgs<'a> { vol: StorageVol<'a>, algorithm: u32, flags: u32 }

    SecretFlags<'a> { secret: Secret<'a>, flags: u32 }
    SecretUsage<'a> { usage_type: i32, usage_id: Text<'a> }
    SecretSetValueArgs<'a> { secret: Secret<'a>, value: Hidden<Opaque<'a, 65536>>, flags: u32 }
    SecretEventArgs<'a> { event_id: i32, secret: Option<Secret<'a>> }
    SecretLifecycle<'a> { callback_id: i32, secret: Secret<'a>, event: i32, detail: i32 }
    SecretValueChanged<'a> { callback_id: i32, secret: Secret<'a> }
}
