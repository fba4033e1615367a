//! The initial register state of a SEV-ES vCPU, which the launch digest covers (24593 App. B, Table B-4).
//!
//! KVM builds it from the vCPU's reset state and hands it to the secure processor, so an owner has to know which
//! fields that kernel fills: kernels do not agree. They are told apart by an explicit [`Profile`], never guessed.

use crate::bytes::put;

/// Length of a save area in bytes.
pub const LEN: usize = 4096;

/// Where the first vCPU starts: the last 16 bytes below 4 GiB.
pub const BSP_RESET_ADDRESS: u32 = 0xffff_fff0;

/// Which fields the host's kernel and QEMU fill beyond the registers of the reset state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Guests created with KVM_SEV_ES_INIT, which is what QEMU does unless told `legacy-vm-type=off`, on all kernels;
    /// and with KVM_SEV_INIT2 before Linux 6.10. The floating-point state is zero.
    #[default]
    Legacy,
    /// Guests created with KVM_SEV_INIT2 on Linux 6.10 and newer: MXCSR and the x87 control word are filled in.
    Fpu,
}

impl Profile {
    /// All profiles, the most common first: what to try when a measurement does not match.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Fpu];
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Fpu => "fpu",
        })
    }
}

/// The signature of a vCPU's model: CPUID leaf 1, EAX.
///
/// # Examples
///
/// ```
/// use attest::sev::vmsa::VcpuSignature;
///
/// assert_eq!(VcpuSignature::new(25, 1, 1), VcpuSignature(0x00a0_0f11)); // EPYC-Milan
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuSignature(pub u32);

impl VcpuSignature {
    /// The signature of a model given by its family, model and stepping numbers, as QEMU's CPU models have them.
    /// Bits beyond 12, 8 and 4 are ignored.
    pub fn new(family: u16, model: u8, stepping: u8) -> Self {
        let family = u32::from(family & 0xfff);
        let model = u32::from(model);
        let family_bits = match family {
            0..=0xf => family << 8,
            _ => 0xf00 | (family - 0xf) << 20,
        };
        let model_bits = (model & 0xf) << 4 | (model >> 4) << 16;
        Self(family_bits | model_bits | u32::from(stepping & 0xf))
    }

    /// The signature of one of QEMU's named models that SEV-ES hosts can run, with or without its version
    /// (`EPYC-Milan`, `EPYC-Milan-v2`). The versions of a model share their signature.
    pub fn of_qemu_model(name: &str) -> Option<Self> {
        let (family, model, stepping) = match strip_version(name) {
            "EPYC" | "EPYC-IBPB" => (23, 1, 2),
            "EPYC-Rome" => (23, 49, 0),
            "EPYC-Milan" => (25, 1, 1),
            "EPYC-Genoa" => (25, 17, 0),
            "EPYC-Turin" => (26, 0, 0),
            _ => return None,
        };
        Some(Self::new(family, model, stepping))
    }
}

impl std::fmt::Display for VcpuSignature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

fn strip_version(name: &str) -> &str {
    match name.rsplit_once("-v") {
        Some((model, version))
            if !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            model
        }
        _ => name,
    }
}

/// What the state of a guest's vCPUs depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vcpus {
    /// How many there are.
    pub count: u32,
    /// Their model.
    pub signature: VcpuSignature,
    /// Where all but the first start: the firmware's SEV-ES reset block.
    pub ap_reset_address: u32,
    /// SEV_FEATURES, zero for guests created with KVM_SEV_ES_INIT.
    pub sev_features: u64,
    /// Which fields are filled.
    pub profile: Profile,
}

impl Vcpus {
    /// The initial states in the order they are loaded.
    pub fn states(&self) -> impl Iterator<Item = Vmsa> + '_ {
        (0..self.count).map(|index| {
            let address = if index == 0 { BSP_RESET_ADDRESS } else { self.ap_reset_address };
            Vmsa::at_reset(address, self.signature, self.sev_features, self.profile)
        })
    }
}

