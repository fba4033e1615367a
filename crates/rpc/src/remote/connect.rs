//! Calls about the connection itself, its capabilities, and its lists of domains.

use crate::xdr::{List, Text, records};

use super::object::{Domain, Interface, Network, NodeDevice, Nwfilter, NwfilterBinding, Secret, StoragePool};
use super::typed_param::Params;

records! {
    /// `name` is the URI without its transport: `qemu:///system`.
    OpenArgs<'a> { name: Option<Text<'a>>, flags: u32 }

    /// What names the emulator that capabilities are asked of; each may be left to the daemon.
    DomainCapabilitiesArgs<'a> {
        emulatorbin: Option<Text<'a>>,
        arch: Option<Text<'a>>,
        machine: Option<Text<'a>>,
        virttype: Option<Text<'a>>,
        flags: u32,
    }

    XmlFromNativeArgs<'a> { native_format: Text<'a>, native_config: Text<'a>, flags: u32 }
    XmlToNativeArgs<'a> { native_format: Text<'a>, domain_xml: Text<'a>, flags: u32 }

    BaselineCpuArgs<'a> { xml_cpus: List<Text<'a>, 256>, flags: u32 }
    CompareHypervisorCpuArgs<'a> {
        emulator: Option<Text<'a>>,
        arch: Option<Text<'a>>,
        machine: Option<Text<'a>>,
        virttype: Option<Text<'a>>,
        xml_cpu: Text<'a>,
        flags: u32,
    }
    BaselineHypervisorCpuArgs<'a> {
        emulator: Option<Text<'a>>,
        arch: Option<Text<'a>>,
        machine: Option<Text<'a>>,
        virttype: Option<Text<'a>>,
        xml_cpus: List<Text<'a>, 256>,
        flags: u32,
    }
    CpuModelNamesArgs<'a> { arch: Text<'a>, need_results: i32, flags: u32 }
    CpuModelNamesReply<'a> { models: List<Text<'a>, 8192>, ret: i32 }

    /// Who the client says that the user is; trusted only from another daemon.
    IdentityArgs<'a> { params: Params<'a, 20>, flags: u32 }

    FindStoragePoolSourcesArgs<'a> { kind: Text<'a>, src_spec: Option<Text<'a>>, flags: u32 }

    ListAllDomainsReply<'a> { domains: List<Domain<'a>, 16384>, ret: u32 }
    ListAllNetworksReply<'a> { nets: List<Network<'a>, 16384>, ret: u32 }
    ListAllInterfacesReply<'a> { ifaces: List<Interface<'a>, 16384>, ret: u32 }
    ListAllStoragePoolsReply<'a> { pools: List<StoragePool<'a>, 16384>, ret: u32 }
    ListAllNodeDevicesReply<'a> { devices: List<NodeDevice<'a>, 65536>, ret: u32 }
    ListAllNwfiltersReply<'a> { filters: List<Nwfilter<'a>, 16384>, ret: u32 }
    ListAllNwfilterBindingsReply<'a> { bindings: List<NwfilterBinding<'a>, 16384>, ret: u32 }
    ListAllSecretsReply<'a> { secrets: List<Secret<'a>, 16384>, ret: u32 }

    /// Which domains (none: all that `flags` select) and which groups of statistics (0: all).
    AllDomainStatsArgs<'a> { doms: List<Domain<'a>, 16384>, stats: u32, flags: u32 }
    /// The statistics of one domain.
    StatsRecord<'a> { dom: Domain<'a>, params: Params<'a, 262_144> }
}

/// Ways to authenticate, as `AUTH_LIST` lists them.
pub mod auth {
    /// Nothing to do.
    pub const NONE: i32 = 0;
    pub const SASL: i32 = 1;
    pub const POLKIT: i32 = 2;
}

/// What `CONNECT_SUPPORTS_FEATURE` asks for: `virDrvFeature`.
pub mod feature {
    /// File descriptors can be passed.
    pub const FD_PASSING: i32 = 8;
    /// Typed parameters may be strings.
    pub const TYPED_PARAM_STRING: i32 = 9;
    /// The keepalive program is understood.
    pub const PROGRAM_KEEPALIVE: i32 = 10;
    /// Events are registered by callback, with a filter for one domain.
    pub const REMOTE_EVENT_CALLBACK: i32 = 14;
    /// The server says why it closes the connection.
    pub const REMOTE_CLOSE_CALLBACK: i32 = 15;
    /// `NETWORK_UPDATE` takes its section and its command in the order in which they are declared.
    pub const NETWORK_UPDATE_HAS_CORRECT_ORDER: i32 = 16;
}
