//! Launch security: `-object sev-guest` and `-object sev-snp-guest`.

use domain::model::{
    Switch,
    launch_security::{Sev, SevSnp},
};

use super::{Argument, Properties};
use crate::plan::{PlannedFile, SevParams, Surroundings};

/// The id by which the machine refers to the object.
pub(crate) const ID: &str = "lsec0";

/// The object for SEV and SEV-ES, and the files that it reads.
pub(crate) fn sev_guest(
    sev: &Sev,
    policy: u32,
    host: SevParams,
    here: &Surroundings,
) -> (Argument, Vec<PlannedFile>) {
    let mut files = Vec::new();
    let mut file = |name: &str, contents: Option<&String>| {
        let path = here.domain_dir.join(name);
        let contents = contents?.clone().into_bytes();
        files.push(PlannedFile { path: path.clone(), contents });
        Some(path.display().to_string())
    };
    let certificate = file("dh_cert.base64", sev.dh_cert.as_ref());
    let session = file("session.base64", sev.session.as_ref());
    let object = Properties::object("sev-guest", ID)
        .with("cbitpos", host.cbitpos)
        .with("reduced-phys-bits", host.reduced_phys_bits)
        .with("policy", policy)
        .with_some("dh-cert-file", certificate)
        .with_some("session-file", session)
        .with_some("kernel-hashes", sev.kernel_hashes.map(Switch::is_on));
    (Argument::object(object), files)
}

/// The object for SEV-SNP.
pub(crate) fn sev_snp_guest(snp: &SevSnp, policy: u64, host: SevParams) -> Argument {
    let object = Properties::object("sev-snp-guest", ID)
        .with("cbitpos", host.cbitpos)
        .with("reduced-phys-bits", host.reduced_phys_bits)
        .with_some("kernel-hashes", snp.kernel_hashes.map(Switch::is_on))
        .with("policy", policy)
        .with_some("guest-visible-workarounds", snp.guest_visible_workarounds.as_deref())
        .with_some("id-block", snp.id_block.as_deref())
        .with_some("id-auth", snp.id_auth.as_deref())
        .with_some("host-data", snp.host_data.as_deref())
        .with_some("author-key-enabled", snp.author_key.map(Switch::is_on))
        // QEMU asks the question the other way round.
        .with_some("vcek-disabled", snp.vcek.map(|vcek| !vcek.is_on()));
    Argument::object(object)
}
