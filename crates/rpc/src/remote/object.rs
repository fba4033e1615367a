//! How the protocol names things: a domain, a network, a volume, …

use crate::xdr::{Text, Uuid, records};

records! {
    /// A domain. `id` is -1 while it is not running.
    Domain<'a> { name: Text<'a>, uuid: Uuid, id: i32 }
    Network<'a> { name: Text<'a>, uuid: Uuid }
    NetworkPort<'a> { net: Network<'a>, uuid: Uuid }
    Nwfilter<'a> { name: Text<'a>, uuid: Uuid }
    NwfilterBinding<'a> { portdev: Text<'a>, filtername: Text<'a> }
    Interface<'a> { name: Text<'a>, mac: Text<'a> }
    StoragePool<'a> { name: Text<'a>, uuid: Uuid }
    StorageVol<'a> { pool: Text<'a>, name: Text<'a>, key: Text<'a> }
    NodeDevice<'a> { name: Text<'a> }
    Secret<'a> { uuid: Uuid, usage_type: i32, usage_id: Text<'a> }
    Snapshot<'a> { name: Text<'a>, dom: Domain<'a> }
    Checkpoint<'a> { name: Text<'a>, dom: Domain<'a> }
}
