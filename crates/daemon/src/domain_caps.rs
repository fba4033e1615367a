//! What guests this host can run with one emulator: QEMU's answers and the host's facts, put together.
//!
//! A technology is offered where QEMU offers it and nothing that is known of the host stands against it; what is not
//! offered has its reason.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use domain::model::DomainKind;
use host::{Fact, Facts};
use qemu::Caps;
use qemu::caps::Part;
use qemu::domain_caps::{Described, DomainCaps, DomainCapsError, Guests, Here, TpmVersion, Wanted};
use rules::Technology;
use rules::host::{HostReport, Verdict, When};

use crate::probe::{Accelerator, Inquiry, ProbeError};

/// What an emulator is asked for the document.
pub const PARTS: &[Part] = &[Part::Extent];

/// Which guests are meant, and by which emulator.
#[derive(Debug, Clone)]
pub struct Question<'q> {
    pub emulator: &'q Path,
    pub wanted: Wanted<'q>,
    /// Where QEMU's answers are remembered, for [`Question::ask`].
    pub cache: Option<&'q Path>,
    /// The directories of programs, as the environment has them (`PATH`).
    pub programs: Option<&'q OsStr>,
}

/// The document, and why it says what it says of confidential guests.
#[derive(Debug)]
pub struct Answer {
    pub document: DomainCaps,
    /// What QEMU calls itself.
    pub version: String,
    pub technologies: Vec<Offer>,
}

/// Whether guests of a technology can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub technology: Technology,
    pub verdict: Verdict,
    /// Why not, or why that is not certain; what must be mended first in front.
    pub reasons: Vec<Reason>,
}

/// One reason, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The code and name of the rule that found it; QEMU's own words have none.
    pub rule: Option<(&'static str, &'static str)>,
    pub message: String,
    pub help: Option<String>,
    /// What to type, as root.
    pub commands: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Document(#[from] DomainCapsError),
}

impl Question<'_> {
    /// Asks QEMU where its answers are not remembered. `facts` are this host's.
    pub fn ask(&self, facts: Facts) -> Result<Answer, QuestionError> {
        let accelerator = self.accelerator();
        let inquiry = Inquiry { emulator: self.emulator, accelerator, parts: PARTS };
        let caps = inquiry.remembered(self.cache)?;
        self.answer(&caps, facts)
    }

    /// What the emulator is to be asked with.
    pub fn accelerator(&self) -> Accelerator {
        match self.wanted.kind {
            Some(DomainKind::Qemu) => Accelerator::Tcg,
            Some(DomainKind::Kvm) | None => Accelerator::Kvm,
        }
    }

    /// The answer by what the emulator said to [`PARTS`] with [`accelerator`](Self::accelerator).
    pub fn answer(&self, caps: &Caps, mut facts: Facts) -> Result<Answer, QuestionError> {
        facts.emulators = vec![crate::emulator::answered(self.emulator, caps)];
        let report = rules::host::check(&facts);
        let technologies: Vec<Offer> =
            Technology::ALL.map(|technology| offer(technology, caps, &report)).into();
        let here = self.here(&facts, &technologies);
        let document = DomainCaps::new(caps, &self.wanted, &here)?;
        Ok(Answer { document, version: caps.version.to_string(), technologies })
    }

    fn here(&self, facts: &Facts, technologies: &[Offer]) -> Here {
        let described = facts.firmware.iter().map(|loader| Described {
            descriptor: loader.descriptor.clone(),
            exists: loader.image != Fact::Absent,
        });
        let swtpm = ["swtpm", "swtpm_setup", "swtpm_ioctl"].iter().all(|name| self.has_program(name));
        let refused = technologies.iter().filter(|offer| offer.verdict == Verdict::Cannot);
        let leaf = facts.cpu.memory_encryption.known();
        Here {
            emulator: self.emulator.to_string_lossy().into_owned(),
            firmware: described.collect(),
            kvm_vcpus: host::kvm_vcpus(),
            address_bits: address_bits(),
            // Every swtpm emulates 2.0; only its set-up program knows whether 1.2, too.
            swtpm: swtpm.then(|| vec![TpmVersion::V2]),
            rdp: self.has_program("qemu-rdp"),
            vfio: passes_devices(),
            guests: leaf.map_or_else(Guests::default, |leaf| Guests::of_asids(leaf.asids, leaf.min_sev_asid)),
            cannot: refused.map(|offer| offer.technology).collect(),
        }
    }

    fn has_program(&self, name: &str) -> bool {
        let directories = self.programs.map(std::env::split_paths);
        directories.into_iter().flatten().any(|directory| directory.join(name).is_file())
    }
}

fn offer(technology: Technology, caps: &Caps, report: &HostReport) -> Offer {
    let object = match technology {
        Technology::Sev | Technology::SevEs => "sev-guest",
        Technology::SevSnp => "sev-snp-guest",
    };
    let words = |message: String| Reason { rule: None, message, help: None, commands: Vec::new() };
    let mut reasons: Vec<Reason> = report
        .against(technology, When::Now)
        .map(|finding| Reason {
            rule: Some((finding.code, finding.name)),
            message: finding.message.clone(),
            help: finding.help.clone(),
            commands: finding.commands.clone(),
        })
        .collect();
    let mut verdict = report.judgement(technology).now;
    if !caps.has(object) {
        verdict = Verdict::Cannot;
        reasons.push(words(format!("this QEMU has no `{object}`")));
    }
    if let Err(reason) = &caps.sev {
        verdict = Verdict::Cannot;
        reasons.push(words(format!("QEMU says: {reason}")));
    }
    Offer { technology, verdict, reasons }
}

/// Physical address bits, as the kernel uses them: encryption takes some of those that the processor has.
pub(crate) fn address_bits() -> Option<u32> {
    use std::io::Read as _;
    // The first processor's entry is far shorter, and the whole file is long on a large host.
    let mut text = Vec::new();
    std::fs::File::open("/proc/cpuinfo").ok()?.take(4096).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let sizes = text.lines().find_map(|line| line.strip_prefix("address sizes")?.split_once(':'))?;
    sizes.1.trim().split(' ').next()?.parse().ok()
}

/// Whether host devices can be given to guests.
fn passes_devices() -> bool {
    let groups = std::fs::read_dir("/sys/kernel/iommu_groups");
    groups.is_ok_and(|mut groups| groups.next().is_some()) && PathBuf::from("/dev/vfio/vfio").exists()
}

#[cfg(test)]
mod tests;
