//! Why a measurement does not match: which single change of the expectation makes it match.
//!
//! A measurement is one code over everything, so it cannot say what differs; but the owner's key allows to try. What is
//! found is a lead for whoever set the expectation, never a reason to accept the launch.

use std::fmt;

use super::digest::{Contents, EsVcpus, LaunchDigest, LaunchHasher};
use super::keys::Tik;
use super::measurement::{Launch, Measurement};
use super::policy::Policy;
use super::vmsa::{Profile, VcpuSignature, Vcpus};
use super::{ApiVersion, FirmwareVersion};

/// The most vCPUs that are tried.
const MAX_TRIED_VCPUS: u32 = 256;

/// The models that are tried besides the expected one: the EPYC models of QEMU.
const TRIED_MODELS: [&str; 5] = ["EPYC", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin"];

/// What was launched instead of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// With another policy.
    Policy(Policy),
    /// By another firmware of the secure processor.
    Firmware(FirmwareVersion),
    /// Without hashes of a kernel.
    NoKernelHashes,
    /// Without vCPUs: as SEV, not as SEV-ES.
    NoVcpus,
    /// With other vCPUs.
    Vcpus(EsVcpus),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(policy) => write!(f, "policy {policy}"),
            Self::Firmware(firmware) => write!(f, "a platform with API {firmware}"),
            Self::NoKernelHashes => f.write_str("no kernel hashes"),
            Self::NoVcpus => f.write_str("no vCPU state, as for a SEV guest"),
            Self::Vcpus(vcpus) => {
                write!(f, "{} vCPUs of signature {}, profile {}", vcpus.count, vcpus.signature, vcpus.profile)
            }
        }
    }
}

/// Looks for the one change of the expected launch that `measurement` proves. `contents` are what its digest was
/// computed from, if they are known.
pub fn explain(
    measurement: &Measurement,
    tik: &Tik,
    expected: &Launch,
    contents: Option<&Contents<'_>>,
) -> Option<Difference> {
    let proves = |launch: Launch| measurement.verify(&launch, tik).is_ok();
    let proves_digest = |digest: LaunchDigest| proves(Launch { digest, ..*expected });
    policies()
        .find(|policy| proves(Launch { policy: *policy, ..*expected }))
        .map(Difference::Policy)
        .or_else(|| {
            firmware_versions()
                .find(|firmware| proves(Launch { firmware: *firmware, ..*expected }))
                .map(Difference::Firmware)
        })
        .or_else(|| explain_contents(contents?, proves_digest))
}

fn explain_contents(contents: &Contents<'_>, proves: impl Fn(LaunchDigest) -> bool) -> Option<Difference> {
    let without_hashes = Contents { kernel_hashes: None, ..*contents };
    if contents.kernel_hashes.is_some() && without_hashes.digest().is_ok_and(&proves) {
        return Some(Difference::NoKernelHashes);
    }
    let expected = contents.vcpus?;
    let mut loaded = LaunchHasher::new();
    loaded.update(contents.firmware);
    if let Some(hashes) = &contents.kernel_hashes {
        loaded.update_kernel_hashes(hashes);
    }
    if proves(loaded.clone().finish()) {
        return Some(Difference::NoVcpus);
    }
    // The image's reset block is needed for all but the first vCPU.
    let ap_reset_address = contents.tables().ok()?.sev_es_reset?;
    let models = TRIED_MODELS.into_iter().filter_map(VcpuSignature::of_qemu_model);
    for signature in std::iter::once(expected.signature).chain(models) {
        for profile in Profile::ALL {
            let vcpus =
                Vcpus { count: MAX_TRIED_VCPUS, signature, ap_reset_address, sev_features: 0, profile };
            let mut hasher = loaded.clone();
            for (count, state) in (1..).zip(vcpus.states()) {
                hasher.update_vmsa(&state);
                if proves(hasher.clone().finish()) {
                    return Some(Difference::Vcpus(EsVcpus { count, signature, profile }));
                }
            }
        }
    }
    None
}

