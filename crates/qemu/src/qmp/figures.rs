//! Queries for figures of a running guest: processors, disks, balloon.
//!
//! What QEMU says of numbers is not trusted to be small: they are read as they are, and only what a caller needs.

use serde::Deserialize;
use serde_json::Value;

use super::command::{Command, commands};

commands! {
    QueryCpusFast, "query-cpus-fast" => Vec<CpuThread>;
    QueryHotpluggableCpus, "query-hotpluggable-cpus" => Vec<HotpluggableCpu>;
    QueryBalloon, "query-balloon" => BalloonInfo;
    QueryBlock, "query-block" => Vec<Drive>;
    QueryBlockstats, "query-blockstats" => Vec<DriveStats>;
    QueryIothreads, "query-iothreads" => Vec<Iothread>;
    QueryDirtyRate, "query-dirty-rate" => DirtyRate;
}

/// `query-named-block-nodes`, without what is below each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryNamedBlockNodes;

impl Command for QueryNamedBlockNodes {
    const NAME: &'static str = "query-named-block-nodes";
    type Reply = Vec<BlockNode>;

    fn arguments(&self) -> serde_json::Map<String, Value> {
        serde_json::Map::from_iter([("flat".into(), true.into())])
    }
}

/// `query-stats`: KVM's own figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryStats<'n> {
    /// `vcpu` or `vm`.
    pub target: &'static str,
    /// Some of them; `None` for all.
    pub names: Option<&'n [&'n str]>,
}

impl Command for QueryStats<'_> {
    const NAME: &'static str = "query-stats";
    type Reply = Vec<Stats>;

    fn arguments(&self) -> serde_json::Map<String, Value> {
        let mut provider = serde_json::json!({ "provider": "kvm" });
        if let (Some(names), Some(provider)) = (self.names, provider.as_object_mut()) {
            provider.insert("names".into(), names.into());
        }
        serde_json::Map::from_iter([
            ("target".into(), self.target.into()),
            ("providers".into(), Value::Array(vec![provider])),
        ])
    }
}

/// `query-stats-schemas`: what kinds of figures KVM has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryStatsSchemas;

impl Command for QueryStatsSchemas {
    const NAME: &'static str = "query-stats-schemas";
    type Reply = Vec<StatsSchema>;

    fn arguments(&self) -> serde_json::Map<String, Value> {
        serde_json::Map::from_iter([("provider".into(), "kvm".into())])
    }
}

/// The kinds of figures of one target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StatsSchema {
    /// `vcpu`, `vm`, `cryptodev`.
    pub target: String,
    #[serde(default)]
    pub stats: Vec<StatSchema>,
}

/// The kind of one figure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StatSchema {
    pub name: String,
    /// `cumulative`, `instant`, `peak`, `linear-histogram`, `log2-histogram`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// How fast the guest changes its memory, as far as it was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DirtyRate {
    /// `unstarted`, `measuring`, `measured`.
    pub status: String,
    /// Seconds since the host started.
    pub start_time: i64,
    /// Seconds, or what `calc_time_unit` says.
    pub calc_time: i64,
    /// `page-sampling`, `dirty-bitmap`, `dirty-ring`.
    pub mode: String,
    /// MiB a second.
    pub dirty_rate: Option<i64>,
    pub vcpu_dirty_rate: Vec<VcpuDirtyRate>,
}

/// The same of one vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VcpuDirtyRate {
    pub id: i64,
    pub dirty_rate: i64,
}

/// Figures of one vCPU, or of the guest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Stats {
    #[serde(default, rename = "qom-path")]
    pub qom_path: Option<String>,
    #[serde(default)]
    pub stats: Vec<Stat>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Stat {
    pub name: String,
    pub value: Value,
}

impl Stats {
    /// A figure that is a number; 0 where it is not told.
    pub fn value(&self, name: &str) -> u64 {
        let found = self.stats.iter().find(|stat| stat.name == name);
        found.and_then(|stat| stat.value.as_u64()).unwrap_or_default()
    }
}

/// A vCPU and the thread that runs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuThread {
    pub cpu_index: u32,
    pub thread_id: u32,
    #[serde(default)]
    pub qom_path: String,
}

