//! Calls about a domain's disks and network interfaces.

use crate::xdr::{List, Opaque, Text, records};

use super::object::Domain;
use super::typed_param::Params;

records! {
    BlockStats { rd_req: i64, rd_bytes: i64, wr_req: i64, wr_bytes: i64, errs: i64 }
    /// Asks for at most `nparams` typed parameters about one disk or interface.
    DeviceNparams<'a> { dom: Domain<'a>, device: Text<'a>, nparams: i32, flags: u32 }
    /// In bytes.
    BlockInfo { allocation: u64, capacity: u64, physical: u64 }
    BlockResizeArgs<'a> { dom: Domain<'a>, disk: Text<'a>, size: u64, flags: u32 }
    BlockPeekArgs<'a> { dom: Domain<'a>, path: Text<'a>, offset: u64, size: u32, flags: u32 }
    MemoryPeekArgs<'a> { dom: Domain<'a>, offset: u64, size: u32, flags: u32 }
    DiskError<'a> { disk: Text<'a>, error: i32 }
    DiskErrorsReply<'a> { errors: List<DiskError<'a>, 256>, nerrors: i32 }
    BlockThresholdArgs<'a> { dom: Domain<'a>, dev: Text<'a>, threshold: u64, flags: u32 }

    SetBlockIoTuneArgs<'a> { dom: Domain<'a>, disk: Text<'a>, params: Params<'a, 32>, flags: u32 }
    GetBlockIoTuneArgs<'a> { dom: Domain<'a>, disk: Option<Text<'a>>, nparams: i32, flags: u32 }

    /// Speeds are in MiB/s.
    BlockJobInfo { found: i32, kind: i32, bandwidth: u64, cur: u64, end: u64 }
    BlockJobArgs<'a> { dom: Domain<'a>, path: Text<'a>, bandwidth: u64, flags: u32 }
    BlockRebaseArgs<'a> { dom: Domain<'a>, path: Text<'a>, base: Option<Text<'a>>, bandwidth: u64, flags: u32 }
    BlockCopyArgs<'a> { dom: Domain<'a>, path: Text<'a>, destxml: Text<'a>, params: Params<'a, 16>, flags: u32 }
    BlockCommitArgs<'a> {
        dom: Domain<'a>,
        disk: Text<'a>,
        base: Option<Text<'a>>,
        top: Option<Text<'a>>,
        bandwidth: u64,
        flags: u32,
    }

    InterfaceStats {
        rx_bytes: i64,
        rx_packets: i64,
        rx_errs: i64,
        rx_drop: i64,
        tx_bytes: i64,
        tx_packets: i64,
        tx_errs: i64,
        tx_drop: i64,
    }
    SetInterfaceParametersArgs<'a> { dom: Domain<'a>, device: Text<'a>, params: Params<'a, 16>, flags: u32 }

    FstrimArgs<'a> { dom: Domain<'a>, mount_point: Option<Text<'a>>, minimum: u64, flags: u32 }
    FsfreezeArgs<'a> { dom: Domain<'a>, mountpoints: List<Text<'a>, 256>, flags: u32 }
    FsInfo<'a> { mountpoint: Text<'a>, name: Text<'a>, fstype: Text<'a>, dev_aliases: List<Text<'a>, 256> }
    FsInfoReply<'a> { info: List<FsInfo<'a>, 256>, ret: u32 }
}

/// What a peek returns: a guest's own bytes.
pub type Peek<'a> = crate::xdr::Hidden<Opaque<'a, 4_194_304>>;
