//! Arguments that say what a launch loads, and the digest that follows.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use attest::sev::digest::{Contents, ContentsError, EsVcpus, LaunchDigest};
use attest::sev::explain::{Difference, explain};
use attest::sev::kernel_hashes::KernelHashes;
use attest::sev::keys::Tik;
use attest::sev::measurement::{Launch, Measurement};
use attest::sev::policy::Policy;
use attest::sev::vmsa::{Profile, VcpuSignature};
use attest::snp::digest as snp;
use daemon::expected;
use qemu::plan::DirectBoot;
use serde_json::{Value, json};

use super::input::read_image;
use super::launch::parse_number;
use crate::style::Chain;

/// What a launch loads.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct ContentsArgs {
    /// Take everything from this domain XML, as its start would; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "firmware")]
    pub(crate) domain: Option<String>,
    /// Firmware image that QEMU loads: the code image, or the one that holds code and variables
    #[arg(long, value_name = "FILE")]
    pub(crate) firmware: Option<PathBuf>,
    /// Kernel that QEMU boots directly with kernelHashes='yes'; the digest then covers its hash
    #[arg(long, value_name = "FILE", requires = "firmware")]
    kernel: Option<PathBuf>,
    /// Initrd of that kernel
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Command line of that kernel; every byte counts, also a space at its end
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    cmdline: Option<String>,
    /// SEV-ES and SEV-SNP: how many vCPUs the guest starts with; the digest covers their registers
    #[arg(long, value_name = "NUMBER", requires = "firmware", requires = "cpu")]
    vcpus: Option<u32>,
    /// SEV-ES and SEV-SNP: the vCPUs' model (EPYC, EPYC-Rome, EPYC-Milan, …) or their signature (CPUID 1 EAX) as 0x…
    #[arg(long, value_name = "MODEL|0x…", requires = "vcpus", value_parser = parse_signature)]
    cpu: Option<VcpuSignature>,
    /// SEV-ES: which registers the host fills: `legacy` (QEMU's default), or `fpu` (Linux 6.10 and newer with
    /// legacy-vm-type=off)
    #[arg(long, value_name = "PROFILE", default_value = "legacy", value_parser = parse_profile)]
    vmsa_profile: Profile,
}

/// What only SEV-SNP guests have.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct SnpArgs {
    /// The guest is a SEV-SNP one
    #[arg(long, requires = "firmware", requires = "vcpus")]
    snp: bool,
    /// SEV-SNP: SEV_FEATURES that the host turns on for its guests; some kernels add debug swap: 0x21
    #[arg(long, value_name = "0x…", default_value = "0x1", value_parser = parse_number)]
    sev_features: u32,
}

/// What is assumed of SEV-SNP guests where nothing is asked: QEMU's own.
impl Default for SnpArgs {
    fn default() -> Self {
        Self { snp: false, sev_features: 1 }
    }
}

/// What a launch loads, by name.
pub(crate) struct Source {
    pub(crate) firmware: PathBuf,
    /// A kernel whose hashes are loaded.
    pub(crate) boot: Option<DirectBoot>,
    /// A kernel whose hashes are not.
    pub(crate) unmeasured: Option<PathBuf>,
    /// The vCPUs, where they are measured: those of SEV-ES and SEV-SNP guests.
    pub(crate) vcpus: Option<EsVcpus>,
    /// SEV_FEATURES of a SEV-SNP guest; `None` for all others.
    pub(crate) snp_features: Option<u64>,
    /// The policy of a SEV or SEV-ES guest, where a domain says it.
    pub(crate) policy: Option<Policy>,
}

/// A digest and what it says.
pub(crate) struct Covered<D = LaunchDigest> {
    /// The digest.
    pub(crate) digest: D,
    parts: Vec<Part>,
    unmeasured: Option<PathBuf>,
    loaded: Option<Loaded>,
}

/// What the digest was computed of.
struct Loaded {
    image: Vec<u8>,
    kernel_hashes: Option<KernelHashes>,
    vcpus: Option<EsVcpus>,
}

impl Loaded {
    fn contents(&self) -> Contents<'_> {
        Contents { firmware: &self.image, kernel_hashes: self.kernel_hashes, vcpus: self.vcpus }
    }
}

struct Part {
    words: String,
    json: Value,
}

