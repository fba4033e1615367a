//! `virsh capabilities`: the host, and the guests that its emulators run, in libvirt's form.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::escape_attribute;
use host::{Facts, User};
use qemu::Caps;
use qemu::domain_caps::host_cpu_model;
use qemu::qmp::command::Machine;

use super::sys::{self, Sys};
use super::topology::{self, Cache, Cell, Topology};
use crate::service::{Failure, Service, blocking};
use crate::start::DEFAULT_EMULATOR;

/// The emulator of guests of 32 bits, where it is installed.
const I386_EMULATOR: &str = "/usr/bin/qemu-system-i386";

pub(in crate::service) async fn capabilities(service: &Arc<Service>) -> Result<String, Failure> {
    blocking(service, |service| {
        let sys = Sys::live();
        let facts = service.host.facts();
        let emulator = |path: &'static str| {
            let path = Path::new(path);
            // A host without the emulator has guests of fewer kinds.
            let caps = path.exists().then(|| service.host.caps(path)).and_then(Result::ok)?;
            Some((path.to_owned(), caps))
        };
        let (i686, x86_64) = (emulator(I386_EMULATOR), emulator(DEFAULT_EMULATOR));
        let host = Host::of(&sys, &facts, x86_64.as_ref().map(|(_, caps)| caps.as_ref()));
        let guests: Vec<Guest<'_>> = [("i686", 32, &i686), ("x86_64", 64, &x86_64)]
            .into_iter()
            .filter_map(|(arch, bits, found)| {
                let (emulator, caps) = found.as_ref()?;
                Some(Guest { arch, bits, emulator, caps })
            })
            .collect();
        let mut text = String::with_capacity(16 << 10);
        // A string takes all that it is given.
        let _ = write!(text, "<capabilities>\n\n{host}\n");
        for guest in guests {
            let _ = writeln!(text, "{guest}");
        }
        text.push_str("</capabilities>\n");
        text.shrink_to_fit();
        Ok(text)
    })
    .await
}

/// What is told of the host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) uuid: Option<String>,
    pub(super) cpu: Cpu,
    pub(super) topology: Topology,
    pub(super) caches: Vec<Cache>,
    pub(super) iommu: bool,
    pub(super) qemu_user: User,
}

#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) model: Option<(String, &'static str)>,
    pub(super) microcode: Option<u64>,
    /// Family, model, stepping.
    pub(super) signature: Option<[u32; 3]>,
    pub(super) address_bits: Option<u32>,
}

impl Host {
    fn of(sys: &Sys, facts: &Facts, caps: Option<&Caps>) -> Self {
        let topology = Topology::of(sys);
        let cpu = &facts.cpu;
        let microcode = cpu.microcode.known().and_then(|text| {
            text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
        });
        Self {
            uuid: uuid(sys),
            cpu: Cpu {
                model: caps.and_then(host_cpu_model),
                microcode,
                signature: cpu.vendor.known().map(|_| [cpu.family, cpu.model, cpu.stepping]),
                address_bits: crate::domain_caps::address_bits(),
            },
            caches: topology::caches(sys, &topology.online),
            topology,
            iommu: sys.has_entries("/sys/kernel/iommu_groups"),
            qemu_user: facts.qemu_user.known().cloned().unwrap_or_else(User::of_this_process),
        }
    }
}

/// The machine's own, else the installation's (machine-id(5)); libvirt makes one up at every start instead.
fn uuid(sys: &Sys) -> Option<String> {
    let read = |path: &str| uuid::Uuid::parse_str(&sys.text(path)?).ok().filter(|uuid| !uuid.is_nil());
    let found = read("/sys/class/dmi/id/product_uuid").or_else(|| read("/etc/machine-id"))?;
    Some(found.hyphenated().to_string())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  <host>")?;
        if let Some(uuid) = &self.uuid {
            writeln!(f, "    <uuid>{uuid}</uuid>")?;
        }
        self.cpu(f)?;
        writeln!(f, "    <power_management/>")?;
        writeln!(f, "    <iommu support='{}'/>", if self.iommu { "yes" } else { "no" })?;
        writeln!(f, "    <topology>\n      <cells num='{}'>", self.topology.cells.len())?;
        self.topology.cells.iter().try_for_each(|one| cell(f, one))?;
        writeln!(f, "      </cells>\n    </topology>")?;
        if !self.caches.is_empty() {
            writeln!(f, "    <cache>")?;
            self.caches.iter().try_for_each(|one| cache(f, one))?;
            writeln!(f, "    </cache>")?;
        }
        writeln!(f, "    <secmodel>\n      <model>none</model>\n      <doi>0</doi>\n    </secmodel>")?;
        writeln!(f, "    <secmodel>\n      <model>dac</model>\n      <doi>0</doi>")?;
        let (uid, gid) = (self.qemu_user.uid, self.qemu_user.gids.first().copied().unwrap_or(0));
        for kind in ["kvm", "qemu"] {
            writeln!(f, "      <baselabel type='{kind}'>+{uid}:+{gid}</baselabel>")?;
        }
        writeln!(f, "    </secmodel>\n  </host>")
    }
}

