//! Calls about the host, and its devices.

use crate::xdr::{CharArray, Chars, List, Opaque, Text, records};

use super::object::NodeDevice;

records! {
    /// `memory` is in KiB.
    Info {
        model: CharArray<32>,
        memory: u64,
        cpus: i32,
        mhz: i32,
        nodes: i32,
        sockets: i32,
        cores: i32,
        threads: i32,
    }

    /// A named counter.
    Stat<'a> { field: Text<'a>, value: u64 }
    CpuStatsArgs { cpu_num: i32, nparams: i32, flags: u32 }
    MemoryStatsArgs { nparams: i32, cell_num: i32, flags: u32 }
    StatsReply<'a> { params: List<Stat<'a>, 16>, nparams: i32 }

    CellsFreeMemoryArgs { start_cell: i32, maxcells: i32 }
    FreePagesArgs { pages: List<u32, 1024>, start_cell: i32, cell_count: u32, flags: u32 }
    AllocPagesArgs {
        page_sizes: List<u32, 1024>,
        page_counts: List<u64, 1024>,
        start_cell: i32,
        cell_count: u32,
        flags: u32,
    }

    CpuMapArgs { need_map: i32, need_online: i32, flags: u32 }
    CpuMapReply<'a> { cpumap: Opaque<'a, 2048>, online: u32, ret: i32 }

    SecurityModel { model: Chars<257>, doi: Chars<257> }

    SuspendArgs { target: u32, duration: u64, flags: u32 }

    NumOfDevicesArgs<'a> { cap: Option<Text<'a>>, flags: u32 }
    ListDevicesArgs<'a> { cap: Option<Text<'a>>, maxnames: i32, flags: u32 }
    ListCapsArgs<'a> { name: Text<'a>, maxnames: i32 }

    DeviceEventArgs<'a> { event_id: i32, dev: Option<NodeDevice<'a>> }
    DeviceLifecycle<'a> { callback_id: i32, dev: NodeDevice<'a>, event: i32, detail: i32 }
    DeviceUpdate<'a> { callback_id: i32, dev: NodeDevice<'a> }
}