/// A place for a vCPU, taken or not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HotpluggableCpu {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default = "one")]
    pub vcpus_count: u32,
    /// What `device_add` takes to fill it.
    pub props: serde_json::Map<String, Value>,
    /// Where the vCPU is, if one is there.
    #[serde(default)]
    pub qom_path: Option<String>,
}

fn one() -> u32 {
    1
}

/// What the balloon leaves the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct BalloonInfo {
    /// Bytes.
    pub actual: u64,
}

/// `guest-stats` of a balloon, by [`super::device::QomGet`]. Sizes are in bytes; what the guest does not tell is −1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct GuestStats {
    /// Seconds since 1970; 0 for never.
    pub last_update: u64,
    pub stats: GuestMemory,
}

/// What the guest's balloon driver says of its memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct GuestMemory {
    pub stat_swap_in: Told,
    pub stat_swap_out: Told,
    pub stat_major_faults: Told,
    pub stat_minor_faults: Told,
    pub stat_free_memory: Told,
    pub stat_total_memory: Told,
    pub stat_available_memory: Told,
    pub stat_disk_caches: Told,
    pub stat_htlb_pgalloc: Told,
    pub stat_htlb_pgfail: Told,
}

impl Default for GuestMemory {
    fn default() -> Self {
        let untold = Told(None);
        Self {
            stat_swap_in: untold,
            stat_swap_out: untold,
            stat_major_faults: untold,
            stat_minor_faults: untold,
            stat_free_memory: untold,
            stat_total_memory: untold,
            stat_available_memory: untold,
            stat_disk_caches: untold,
            stat_htlb_pgalloc: untold,
            stat_htlb_pgfail: untold,
        }
    }
}

/// A number that may be missing, which QEMU writes as −1 or as the largest number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told(pub Option<u64>);

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        Ok(Self(value.as_u64().filter(|number| *number != u64::MAX)))
    }
}

/// A drive of the guest and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Drive {
    /// Where its device is: an id, or a path that has the id in it.
    #[serde(default)]
    pub qdev: Option<String>,
    #[serde(default)]
    pub inserted: Option<Inserted>,
    #[serde(default, rename = "tray_open")]
    pub tray_open: Option<bool>,
    #[serde(default)]
    pub locked: bool,
    /// `ok`, `failed`, `nospace`.
    #[serde(default, rename = "io-status")]
    pub io_status: Option<String>,
    #[serde(default)]
    pub removable: bool,
}

impl Drive {
    /// Whether it is the drive of the device with that id.
    pub fn is_of(&self, id: &str) -> bool {
        is_of(self.qdev.as_deref(), id)
    }
}

/// The medium of a drive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inserted {
    #[serde(default)]
    pub node_name: Option<String>,
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub ro: bool,
    #[serde(default)]
    pub image: Image,
}

/// An image's sizes, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Image {
    pub virtual_size: u64,
    pub actual_size: Option<u64>,
    pub format: String,
    pub filename: String,
    /// What it is an overlay of.
    pub backing_image: Option<Box<Self>>,
}

/// A block node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockNode {
    #[serde(default)]
    pub node_name: Option<String>,
    #[serde(default)]
    pub drv: String,
    /// In bytes, 0 for none.
    #[serde(default, rename = "write_threshold")]
    pub write_threshold: u64,
}

/// The figures of a drive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriveStats {
    #[serde(default)]
    pub qdev: Option<String>,
    #[serde(default)]
    pub node_name: Option<String>,
    #[serde(default)]
    pub stats: BlockCounters,
    /// Those of the node that its data is in.
    #[serde(default)]
    pub parent: Option<Box<Self>>,
}

impl DriveStats {
    /// The names of the nodes that the data passes, from the drive down to the storage.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        let nodes = std::iter::successors(Some(self), |stats| stats.parent.as_deref());
        nodes.filter_map(|stats| stats.node_name.as_deref())
    }

    /// Whether it is the drive of the device with that id.
    pub fn is_of(&self, id: &str) -> bool {
        is_of(self.qdev.as_deref(), id)
    }
}

/// Requests and bytes since the guest started; times are in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BlockCounters {
    pub rd_bytes: u64,
    pub rd_operations: u64,
    pub rd_total_time_ns: u64,
    pub wr_bytes: u64,
    pub wr_operations: u64,
    pub wr_total_time_ns: u64,
    pub flush_operations: u64,
    pub flush_total_time_ns: u64,
    pub wr_highest_offset: u64,
}