impl ContentsArgs {
    /// What the arguments name; `None` when they name nothing.
    pub(crate) fn source(&self, snp: &SnpArgs) -> anyhow::Result<Option<Source>> {
        if let Some(domain) = &self.domain {
            let source = super::domain::source(domain, self.vmsa_profile, snp.sev_features.into())?;
            return Ok(Some(source));
        }
        let Some(firmware) = self.firmware.clone() else { return Ok(None) };
        let boot = self.kernel.clone().map(|kernel| DirectBoot {
            kernel,
            initrd: self.initrd.clone(),
            cmdline: self.cmdline.clone(),
        });
        let profile = self.vmsa_profile;
        let vcpus = self.vcpus.zip(self.cpu);
        let vcpus = vcpus.map(|(count, signature)| EsVcpus { count, signature, profile });
        let snp_features = snp.snp.then_some(snp.sev_features.into());
        Ok(Some(Source { firmware, boot, unmeasured: None, vcpus, snp_features, policy: None }))
    }
}

impl Source {
    /// Refuses what contradicts the policy: SEV-ES measures vCPUs, SEV does not.
    pub(crate) fn check_policy(&self, policy: Policy) -> anyhow::Result<()> {
        match (policy.es(), self.vcpus) {
            (true, None) => bail!(
                "policy {:#x} asks for SEV-ES, whose measurement covers the vCPUs: add --vcpus NUMBER and --cpu MODEL",
                policy.0
            ),
            (false, Some(_)) => bail!(
                "policy {:#x} does not ask for SEV-ES (bit 2), so the measurement does not cover vCPUs: leave --vcpus \
                 and --cpu out",
                policy.0
            ),
            _ => Ok(()),
        }
    }

    /// Reads the files and computes the digest that a SEV or SEV-ES guest's measurement covers.
    pub(crate) fn digest(&self) -> anyhow::Result<Covered> {
        if self.snp_features.is_some() {
            bail!(
                "a SEV-SNP guest has no launch measurement: its own report carries the digest of `sevirt digest`"
            );
        }
        let (loaded, parts) = self.load()?;
        let digest = loaded.contents().digest().map_err(|error| self.advise(error))?;
        Ok(Covered { digest, parts, unmeasured: self.unmeasured.clone(), loaded: Some(loaded) })
    }

    /// Reads the files and computes the digest that a SEV-SNP guest's report carries; `None` for other guests.
    pub(crate) fn snp_digest(&self) -> anyhow::Result<Option<Covered<snp::LaunchDigest>>> {
        let (Some(sev_features), Some(vcpus)) = (self.snp_features, self.vcpus) else { return Ok(None) };
        let (loaded, parts) = self.load()?;
        let contents = snp::Contents {
            firmware: &loaded.image,
            kernel_hashes: loaded.kernel_hashes,
            vcpus: vcpus.count,
            signature: vcpus.signature,
            sev_features,
        };
        let firmware = || format!("SEV-SNP with firmware `{}`", self.firmware.display());
        let digest = contents.digest().with_context(firmware)?;
        Ok(Some(Covered { digest, parts, unmeasured: self.unmeasured.clone(), loaded: None }))
    }

    fn load(&self) -> anyhow::Result<(Loaded, Vec<Part>)> {
        let path = &self.firmware;
        let image = read_image(path)?;
        let mut parts = vec![Part {
            words: format!("the firmware image `{}`, {} bytes", path.display(), image.len()),
            json: json!({ "kind": "firmware", "path": path, "bytes": image.len() }),
        }];
        let kernel_hashes = self.boot.as_ref().map(|boot| kernel_hashes(boot, &mut parts)).transpose()?;
        if let Some(vcpus) = self.vcpus {
            parts.push(self.describe(vcpus));
        }
        Ok((Loaded { image, kernel_hashes, vcpus: self.vcpus }, parts))
    }

    fn describe(&self, EsVcpus { count, signature, profile }: EsVcpus) -> Part {
        let variant = match self.snp_features {
            None => format!("profile {profile}"),
            Some(features) => format!("SEV features {features:#x}"),
        };
        Part {
            words: format!("the first registers of {count} vCPUs of signature {signature}, {variant}"),
            json: json!({ "kind": "vcpus", "count": count, "signature": signature.to_string(),
                          "variant": variant }),
        }
    }

