//! Whole hosts to assume: one of each EPYC generation on which everything is right, and the lab.

use super::{AssumeError, COMMON_EMULATOR, wrong};
use crate::facts::{
    Asids, Count, Cpu, Device, Emulator, Fact, Facts, KvmAmd, MemoryEncryption, Platform, PlatformState,
    SnpPlatform, User,
};

/// A host of one generation: its processor as CPUID shows it, and software that was current for it.
struct Host {
    name: &'static str,
    family: u32,
    model: u32,
    stepping: u32,
    microcode: &'static str,
    sme: bool,
    snp: bool,
    cbitpos: u32,
    reduced_phys_bits: u32,
    asids: u32,
    /// As firmware set-ups that divide the ASIDs have it.
    min_sev_asid: u32,
    kernel: &'static str,
    qemu: &'static str,
    api: (u8, u8, u8),
}

const TABLE: [Host; 6] = [
    Host {
        name: "naples",
        family: 0x17,
        model: 0x01,
        stepping: 2,
        microcode: "0x8001250",
        sme: true,
        snp: false,
        cbitpos: 47,
        reduced_phys_bits: 5,
        asids: 15,
        min_sev_asid: 5,
        kernel: "5.10.0",
        qemu: "6.0.0",
        api: (0, 17, 48),
    },
    Host {
        name: "rome",
        family: 0x17,
        model: 0x31,
        stepping: 0,
        microcode: "0x8301055",
        sme: true,
        snp: false,
        cbitpos: 47,
        reduced_phys_bits: 5,
        asids: 509,
        min_sev_asid: 100,
        kernel: "5.14.0",
        qemu: "6.2.0",
        api: (0, 24, 15),
    },
    Host {
        name: "milan",
        family: 0x19,
        model: 0x01,
        stepping: 1,
        microcode: "0xa0011d1",
        sme: true,
        snp: true,
        cbitpos: 51,
        reduced_phys_bits: 5,
        asids: 509,
        min_sev_asid: 100,
        kernel: "6.11.0",
        qemu: "9.1.0",
        api: (1, 55, 21),
    },
    Host {
        name: "genoa",
        family: 0x19,
        model: 0x11,
        stepping: 1,
        microcode: "0xa101148",
        sme: true,
        snp: true,
        cbitpos: 51,
        reduced_phys_bits: 5,
        asids: 1006,
        min_sev_asid: 100,
        kernel: "6.11.0",
        qemu: "9.1.0",
        api: (1, 55, 37),
    },
    Host {
        name: "turin",
        family: 0x1a,
        model: 0x02,
        stepping: 1,
        microcode: "0xb002116",
        sme: true,
        snp: true,
        cbitpos: 51,
        reduced_phys_bits: 5,
        asids: 1006,
        min_sev_asid: 100,
        kernel: "6.12.0",
        qemu: "10.0.0",
        api: (1, 58, 1),
    },
    // The outer machine's processor and what its simulated secure processor says.
    Host {
        name: "lab",
        family: 6,
        model: 6,
        stepping: 3,
        microcode: "0x1000065",
        sme: false,
        snp: true,
        cbitpos: 47,
        reduced_phys_bits: 1,
        asids: 509,
        min_sev_asid: 100,
        kernel: "6.1.0",
        qemu: "10.0.0",
        api: (1, 55, 21),
    },
];

pub(super) const HOSTS: [&str; 6] = ["naples", "rome", "milan", "genoa", "turin", "lab"];

/// What it replaces is everything that makes a host of its generation; firmware, limits and security modules stay.
pub(super) fn assume(facts: &mut Facts, name: &str) -> Result<(), AssumeError> {
    let host = TABLE
        .iter()
        .find(|host| host.name == name)
        .ok_or_else(|| wrong("host", name, &HOSTS.join(", ").replacen(", lab", " or lab", 1)))?;
    facts.cpu = host.cpu();
    facts.kernel_release = Fact::Known(host.kernel.to_owned());
    facts.kernel_command_line = Fact::Known("mem_encrypt=on kvm_amd.sev=1 kvm_amd.sev_es=1".to_owned());
    facts.boot.command_line = facts.kernel_command_line.clone();
    let sev_snp = Some(host.snp);
    facts.kvm_amd = Fact::Known(KvmAmd { sev: Some(true), sev_es: Some(true), sev_snp });
    // kvm's group is that of the user that QEMU runs as, whatever its number.
    let user = facts.qemu_user.known().cloned().unwrap_or_else(|| User {
        name: "qemu".to_owned(),
        uid: 107,
        gids: vec![107, 36],
    });
    let gid = user.gids.last().copied().unwrap_or(36);
    let device = Device { uid: 0, gid, mode: 0o660, acl: Fact::Absent, label: Fact::Absent };
    facts.qemu_user = Fact::Known(user);
    facts.kvm = Fact::Known(device.clone());
    facts.sev_device = Fact::Known(device);
    let (api_major, api_minor, build) = host.api;
    facts.platform = Fact::Known(Platform {
        api_major,
        api_minor,
        build,
        state: PlatformState::Initialised,
        externally_owned: false,
        es: true,
        guests: 0,
    });
    facts.snp_platform = if host.snp {
        Fact::Known(SnpPlatform {
            api_major,
            api_minor,
            build: build.into(),
            initialised: true,
            rmp_initialised: true,
            guests: 0,
            current_tcb: 0,
            reported_tcb: 0,
        })
    } else {
        Fact::Absent
    };
    facts.iommu = Fact::Known(vec!["ivhd0".to_owned()]);
    let lab = "sevirt lab: the secure processor is simulated and memory is not encrypted";
    facts.simulated = (host.name == "lab").then(|| lab.to_owned());
    let count = |capacity: u32| Count { capacity: capacity.into(), used: 0 };
    facts.asids = Fact::Known(Asids {
        sev: count(host.asids + 1 - host.min_sev_asid),
        sev_es: count(host.min_sev_asid - 1),
    });
    if facts.emulators.is_empty() {
        facts.emulators.push(Emulator { path: COMMON_EMULATOR.into(), ..Emulator::default() });
    }
    for emulator in &mut facts.emulators {
        emulator.version = Fact::Known(host.qemu.to_owned());
        emulator.sev_objects = vec!["sev-guest".to_owned()];
        if host.snp {
            emulator.sev_objects.push("sev-snp-guest".to_owned());
        }
        emulator.sev_refusal = None;
    }
    Ok(())
}

impl Host {
    fn cpu(&self) -> Cpu {
        let mut flags = vec!["sme", "sev", "sev_es"];
        if self.snp {
            flags.push("sev_snp");
        }
        Cpu {
            vendor: Fact::Known("AuthenticAMD".to_owned()),
            family: self.family,
            model: self.model,
            stepping: self.stepping,
            kernel_flags: Fact::Known(flags.into_iter().map(str::to_owned).collect()),
            microcode: Fact::Known(self.microcode.to_owned()),
            memory_encryption: Fact::Known(MemoryEncryption {
                sme: self.sme,
                sev: true,
                sev_es: true,
                sev_snp: self.snp,
                cbitpos: self.cbitpos,
                reduced_phys_bits: self.reduced_phys_bits,
                asids: self.asids,
                min_sev_asid: self.min_sev_asid,
            }),
        }
    }
}
