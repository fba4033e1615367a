//! What `mode='host-model'` is on the hosts that libvirt's tests pretend to run on. libvirt works it out with its own
//! database of CPU models, which sevirt does without; the result is an input of the plan.

use domain::{Domain, model::DomainKind};
use qemu::plan::CpuChoice;

/// An Intel host: two cases that replace the usual host CPU.
const INTEL: &str = "Haswell,+vme,+ds,+acpi,+ss,+ht,+tm,+pbe,+dtes64,+monitor,+ds-cpl,+vmx,+smx,+est,+tm2,+xtpr,+pdcm,\
+f16c,+rdrand,+pdpe1gb,+abm,+lahf-lm";

/// The AMD machine on which QEMU 10.0.0 was asked, with KVM.
const AMD_KVM: &str = "EPYC-Rome,+x2apic,+tsc-deadline,+hypervisor,+tsc-adjust,+stibp,+arch-capabilities,+ssbd,\
+cmp-legacy,+overflow-recov,+succor,+amd-ssbd,+virt-ssbd,+lbrv,+tsc-scale,+vmcb-clean,+flushbyasid,+pause-filter,\
+pfthreshold,+v-vmsave-vmload,+vgif,+svme-addr-chk,+lfence-always-serializing,+null-sel-clr-base,+ibpb-brtype,+rdctl-no,\
+skip-l1dfl-vmentry,+mds-no,+pschange-mc-no,+gds-no,+rfds-no,-xsaves";

/// The same, emulated.
const AMD_TCG: &str = "EPYC,+monitor,+x2apic,+hypervisor,+acpi,+ss,+erms,+mpx,+clwb,+umip,+pku,+vaes,+la57,+rdpid,+pks,\
+fsrm,+cmpccxadd,+fzrm,+fsrs,+fsrc,+3dnowext,+3dnow,+xsaveerptr,+wbnoinvd,+npt,+vgif,+svme-addr-chk,-vme,-xsavec,\
-misalignsse,-osvw,-topoext,-fxsr-opt,-nrip-save";

pub(crate) fn model(case: &str, domain: &Domain) -> Option<CpuChoice> {
    let text = match (case, domain.kind) {
        ("cpu-host-model-cmt" | "cpu-cache-disable3", _) => INTEL,
        (_, DomainKind::Kvm) => AMD_KVM,
        (_, DomainKind::Qemu) => AMD_TCG,
    };
    let mut words = text.split(',');
    let model = words.next()?.to_owned();
    let features = words.map(|word| (word[1..].to_owned(), word.starts_with('+')));
    Some(CpuChoice { model, features: features.collect() })
}