    /// Adds the next step to what the library says.
    fn advise(&self, error: ContentsError) -> anyhow::Error {
        let next = match error {
            ContentsError::NoHashTable(_) => {
                "stock distribution images have none: build OvmfPkg/AmdSev/AmdSevX64.dsc of edk2, or launch without \
                 kernel hashes"
            }
            ContentsError::Firmware(_) => {
                "name the code image (OVMF.fd, OVMF_CODE*.fd), not a variable store"
            }
            ContentsError::NoResetBlock => "use an OVMF image with SEV-ES support",
            ContentsError::VcpuCount(_) => "give the number of the domain's <vcpu>",
        };
        let error = anyhow::Error::new(error).context(format!("firmware `{}`", self.firmware.display()));
        anyhow::anyhow!("{}; {next}", Chain(&error))
    }
}

fn kernel_hashes(boot: &DirectBoot, parts: &mut Vec<Part>) -> anyhow::Result<KernelHashes> {
    let DirectBoot { kernel, initrd, cmdline } = boot;
    let cmdline = cmdline.as_deref().unwrap_or_default();
    let initrd_hash = initrd.as_deref().map(|path| hash_file(path, "initrd")).transpose()?;
    let hashes = KernelHashes::of_hashes(hash_file(kernel, "kernel")?, initrd_hash, cmdline.as_bytes());
    let mut words = format!("the hashes of the kernel `{}`", kernel.display());
    match initrd {
        // Writing to a string cannot fail.
        Some(initrd) => _ = write!(words, ", the initrd `{}`", initrd.display()),
        None => words.push_str(", no initrd"),
    }
    let _ = write!(words, " and the command line {cmdline:?}");
    parts.push(Part {
        words,
        json: json!({ "kind": "kernel-hashes", "kernel": kernel, "initrd": initrd, "cmdline": cmdline }),
    });
    Ok(hashes)
}

impl Covered {
    /// A digest that was given as such.
    pub(crate) fn unknown(digest: LaunchDigest) -> Self {
        let words = "whatever the given digest was computed of".to_owned();
        let json = json!({ "kind": "given-digest" });
        Self { digest, parts: vec![Part { words, json }], unmeasured: None, loaded: None }
    }

    /// The one change of the expectation that a measurement proves, if there is one.
    pub(crate) fn explain(
        &self,
        measurement: &Measurement,
        tik: &Tik,
        expected: &Launch,
    ) -> Option<Difference> {
        explain(measurement, tik, expected, self.loaded.as_ref().map(Loaded::contents).as_ref())
    }
}

impl<D: std::fmt::Display> Covered<D> {
    /// What the digest covers and what it does not, in lines.
    pub(crate) fn words(&self) -> String {
        let mut text = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            let label = if index == 0 { "covers" } else { "" };
            let _ = writeln!(text, "{label:<15}{}", part.words);
        }
        let _ = writeln!(text, "{:<15}{}", "not covered", NOT_COVERED);
        if let Some(kernel) = &self.unmeasured {
            let _ =
                writeln!(text, "{:<15}the kernel `{}`, its initrd and command line", "", kernel.display());
            let _ = writeln!(text, "{:<15}(kernelHashes is off: the host can exchange them)", "");
        }
        text
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "digest": self.digest.to_string(),
            "unmeasured_kernel": self.unmeasured,
            "covers": self.parts.iter().map(|part| &part.json).collect::<Vec<_>>(),
        })
    }
}

const NOT_COVERED: &str = "disks, variable stores, devices, and all that the firmware loads later";

fn hash_file(path: &Path, what: &str) -> anyhow::Result<[u8; 32]> {
    expected::hash_file(path).with_context(|| format!("read {what} `{}`", path.display()))
}

fn parse_signature(text: &str) -> Result<VcpuSignature, String> {
    if text.starts_with("0x") || text.starts_with("0X") {
        return parse_number(text).map(VcpuSignature);
    }
    VcpuSignature::of_qemu_model(text).ok_or_else(|| {
        "not an EPYC model that QEMU names; give the signature (CPUID 1 EAX) as 0x…".to_owned()
    })
}

fn parse_profile(text: &str) -> Result<Profile, String> {
    Profile::ALL
        .into_iter()
        .find(|profile| profile.to_string() == text)
        .ok_or_else(|| "the profiles are `legacy` and `fpu`".to_owned())
}
