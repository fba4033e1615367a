//! `<features>`.

use super::{Switch, keyword::keywords, memory::Kib};

/// `<features>`. A presence flag is `bool`, a switch with a state is `Option<Switch>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub acpi: bool,
    pub apic: Option<Apic>,
    pub pae: bool,
    /// `<hap>`; the element without a state means on.
    pub hap: Option<Switch>,
    pub viridian: bool,
    pub privnet: bool,
    pub hyperv: Option<Hyperv>,
    pub kvm: Option<KvmFeatures>,
    pub pvspinlock: Option<Switch>,
    pub pmu: Option<Switch>,
    pub vmport: Option<Switch>,
    pub ioapic: Option<IoapicDriver>,
    pub smm: Option<Smm>,
    pub vmcoreinfo: Option<Switch>,
    pub ps2: Option<Switch>,
    /// `<msrs unknown=…>`.
    pub unknown_msrs: Option<UnknownMsrs>,
    pub async_teardown: Option<Switch>,
}

/// `<apic>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apic {
    pub eoi: Option<Switch>,
}

keywords! {
    /// `<ioapic driver=…>`.
    pub enum IoapicDriver {
        Kvm = "kvm",
        Qemu = "qemu",
    }
}

/// `<smm>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smm {
    pub state: Switch,
    pub tseg: Option<Kib>,
}

keywords! {
    /// `<msrs unknown=…>`.
    pub enum UnknownMsrs {
        Ignore = "ignore",
        Fault = "fault",
    }
}

/// `<kvm>` of `<features>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvmFeatures {
    pub hidden: Option<Switch>,
    pub hint_dedicated: Option<Switch>,
    pub poll_control: Option<Switch>,
    pub pv_ipi: Option<Switch>,
    pub dirty_ring: Option<DirtyRing>,
}

/// `<dirty-ring>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirtyRing {
    pub state: Switch,
    /// Entries.
    pub size: Option<u32>,
}

/// `<hyperv>`: the enlightenments in libvirt's order, those that are on or off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hyperv {
    pub mode: Option<HypervMode>,
    pub features: Vec<HypervFeature>,
}

keywords! {
    /// `<hyperv mode=…>`.
    pub enum HypervMode {
        Custom = "custom",
        Passthrough = "passthrough",
    }
}

/// One enlightenment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HypervFeature {
    pub name: HypervName,
    pub state: Switch,
    /// `retries` of `spinlocks`.
    pub retries: Option<u32>,
    /// `value` of `vendor_id`.
    pub vendor_id: Option<String>,
    /// `<direct>` of `stimer`; `<direct>` and `<extended>` of `tlbflush`.
    pub direct: Option<Switch>,
    pub extended: Option<Switch>,
}

keywords! {
    /// The enlightenments, in the order libvirt prints them.
    pub enum HypervName {
        Relaxed = "relaxed",
        Vapic = "vapic",
        Spinlocks = "spinlocks",
        Vpindex = "vpindex",
        Runtime = "runtime",
        Synic = "synic",
        Stimer = "stimer",
        Reset = "reset",
        VendorId = "vendor_id",
        Frequencies = "frequencies",
        Reenlightenment = "reenlightenment",
        Tlbflush = "tlbflush",
        Ipi = "ipi",
        Evmcs = "evmcs",
        Avic = "avic",
        EmsrBitmap = "emsr_bitmap",
        XmmInput = "xmm_input",
    }
}
