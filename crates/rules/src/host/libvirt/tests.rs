//! Each branch of virt-host-validate 11.3. Those that need no other processor were run with it, its view of /proc,
//! /sys and /dev replaced; `crates/cli/tests/host.rs` repeats that where it is installed.

use host::{Cpu, Device, Fact, Facts, KvmAmd, MemoryEncryption};

use super::{Validation, validate};

#[track_caller]
fn check(
    flags: &[&str],
    sev: Option<Option<bool>>,
    device: bool,
    leaf: (bool, bool),
    expected: &[Option<&str>],
) {
    let (sev_es, sev_snp) = leaf;
    let node = Device { uid: 0, gid: 0, mode: 0, acl: Fact::Absent, label: Fact::Absent };
    let facts = Facts {
        cpu: Cpu {
            kernel_flags: Fact::Known(flags.iter().map(|flag| (*flag).to_owned()).collect()),
            memory_encryption: Fact::Known(MemoryEncryption {
                sme: true,
                sev: true,
                sev_es,
                sev_snp,
                cbitpos: 51,
                reduced_phys_bits: 1,
                asids: 509,
                min_sev_asid: 100,
            }),
            ..Cpu::default()
        },
        kvm_amd: sev.map_or(Fact::Absent, |sev| Fact::Known(KvmAmd { sev, sev_es: None, sev_snp: None })),
        sev_device: if device { Fact::Known(node) } else { Fact::Absent },
        ..Facts::default()
    };
    let outcomes: Vec<_> = validate(&facts).iter().map(|line| line.outcome.err()).collect();
    assert_eq!(outcomes, expected);
}

const UNKNOWN: &str = "Unknown if this platform has Secure Guest support";
const NO_MODULE: &str = "AMD Secure Encrypted Virtualization not supported by the currently used kernel";
const OFF: &str = "AMD Secure Encrypted Virtualization appears to be disabled in kernel. Add kvm_amd.sev=1 to the \
                   kernel cmdline arguments";
const NO_DEVICE: &str = "AMD Secure Encrypted Virtualization appears to be disabled in firmware.";
const NO_ES: &str = "AMD SEV-ES is not supported";
const NO_SNP: &str = "AMD SEV-SNP is not supported";

#[test]
fn every_branch_is_as_in_libvirt() {
    let on = Some(Some(true));
    let all = (true, true);
    check(&[], on, true, all, &[Some(UNKNOWN)]);
    check(&["sme", "sev_es"], on, true, all, &[Some(UNKNOWN)]);
    check(&["sev"], None, true, all, &[Some(NO_MODULE)]);
    check(&["sev"], Some(None), true, all, &[Some(NO_MODULE)]);
    check(&["sev"], Some(Some(false)), true, all, &[Some(OFF)]);
    check(&["sev"], on, false, all, &[Some(NO_DEVICE)]);
    check(&["sev"], on, true, (false, true), &[None, Some(NO_ES)]);
    check(&["sev"], on, true, (true, false), &[None, None, Some(NO_SNP)]);
    check(&["sev"], on, true, all, &[None, None, None]);
}

#[test]
fn an_unknown_host_is_unknown() {
    let line = Validation { check: "Checking for secure guest support", outcome: Err(UNKNOWN) };
    assert_eq!(validate(&Facts::default()), [line]);
}
