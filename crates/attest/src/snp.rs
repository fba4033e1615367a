//! SEV-SNP (AMD publication 56860, *SEV Secure Nested Paging Firmware ABI*), as far as a launch's owner needs it before
//! the guest reports: the digest that the guest's own report will carry, and the policy.
//!
//! Reports and their certificates are not handled here yet.

pub mod digest;
pub mod policy;