/// Every combination of the defined bits.
fn policies() -> impl Iterator<Item = Policy> {
    (0..0x40).map(Policy)
}

/// Versions that platforms have.
fn firmware_versions() -> impl Iterator<Item = FirmwareVersion> {
    let apis = (0..=1).flat_map(|major| (0..=64).map(move |minor| ApiVersion { major, minor }));
    apis.flat_map(|api| (0..=u8::MAX).map(move |build| FirmwareVersion { api, build }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sev::kernel_hashes::KernelHashes;

    const IMAGE: &[u8] = include_bytes!("../../test_data/sev/measurement/ovmf_AmdSev_suffix.bin");

    fn launch(digest: LaunchDigest) -> Launch {
        let api = ApiVersion { major: 1, minor: 55 };
        Launch { firmware: FirmwareVersion { api, build: 8 }, policy: Policy(5), digest }
    }

    fn contents(hashes: bool, vcpus: Option<(u32, &str, Profile)>) -> Contents<'static> {
        Contents {
            firmware: IMAGE,
            kernel_hashes: hashes.then(|| KernelHashes::new(b"kernel", None, b"")),
            vcpus: vcpus.map(|(count, model, profile)| EsVcpus {
                count,
                signature: VcpuSignature::of_qemu_model(model).unwrap(),
                profile,
            }),
        }
    }

    #[track_caller]
    fn check(launched: &Contents<'_>, change: impl Fn(&mut Launch), expected: Option<&str>) {
        let tik = Tik::new([1; 16]);
        let mut actual = launch(launched.digest().unwrap());
        change(&mut actual);
        let measurement = Measurement::create(&actual, &tik, [2; 16]);
        let believed = contents(true, Some((4, "EPYC-Milan", Profile::Legacy)));
        let found = explain(&measurement, &tik, &launch(believed.digest().unwrap()), Some(&believed));
        assert_eq!(found.map(|difference| difference.to_string()).as_deref(), expected);
    }

    #[test]
    fn finds_the_one_setting_that_differs() {
        let believed = contents(true, Some((4, "EPYC-Milan", Profile::Legacy)));
        check(
            &believed,
            |launch| launch.policy = Policy(7),
            Some("policy 0x7 (no debugging, no key sharing, encrypted register state)"),
        );
        check(&believed, |launch| launch.firmware.build = 21, Some("a platform with API 1.55 build 21"));
        check(&believed, |launch| launch.firmware.api.minor = 49, Some("a platform with API 1.49 build 8"));
        check(&contents(false, Some((4, "EPYC-Milan", Profile::Legacy))), |_| (), Some("no kernel hashes"));
        check(&contents(true, None), |_| (), Some("no vCPU state, as for a SEV guest"));
        for (count, model, profile) in
            [(4, "EPYC-Milan", Profile::Fpu), (2, "EPYC-Milan", Profile::Legacy), (64, "EPYC", Profile::Fpu)]
        {
            let signature = VcpuSignature::of_qemu_model(model).unwrap();
            let words = format!("{count} vCPUs of signature {signature}, profile {profile}");
            check(&contents(true, Some((count, model, profile))), |_| (), Some(&words));
        }
    }

    #[test]
    fn finds_nothing_where_two_things_differ() {
        let other = contents(false, Some((2, "EPYC", Profile::Fpu)));
        check(&other, |launch| launch.policy = Policy(7), None);
    }

    #[test]
    fn a_given_digest_leaves_policy_and_platform() {
        let tik = Tik::new([1; 16]);
        let expected = launch(LaunchDigest::new([3; 32]));
        let actual = Launch { policy: Policy(1), ..expected };
        let measurement = Measurement::create(&actual, &tik, [2; 16]);
        assert_eq!(explain(&measurement, &tik, &expected, None), Some(Difference::Policy(Policy(1))));
        let foreign = Measurement::create(&expected, &Tik::new([9; 16]), [2; 16]);
        assert_eq!(explain(&foreign, &tik, &expected, None), None);
    }
}
