//! The table of rules about hosts, sorted by code: the order in which faults are mended.

use host::Facts;

use crate::rule::Rule;

use super::finding::HostFinding;
use super::rules::processor_without_sev;

/// A rule about hosts and how it is checked.
#[derive(Debug)]
pub struct HostEntry {
    pub rule: &'static Rule,
    pub(crate) check: fn(&Facts) -> Vec<HostFinding>,
}

/// Every rule about hosts.
pub static HOST_TABLE: &[HostEntry] =
    &[HostEntry { rule: &processor_without_sev::RULE, check: processor_without_sev::check }];

#[cfg(test)]
mod tests;
