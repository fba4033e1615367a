//! How the host's processors, memory and caches lie: NUMA cells, sockets, dies, cores and threads, as sysfs tells
//! (linux, Documentation/admin-guide/cputopology.rst, Documentation/ABI/stable/sysfs-devices-node).

use std::collections::BTreeSet;

use super::sys::Sys;

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";

/// The host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topology {
    /// In the order of their numbers; a kernel without NUMA has one.
    pub(super) cells: Vec<Cell>,
    /// The number of processors that can be plugged or switched on, and the numbers of those that are on.
    pub(super) present: u32,
    pub(super) online: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) id: u32,
    /// KiB.
    pub(super) memory: u64,
    pub(super) pages: Vec<Pages>,
    /// To each cell: its number and the relative distance; 10 is the cell itself.
    pub(super) distances: Vec<(u32, u32)>,
    pub(super) cpus: Vec<Cpu>,
}

/// Memory in pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pages {
    /// KiB.
    pub(super) size: u32,
    pub(super) count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) id: u32,
    pub(super) socket: u32,
    pub(super) die: u32,
    pub(super) cluster: u32,
    pub(super) core: u32,
    /// The threads of its core, itself included.
    pub(super) siblings: Vec<u32>,
}

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cache {
    pub(super) level: u32,
    pub(super) kind: &'static str,
    pub(super) id: u32,
    /// KiB.
    pub(super) size: u64,
    pub(super) cpus: Vec<u32>,
}

/// Cells, sockets of a cell, cores of a socket and threads of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) cells: usize,
    pub(super) sockets: usize,
    pub(super) cores: usize,
    pub(super) threads: usize,
}

impl Topology {
    pub(super) fn of(sys: &Sys) -> Self {
        let online = sys.list(format!("{CPUS}/online")).unwrap_or_else(|| vec![0]);
        let present = sys.list(format!("{CPUS}/present")).unwrap_or_else(|| online.clone());
        let present = present.last().map_or(0, |last| last.saturating_add(1));
        let cells = match nodes(sys) {
            nodes if nodes.is_empty() => vec![Cell {
                id: 0,
                memory: sys.kib("/proc/meminfo", "MemTotal").unwrap_or(0),
                pages: pages(sys, None),
                distances: Vec::new(),
                cpus: online.iter().map(|id| cpu(sys, *id)).collect(),
            }],
            nodes => nodes.iter().map(|node| cell(sys, *node, &nodes, &online)).collect(),
        };
        Self { cells, present, online }
    }

    /// As `virNodeGetInfo` tells it: where cells differ in shape, as one socket that has all processors as cores.
    pub(super) fn shape(&self) -> Shape {
        let all = || self.cells.iter().flat_map(|cell| &cell.cpus);
        let sockets_of = |cell: &Cell| cell.cpus.iter().map(|cpu| cpu.socket).collect::<BTreeSet<_>>().len();
        let cores_of = |socket: u32| {
            let of_socket = all().filter(|cpu| cpu.socket == socket);
            of_socket.map(|cpu| (cpu.die, cpu.core)).collect::<BTreeSet<_>>().len()
        };
        let sockets: BTreeSet<u32> = all().map(|cpu| cpu.socket).collect();
        let shape = Shape {
            cells: self.cells.len(),
            sockets: self.cells.iter().map(sockets_of).max().unwrap_or(1),
            cores: sockets.into_iter().map(cores_of).max().unwrap_or(1),
            threads: all().map(|cpu| cpu.siblings.len()).max().unwrap_or(1),
        };
        let online = self.online.len();
        if shape.cells * shape.sockets * shape.cores * shape.threads == online {
            shape
        } else {
            Shape { cells: 1, sockets: 1, cores: online, threads: 1 }
        }
    }

    /// Dies of a socket, clusters of a die: 1 unless processors are evenly spread over more.
    pub(super) fn dies(&self) -> usize {
        let all = || self.cells.iter().flat_map(|cell| &cell.cpus);
        let sockets: BTreeSet<u32> = all().map(|cpu| cpu.socket).collect();
        let dies: BTreeSet<(u32, u32)> = all().map(|cpu| (cpu.socket, cpu.die)).collect();
        if sockets.is_empty() { 1 } else { (dies.len() / sockets.len()).max(1) }
    }
}

