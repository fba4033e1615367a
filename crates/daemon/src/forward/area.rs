//! Which calls belong to which of libvirt's daemons.

use std::fmt;

use rpc::remote::Procedure;

/// What another daemon may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Area {
    Network,
    Storage,
}

impl Area {
    /// The area of a procedure; `None` for all that is this daemon's alone.
    pub(crate) fn of(procedure: Procedure) -> Option<Self> {
        use Procedure as P;
        Some(match procedure {
            P::ConnectListDefinedNetworks
            | P::ConnectListNetworks
            | P::NetworkCreate
            | P::NetworkCreateXml
            | P::NetworkDefineXml
            | P::NetworkDestroy
            | P::NetworkGetXmlDesc
            | P::NetworkGetAutostart
            | P::NetworkGetBridgeName
            | P::NetworkLookupByName
            | P::NetworkLookupByUuid
            | P::NetworkSetAutostart
            | P::NetworkUndefine
            | P::ConnectNumOfDefinedNetworks
            | P::ConnectNumOfNetworks
            | P::NetworkIsActive
            | P::NetworkIsPersistent
            | P::ConnectListAllNetworks
            | P::NetworkUpdate
            | P::ConnectNetworkEventRegisterAny
            | P::ConnectNetworkEventDeregisterAny
            | P::NetworkGetDhcpLeases
            | P::NetworkListAllPorts
            | P::NetworkPortLookupByUuid
            | P::NetworkPortCreateXml
            | P::NetworkPortGetParameters
            | P::NetworkPortSetParameters
            | P::NetworkPortGetXmlDesc
            | P::NetworkPortDelete
            | P::NetworkDefineXmlFlags
            | P::NetworkCreateXmlFlags
            | P::NetworkSetMetadata
            | P::NetworkGetMetadata => Self::Network,
            P::ConnectNumOfStoragePools
            | P::ConnectListStoragePools
            | P::ConnectNumOfDefinedStoragePools
            | P::ConnectListDefinedStoragePools
            | P::ConnectFindStoragePoolSources
            | P::StoragePoolCreateXml
            | P::StoragePoolDefineXml
            | P::StoragePoolCreate
            | P::StoragePoolBuild
            | P::StoragePoolDestroy
            | P::StoragePoolDelete
            | P::StoragePoolUndefine
            | P::StoragePoolRefresh
            | P::StoragePoolLookupByName
            | P::StoragePoolLookupByUuid
            | P::StoragePoolLookupByVolume
            | P::StoragePoolGetInfo
            | P::StoragePoolGetXmlDesc
            | P::StoragePoolGetAutostart
            | P::StoragePoolSetAutostart
            | P::StoragePoolNumOfVolumes
            | P::StoragePoolListVolumes
            | P::StorageVolCreateXml
            | P::StorageVolDelete
            | P::StorageVolLookupByName
            | P::StorageVolLookupByKey
            | P::StorageVolLookupByPath
            | P::StorageVolGetInfo
            | P::StorageVolGetXmlDesc
            | P::StorageVolGetPath
            | P::StorageVolCreateXmlFrom
            | P::StoragePoolIsActive
            | P::StoragePoolIsPersistent
            | P::StorageVolWipe
            | P::StorageVolUpload
            | P::StorageVolDownload
            | P::StorageVolWipePattern
            | P::StorageVolResize
            | P::ConnectListAllStoragePools
            | P::StoragePoolListAllVolumes
            | P::ConnectStoragePoolEventRegisterAny
            | P::ConnectStoragePoolEventDeregisterAny
            | P::StorageVolGetInfoFlags
            | P::StoragePoolLookupByTargetPath
            | P::ConnectGetStoragePoolCapabilities => Self::Storage,
            _ => return None,
        })
    }

    /// Whether an event may come from the area's daemon.
    pub(super) fn sends(self, event: Procedure) -> bool {
        match self {
            Self::Network => matches!(
                event,
                Procedure::NetworkEventLifecycle | Procedure::NetworkEventCallbackMetadataChange
            ),
            Self::Storage => {
                matches!(event, Procedure::StoragePoolEventLifecycle | Procedure::StoragePoolEventRefresh)
            }
        }
    }

    /// What a connection to its daemon is opened as. No daemon of ours serves this, so that none talks to itself.
    pub(crate) fn uri(self, system: bool) -> &'static str {
        match (self, system) {
            (Self::Network, true) => "network:///system",
            (Self::Network, false) => "network:///session",
            (Self::Storage, true) => "storage:///system",
            (Self::Storage, false) => "storage:///session",
        }
    }

    /// The sockets of its own daemon and of the one that serves everything, below libvirt's run directory.
    pub(super) fn sockets(self) -> [&'static str; 2] {
        match self {
            Self::Network => ["virtnetworkd-sock", "libvirt-sock"],
            Self::Storage => ["virtstoraged-sock", "libvirt-sock"],
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "network",
            Self::Storage => "storage",
        })
    }
}