impl Host {
    fn cpu(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cpu { model, microcode, signature, address_bits } = &self.cpu;
        writeln!(f, "    <cpu>\n      <arch>{}</arch>", std::env::consts::ARCH)?;
        if let Some((model, vendor)) = model {
            writeln!(f, "      <model>{model}</model>\n      <vendor>{vendor}</vendor>")?;
        }
        if let Some(microcode) = microcode {
            writeln!(f, "      <microcode version='{microcode}'/>")?;
        }
        if let Some([family, model, stepping]) = signature {
            writeln!(f, "      <signature family='{family}' model='{model}' stepping='{stepping}'/>")?;
        }
        let shape = self.topology.shape();
        let dies = self.topology.dies();
        writeln!(
            f,
            "      <topology sockets='{}' dies='{dies}' clusters='1' cores='{}' threads='{}'/>",
            shape.sockets,
            shape.cores / dies.max(1),
            shape.threads
        )?;
        if let Some(bits) = address_bits {
            writeln!(f, "      <maxphysaddr mode='emulate' bits='{bits}'/>")?;
        }
        let sizes = self.topology.cells.first().into_iter().flat_map(|cell| &cell.pages);
        for pages in sizes {
            writeln!(f, "      <pages unit='KiB' size='{}'/>", pages.size)?;
        }
        writeln!(f, "    </cpu>")
    }
}

fn cell(f: &mut fmt::Formatter<'_>, cell: &Cell) -> fmt::Result {
    writeln!(f, "        <cell id='{}'>", cell.id)?;
    writeln!(f, "          <memory unit='KiB'>{}</memory>", cell.memory)?;
    for pages in &cell.pages {
        writeln!(f, "          <pages unit='KiB' size='{}'>{}</pages>", pages.size, pages.count)?;
    }
    if !cell.distances.is_empty() {
        writeln!(f, "          <distances>")?;
        for (id, distance) in &cell.distances {
            writeln!(f, "            <sibling id='{id}' value='{distance}'/>")?;
        }
        writeln!(f, "          </distances>")?;
    }
    writeln!(f, "          <cpus num='{}'>", cell.cpus.len())?;
    for cpu in &cell.cpus {
        writeln!(
            f,
            "            <cpu id='{}' socket_id='{}' die_id='{}' cluster_id='{}' core_id='{}' siblings='{}'/>",
            cpu.id,
            cpu.socket,
            cpu.die,
            cpu.cluster,
            cpu.core,
            sys::shown(&cpu.siblings)
        )?;
    }
    writeln!(f, "          </cpus>\n        </cell>")
}

fn cache(f: &mut fmt::Formatter<'_>, cache: &Cache) -> fmt::Result {
    let (size, unit) =
        if cache.size.is_multiple_of(1024) { (cache.size / 1024, "MiB") } else { (cache.size, "KiB") };
    writeln!(
        f,
        "      <bank id='{}' level='{}' type='{}' size='{size}' unit='{unit}' cpus='{}'/>",
        cache.id,
        cache.level,
        cache.kind,
        sys::shown(&cache.cpus)
    )
}

/// What is told of the guests of one emulator.
struct Guest<'g> {
    arch: &'static str,
    bits: u32,
    emulator: &'g PathBuf,
    caps: &'g Caps,
}

impl fmt::Display for Guest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let emulator = self.emulator.to_string_lossy();
        writeln!(f, "  <guest>\n    <os_type>hvm</os_type>\n    <arch name='{}'>", self.arch)?;
        writeln!(f, "      <wordsize>{}</wordsize>", self.bits)?;
        writeln!(f, "      <emulator>{}</emulator>", domain::escape_text(&emulator))?;
        let shown = self.caps.machines.iter().filter(|machine| machine.name != "none");
        let (first, rest): (Vec<&Machine>, Vec<&Machine>) = shown.partition(|machine| machine.is_default);
        first.into_iter().chain(rest).try_for_each(|one| machine(f, one))?;
        writeln!(f, "      <domain type='qemu'/>")?;
        if self.caps.kvm.enabled {
            writeln!(f, "      <domain type='kvm'/>")?;
        }
        writeln!(f, "    </arch>\n    <features>")?;
        if self.bits == 32 {
            writeln!(f, "      <pae/>\n      <nonpae/>")?;
        }
        writeln!(f, "      <acpi default='on' toggle='yes'/>")?;
        writeln!(f, "      <apic default='on' toggle='no'/>")?;
        writeln!(f, "      <cpuselection/>\n      <deviceboot/>")?;
        writeln!(f, "      <disksnapshot default='off' toggle='no'/>")?;
        writeln!(f, "    </features>\n  </guest>")
    }
}

fn machine(f: &mut fmt::Formatter<'_>, machine: &Machine) -> fmt::Result {
    let name = escape_attribute(&machine.name, '\'');
    let max = machine.cpu_max;
    let deprecated = if machine.deprecated { " deprecated='yes'" } else { "" };
    writeln!(f, "      <machine maxCpus='{max}'{deprecated}>{name}</machine>")?;
    match &machine.alias {
        Some(alias) => {
            let alias = escape_attribute(alias, '\'');
            writeln!(f, "      <machine canonical='{name}' maxCpus='{max}'{deprecated}>{alias}</machine>")
        }
        None => Ok(()),
    }
}