/// The save area of one vCPU.
#[derive(Clone, PartialEq, Eq)]
pub struct Vmsa(Box<[u8; LEN]>);

impl Vmsa {
    /// The state at reset of a vCPU that starts at `reset_address`.
    pub fn at_reset(
        reset_address: u32,
        signature: VcpuSignature,
        sev_features: u64,
        profile: Profile,
    ) -> Self {
        let mut area = Box::new([0; LEN]);
        let bytes: &mut [u8] = &mut *area;
        const DATA: u16 = 0x93;
        for segment in [offset::ES, offset::SS, offset::DS, offset::FS, offset::GS] {
            put_segment(bytes, segment, 0, DATA, 0);
        }
        put_segment(bytes, offset::CS, 0xf000, 0x9b, u64::from(reset_address & 0xffff_0000));
        put_segment(bytes, offset::GDTR, 0, 0, 0);
        put_segment(bytes, offset::LDTR, 0, 0x82, 0);
        put_segment(bytes, offset::IDTR, 0, 0, 0);
        put_segment(bytes, offset::TR, 0, 0x8b, 0);
        for (offset, value) in [
            (offset::EFER, 0x1000), // SVME
            (offset::CR4, 0x40),    // MCE
            (offset::CR0, 0x10),    // ET
            (offset::DR7, 0x400),
            (offset::DR6, 0xffff_0ff0),
            (offset::RFLAGS, 0x2),
            (offset::RIP, u64::from(reset_address & 0xffff)),
            (offset::G_PAT, 0x0007_0406_0007_0406),
            (offset::RDX, u64::from(signature.0)),
            (offset::SEV_FEATURES, sev_features),
            (offset::XCR0, 0x1),
        ] {
            put(bytes, offset, &value.to_le_bytes());
        }
        match profile {
            Profile::Legacy => {}
            Profile::Fpu => {
                put(bytes, offset::MXCSR, &0x1f80_u32.to_le_bytes());
                put(bytes, offset::X87_FCW, &0x037f_u16.to_le_bytes());
            }
        }
        Self(area)
    }

    /// The 4096 bytes.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl std::fmt::Debug for Vmsa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vmsa").finish_non_exhaustive()
    }
}

/// `selector u16, attributes u16, limit u32, base u64`; every limit at reset is 0xffff.
fn put_segment(bytes: &mut [u8], at: usize, selector: u16, attributes: u16, base: u64) {
    put(bytes, at, &selector.to_le_bytes());
    put(bytes, at + 2, &attributes.to_le_bytes());
    put(bytes, at + 4, &0xffff_u32.to_le_bytes());
    put(bytes, at + 8, &base.to_le_bytes());
}

/// Byte offsets in the save area (24593 Table B-4).
mod offset {
    pub(super) const ES: usize = 0x00;
    pub(super) const CS: usize = 0x10;
    pub(super) const SS: usize = 0x20;
    pub(super) const DS: usize = 0x30;
    pub(super) const FS: usize = 0x40;
    pub(super) const GS: usize = 0x50;
    pub(super) const GDTR: usize = 0x60;
    pub(super) const LDTR: usize = 0x70;
    pub(super) const IDTR: usize = 0x80;
    pub(super) const TR: usize = 0x90;
    pub(super) const EFER: usize = 0xd0;
    pub(super) const CR4: usize = 0x148;
    pub(super) const CR0: usize = 0x158;
    pub(super) const DR7: usize = 0x160;
    pub(super) const DR6: usize = 0x168;
    pub(super) const RFLAGS: usize = 0x170;
    pub(super) const RIP: usize = 0x178;
    pub(super) const G_PAT: usize = 0x268;
    pub(super) const RDX: usize = 0x310;
    pub(super) const SEV_FEATURES: usize = 0x3b0;
    pub(super) const XCR0: usize = 0x3e8;
    pub(super) const MXCSR: usize = 0x408;
    pub(super) const X87_FCW: usize = 0x410;
}
