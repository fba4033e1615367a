//! Judging the host itself: can it run SEV, SEV-ES and SEV-SNP guests, now and after the next boot, and if not, why
//! and what to do first.
//!
//! A rule is one file under `rules/` and one line in [`HOST_TABLE`], as the rules about domains are. Rules stand in
//! the order in which their faults are mended: the first finding is the first thing to do.

mod boot;
pub(crate) mod emulator;
mod finding;
mod libvirt;
mod mend;
mod off;
mod report;
mod state;
mod table;

mod rules;

pub use finding::{Effect, Evidence, HostFinding, When};
pub use libvirt::{Validation, validate};
pub use report::{HostReport, Judgement, Verdict, check};
pub use table::{HOST_TABLE, HostEntry};

pub(crate) use rules::sev_es_beside_snp;
