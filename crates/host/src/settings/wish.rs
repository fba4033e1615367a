//! What each technology wants of the kernel's command line and of the `kvm_amd` module.
//!
//! The kernel's Documentation/admin-guide/kernel-parameters.txt (`mem_encrypt=`, `amd_iommu=`, `iommu=`,
//! `iommu.passthrough=`); arch/x86/kvm/svm/sev.c (`sev`, `sev_es`, `sev_snp`). SEV-SNP needs the IOMMU on, not in
//! passthrough mode, and with version 1 page tables: `iommu_snp_enable` in drivers/iommu/amd/init.c.

use qemu::Technology;

use crate::boot::command_line::{Parameter, boolean};

/// A parameter that has to have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
}

const MEMORY: Wish = Wish { name: "mem_encrypt", value: "on" };
const SEV: Wish = Wish { name: "kvm_amd.sev", value: "1" };
const SEV_ES: Wish = Wish { name: "kvm_amd.sev_es", value: "1" };
const SEV_SNP: Wish = Wish { name: "kvm_amd.sev_snp", value: "1" };

/// What has to be on the kernel's command line.
pub(crate) fn wishes(technology: Technology) -> &'static [Wish] {
    const ALL: &[Wish] = &[MEMORY, SEV, SEV_ES, SEV_SNP];
    let count = match technology {
        Technology::Sev => 2,
        Technology::SevEs => 3,
        Technology::SevSnp => 4,
    };
    ALL.get(..count).unwrap_or(ALL)
}

impl Wish {
    /// As a word of the command line.
    pub(crate) fn word(&self) -> String {
        format!("{}={}", self.name, self.value)
    }

    /// As a word of modprobe's `options kvm_amd`; `None` for what is no parameter of that module.
    pub(crate) fn option(&self) -> Option<(&'static str, &'static str)> {
        Some((self.name.strip_prefix("kvm_amd.")?, self.value))
    }

    pub(crate) fn is_met(&self, parameter: &Parameter) -> bool {
        match self.option() {
            Some(_) => boolean(parameter.value.as_deref()) == Some(true),
            None => parameter.value.as_deref() == Some(self.value),
        }
    }
}

/// What a parameter that is in the way has to become, or `None` where it is not in the way.
pub(crate) fn mended(technology: Technology, parameter: &Parameter) -> Option<String> {
    if technology != Technology::SevSnp {
        return None;
    }
    let value = parameter.value.as_deref()?;
    let name = &parameter.name;
    if parameter.is("iommu.passthrough") {
        return (boolean(Some(value)) == Some(true)).then(|| format!("{name}=0"));
    }
    let replace: &[(&str, &str)] = match name.as_str() {
        "iommu" => &[("pt", "nopt"), ("off", "nopt")],
        // Without `off` it is on; `on` is no word of it.
        "amd_iommu" => &[("off", "pgtbl_v1"), ("pgtbl_v2", "pgtbl_v1")],
        _ => return None,
    };
    let mend = |word: &str| {
        let (_, good) = replace.iter().find(|(bad, _)| *bad == word).copied().unzip();
        good.map_or_else(|| word.to_owned(), str::to_owned)
    };
    let mended = value.split(',').map(mend).collect::<Vec<_>>().join(",");
    (mended != value).then(|| format!("{name}={mended}"))
}