/// The numbers of the NUMA cells that there are.
pub(super) fn nodes(sys: &Sys) -> Vec<u32> {
    sys.numbered(NODES, "node", "")
}

/// Where a cell's files are.
pub(super) fn node(id: u32) -> String {
    format!("{NODES}/node{id}")
}

/// The sizes of huge pages that the kernel has, KiB.
pub(super) fn huge_sizes(sys: &Sys, cell: Option<u32>) -> Vec<u32> {
    sys.numbered(huge_directory(cell), "hugepages-", "kB")
}

/// Where the pages of one size are counted, of a cell or of all.
pub(super) fn huge_directory(cell: Option<u32>) -> String {
    match cell {
        Some(id) => format!("{}/hugepages", node(id)),
        None => "/sys/kernel/mm/hugepages".to_owned(),
    }
}

/// KiB.
pub(super) fn base_page() -> u32 {
    u32::try_from(rustix::param::page_size() / 1024).unwrap_or(4)
}

fn cell(sys: &Sys, id: u32, nodes: &[u32], online: &[u32]) -> Cell {
    let directory = node(id);
    let cpus = sys.list(format!("{directory}/cpulist")).unwrap_or_default();
    let distances = sys.text(format!("{directory}/distance")).unwrap_or_default();
    let distances = distances.split_ascii_whitespace().filter_map(|word| word.parse().ok());
    Cell {
        id,
        memory: sys.kib(format!("{directory}/meminfo"), "MemTotal").unwrap_or(0),
        pages: pages(sys, Some(id)),
        distances: nodes.iter().copied().zip(distances).collect(),
        cpus: cpus.iter().filter(|cpu| online.contains(cpu)).map(|cpu| self::cpu(sys, *cpu)).collect(),
    }
}

/// All sizes, the smallest first. What huge pages take is not there in small ones.
fn pages(sys: &Sys, cell: Option<u32>) -> Vec<Pages> {
    let memory = match cell {
        Some(id) => sys.kib(format!("{}/meminfo", node(id)), "MemTotal"),
        None => sys.kib("/proc/meminfo", "MemTotal"),
    };
    let directory = huge_directory(cell);
    let huge: Vec<Pages> = huge_sizes(sys, cell)
        .into_iter()
        .map(|size| {
            let count = sys.number(format!("{directory}/hugepages-{size}kB/nr_hugepages")).unwrap_or(0);
            Pages { size, count }
        })
        .collect();
    let taken: u64 = huge.iter().map(|pages| u64::from(pages.size).saturating_mul(pages.count)).sum();
    let size = base_page();
    let small = Pages { size, count: memory.unwrap_or(0).saturating_sub(taken) / u64::from(size) };
    [small].into_iter().chain(huge).collect()
}

fn cpu(sys: &Sys, id: u32) -> Cpu {
    let directory = format!("{CPUS}/cpu{id}/topology");
    // What is not known is -1 in sysfs.
    let number = |name: &str| sys.number(format!("{directory}/{name}")).unwrap_or(0);
    Cpu {
        id,
        socket: number("physical_package_id"),
        die: number("die_id"),
        cluster: number("cluster_id"),
        core: number("core_id"),
        siblings: sys.list(format!("{directory}/thread_siblings_list")).unwrap_or_else(|| vec![id]),
    }
}

/// Caches from level 2 on, each once.
pub(super) fn caches(sys: &Sys, online: &[u32]) -> Vec<Cache> {
    let mut found = BTreeSet::new();
    for cpu in online {
        let directory = format!("{CPUS}/cpu{cpu}/cache");
        for index in sys.numbered(&directory, "index", "") {
            found.extend(cache(sys, &format!("{directory}/index{index}")));
        }
    }
    found.into_iter().collect()
}

fn cache(sys: &Sys, directory: &str) -> Option<Cache> {
    let file = |name: &str| sys.text(format!("{directory}/{name}"));
    let level: u32 = file("level")?.parse().ok()?;
    if level < 2 {
        return None;
    }
    let kind = match file("type")?.as_str() {
        "Unified" => "both",
        "Data" => "data",
        "Instruction" => "code",
        _ => return None,
    };
    Some(Cache {
        level,
        kind,
        id: file("id")?.parse().ok()?,
        size: file("size")?.trim_end_matches('K').parse().ok()?,
        cpus: sys.list(format!("{directory}/shared_cpu_list"))?,
    })
}
