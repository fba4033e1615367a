//! What a domain's launch loads, as the planner of its start decides it.

use std::path::Path;

use anyhow::{Context as _, bail};
use attest::sev::digest::EsVcpus;
use attest::sev::policy::Policy;
use attest::sev::vmsa::{Profile, VcpuSignature};
use daemon::expected;
use daemon::start::{self, DEFAULT_EMULATOR};
use domain::model::launch_security::LaunchSecurity;
use domain::{Document, Domain};
use host::Root;
use qemu::Caps;
use qemu::Technology;
use qemu::plan::{DirectBoot, LaunchInputs};

use super::contents::Source;
use crate::facts::cached_caps;
use crate::input::Input;
use crate::style;

/// Reads a domain and asks the planner what its launch loads. Nothing is started but the QEMU that is asked what it
/// can do.
pub(crate) fn source(path: &str, profile: Profile, sev_features: u64) -> anyhow::Result<Source> {
    let input = Input::read(path)?;
    let document = input.parse().with_context(|| format!("read domain `{}`", input.name))?;
    of_document(&input.name, &document, profile, sev_features)
}

/// The same of a document that has been read.
pub(crate) fn of_document(
    name: &str,
    document: &Document,
    profile: Profile,
    sev_features: u64,
) -> anyhow::Result<Source> {
    let (mut domain, _) = Domain::read(document);
    stand_in(&mut domain);
    let caps = ask_emulator(&start::emulator(&domain))
        .with_context(|| format!("work out what `{name}` launches; --firmware needs no QEMU"))?;
    let facts = host::probe(&Root::live());
    let plan = start::plan(domain, &caps, &facts, Path::new("/run/sevirt"), 0)
        .with_context(|| format!("plan the launch of `{name}`"))?;
    let inputs = plan
        .launch_inputs()
        .with_context(|| format!("`{name}` asks for no launch security, so nothing of it is measured"))?;
    of_inputs(inputs, profile, sev_features).with_context(|| format!("domain `{name}`"))
}

/// Fills in what a plan needs and the digest does not depend on, since an owner's machine may have neither: where the
/// C-bit is, and, unless registers are measured, a CPU model that this host can run.
fn stand_in(domain: &mut Domain) {
    match &mut domain.launch_security {
        Some(LaunchSecurity::Sev(sev)) => {
            sev.cbitpos.get_or_insert(51);
            sev.reduced_phys_bits.get_or_insert(1);
            if !sev.is_es() {
                domain.cpu = None;
            }
        }
        Some(LaunchSecurity::SevSnp(snp)) => {
            snp.cbitpos.get_or_insert(51);
            snp.reduced_phys_bits.get_or_insert(1);
        }
        Some(LaunchSecurity::Other { .. }) | None => {}
    }
}

fn ask_emulator(wanted: &Path) -> anyhow::Result<Caps> {
    let emulator = if wanted.exists() { wanted } else { Path::new(DEFAULT_EMULATOR) };
    if emulator != wanted {
        style::note(&format!(
            "the domain's emulator `{}` is not here, asking `{DEFAULT_EMULATOR}`",
            wanted.display()
        ));
    }
    Ok(cached_caps(emulator)?)
}

fn of_inputs(inputs: &LaunchInputs, profile: Profile, sev_features: u64) -> anyhow::Result<Source> {
    let vcpus = match inputs.technology {
        Technology::Sev => None,
        Technology::SevEs | Technology::SevSnp => {
            Some(EsVcpus { count: inputs.vcpus, signature: signature(inputs)?, profile })
        }
    };
    let is_snp = inputs.technology == Technology::SevSnp;
    let snp_features = is_snp.then_some(sev_features);
    let Some(firmware) = inputs.firmware.clone() else {
        bail!("the guest has no firmware image of its own, and QEMU's BIOS cannot start it");
    };
    let (boot, unmeasured) = match (&inputs.boot, inputs.kernel_hashes) {
        (Some(boot), true) => (Some(boot.clone()), None),
        (Some(DirectBoot { kernel, .. }), false) => (None, Some(kernel.clone())),
        (None, true) => bail!("kernelHashes is on, and there is no kernel to boot directly"),
        (None, false) => (None, None),
    };
    let policy = u32::try_from(inputs.policy).ok().filter(|_| !is_snp).map(Policy);
    Ok(Source { firmware, boot, unmeasured, vcpus, snp_features, policy })
}

fn signature(inputs: &LaunchInputs) -> anyhow::Result<VcpuSignature> {
    expected::signature(inputs).with_context(|| {
        format!(
            "the signature of CPU model `{}`, which a SEV-ES measurement covers, is not known: name the files and \
             --cpu 0x… instead of the domain",
            inputs.cpu_model
        )
    })
}
