//! Calls about networks, interfaces and packet filters.

use crate::xdr::{List, Text, Uuid, records};

use super::object::{Interface, Network, NetworkPort, Nwfilter, NwfilterBinding};
use super::typed_param::Params;

records! {
    NetFlags<'a> { net: Network<'a>, flags: u32 }
    SetAutostartArgs<'a> { net: Network<'a>, autostart: i32 }
    UpdateArgs<'a> {
        net: Network<'a>,
        command: u32,
        section: u32,
        parent_index: i32,
        xml: Text<'a>,
        flags: u32,
    }
    DhcpLeasesArgs<'a> { net: Network<'a>, mac: Option<Text<'a>>, need_results: i32, flags: u32 }
    /// `expirytime` is in seconds since 1970, 0 for never; `kind` is `virIPAddrType`.
    DhcpLease<'a> {
        iface: Text<'a>,
        expirytime: i64,
        kind: i32,
        mac: Option<Text<'a>>,
        iaid: Option<Text<'a>>,
        ipaddr: Text<'a>,
        prefix: u32,
        hostname: Option<Text<'a>>,
        clientid: Option<Text<'a>>,
    }
    DhcpLeasesReply<'a> { leases: List<DhcpLease<'a>, 65536>, ret: u32 }
    SetMetadataArgs<'a> {
        net: Network<'a>,
        kind: i32,
        metadata: Option<Text<'a>>,
        key: Option<Text<'a>>,
        uri: Option<Text<'a>>,
        flags: u32,
    }
    GetMetadataArgs<'a> { net: Network<'a>, kind: i32, uri: Option<Text<'a>>, flags: u32 }

    EventArgs<'a> { event_id: i32, net: Option<Network<'a>> }
    Lifecycle<'a> { callback_id: i32, net: Network<'a>, event: i32, detail: i32 }
    MetadataChange<'a> { callback_id: i32, net: Network<'a>, kind: i32, nsuri: Option<Text<'a>> }

    ListAllPortsArgs<'a> { net: Network<'a>, need_results: i32, flags: u32 }
    ListAllPortsReply<'a> { ports: List<NetworkPort<'a>, 16384>, ret: u32 }
    PortLookupArgs<'a> { net: Network<'a>, uuid: Uuid }
    PortCreateXmlArgs<'a> { net: Network<'a>, xml: Text<'a>, flags: u32 }
    PortNparams<'a> { port: NetworkPort<'a>, nparams: i32, flags: u32 }
    PortParams<'a> { port: NetworkPort<'a>, params: Params<'a, 16>, flags: u32 }
    PortFlags<'a> { port: NetworkPort<'a>, flags: u32 }

    InterfaceFlags<'a> { iface: Interface<'a>, flags: u32 }
    NwfilterFlags<'a> { nwfilter: Nwfilter<'a>, flags: u32 }
    NwfilterBindingFlags<'a> { nwfilter: NwfilterBinding<'a>, flags: u32 }
}