/// A thread of its own for devices.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Iothread {
    pub id: String,
    pub thread_id: u32,
    /// Nanoseconds.
    #[serde(default)]
    pub poll_max_ns: u64,
    #[serde(default)]
    pub poll_grow: u64,
    #[serde(default)]
    pub poll_shrink: u64,
}

/// `/machine/peripheral/ID/virtio-backend`, or `ID` itself.
fn is_of(qdev: Option<&str>, id: &str) -> bool {
    let Some(path) = qdev else { return false };
    path == id
        || path.strip_prefix("/machine/peripheral/").is_some_and(|rest| rest.split('/').next() == Some(id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn below_a_filter_are_the_nodes_of_the_image() {
        let text = r#"{"qdev":"sda","node-name":"libvirt-CoR-sda","stats":{},
            "parent":{"node-name":"libvirt-3-format","stats":{},"parent":{"node-name":"libvirt-3-storage","stats":{}}}}"#;
        let drive: DriveStats = serde_json::from_str(text).unwrap();
        let names: Vec<_> = drive.node_names().collect();
        assert_eq!(names, ["libvirt-CoR-sda", "libvirt-3-format", "libvirt-3-storage"]);
    }

    #[track_caller]
    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        T::deserialize(value).unwrap()
    }

    #[test]
    fn drives_are_found_by_their_device() {
        // As QEMU 10.0.2 answers.
        let drives: Vec<Drive> = read(json!([
            {"io-status": "ok", "device": "", "locked": false, "removable": false, "type": "unknown",
             "qdev": "/machine/peripheral/virtio-disk0/virtio-backend",
             "inserted": {"ro": false, "node-name": "libvirt-2-storage", "file": "/x/a.raw", "drv": "file",
                "image": {"virtual-size": 8_388_608, "filename": "/x/a.raw", "format": "file", "actual-size": 0}}},
            {"device": "", "locked": false, "removable": true, "tray_open": true, "qdev": "sata0-0-0"}
        ]));
        let found = |id: &str| drives.iter().position(|drive| drive.is_of(id));
        assert_eq!(found("virtio-disk0"), Some(0));
        assert_eq!(found("sata0-0-0"), Some(1));
        assert_eq!(found("virtio-disk"), None);
        assert_eq!(drives[0].inserted.as_ref().unwrap().image.virtual_size, 8 << 20);
        assert_eq!(drives[1].tray_open, Some(true));
    }

    #[test]
    fn a_balloon_without_a_driver_tells_nothing() {
        let stats: GuestStats = read(json!({"stats": {"stat-free-memory": u64::MAX, "stat-swap-in": -1,
            "stat-total-memory": 4096, "stat-new": 3}, "last-update": 0}));
        assert_eq!(stats.stats.stat_free_memory, Told(None));
        assert_eq!(stats.stats.stat_swap_in, Told(None));
        assert_eq!(stats.stats.stat_disk_caches, Told(None));
        assert_eq!(stats.stats.stat_total_memory, Told(Some(4096)));
    }

    #[test]
    fn figures_of_vcpus_are_found_by_name() {
        let all: Vec<Stats> = read(json!([{"provider": "kvm", "qom-path": "/machine/unattached/device[0]",
            "stats": [{"name": "halt_poll_success_ns", "value": 7}, {"name": "odd", "value": [1, 2]}]}]));
        assert_eq!(all[0].value("halt_poll_success_ns"), 7);
        assert_eq!((all[0].value("odd"), all[0].value("none")), (0, 0));
    }

    #[test]
    fn places_for_processors_are_read() {
        let places: Vec<HotpluggableCpu> = read(json!([
            {"props": {"core-id": 0, "thread-id": 0, "socket-id": 1}, "vcpus-count": 1, "type": "qemu64-x86_64-cpu"},
            {"props": {"core-id": 0, "thread-id": 0, "socket-id": 0}, "vcpus-count": 1,
             "qom-path": "/machine/unattached/device[0]", "type": "qemu64-x86_64-cpu"}
        ]));
        assert_eq!(places[0].qom_path, None);
        assert!(places[1].qom_path.is_some());
    }
}
