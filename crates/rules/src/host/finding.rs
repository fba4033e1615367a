//! What a rule about the host finds: what it means for which technology and when, with the evidence.

use serde::Serialize;

use crate::Technology;
use crate::rule::{Rule, Severity};

/// Something about a host that matters to confidential guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFinding {
    pub code: &'static str,
    pub name: &'static str,
    pub severity: Severity,
    pub effect: Effect,
    pub when: When,
    /// The technologies that it concerns.
    pub technologies: Vec<Technology>,
    /// A phrase without a full stop; it reads well after "cannot run SEV guests: ".
    pub message: String,
    /// What it means, and what to do in words.
    pub help: Option<String>,
    /// What to type, in this order; what changes the host wants root.
    pub commands: Vec<String>,
    /// The facts that it rests on.
    pub evidence: Vec<Evidence>,
    /// Whether it says nothing new where something else already prevents the technology.
    #[serde(skip)]
    pub(crate) consequence: bool,
}

/// What a finding means for the technologies that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Such guests cannot run.
    Prevents,
    /// Whether such guests can run cannot be told.
    Unclear,
    /// They can run; something else is amiss.
    Remark,
}

/// When a finding holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// As the host runs now; the next boot changes it.
    Now,
    /// From the next boot on.
    NextBoot,
    Always,
}

impl When {
    pub(crate) fn holds(self, at: Self) -> bool {
        self == at || self == Self::Always || at == Self::Always
    }
}

/// A fact, where it was read, and what was read there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The place in the facts JSON, such as `kvm_amd.sev`.
    pub fact: &'static str,
    /// The file, device or register that it was read from.
    pub source: String,
    pub value: String,
}

impl Evidence {
    #[expect(clippy::needless_pass_by_value, reason = "what callers have is mostly made for this")]
    pub(crate) fn new(fact: &'static str, source: impl Into<String>, value: impl ToString) -> Self {
        Self { fact, source: source.into(), value: value.to_string() }
    }
}

impl Rule {
    /// A finding of this rule about the host. An error prevents; what is less is a remark.
    pub(crate) fn about(
        &'static self,
        technologies: &[Technology],
        message: impl Into<String>,
    ) -> HostFinding {
        let effect = if self.severity == Severity::Error { Effect::Prevents } else { Effect::Remark };
        HostFinding {
            code: self.code,
            name: self.name,
            severity: self.severity,
            effect,
            when: When::Always,
            technologies: technologies.to_vec(),
            message: message.into(),
            help: None,
            commands: Vec::new(),
            evidence: Vec::new(),
            consequence: false,
        }
    }

    /// What this rule would have to know could not be read.
    pub(crate) fn unclear(
        &'static self,
        technologies: &[Technology],
        message: impl Into<String>,
    ) -> HostFinding {
        HostFinding {
            severity: Severity::Warning,
            effect: Effect::Unclear,
            ..self.about(technologies, message)
        }
    }
}

impl HostFinding {
    #[must_use]
    pub(crate) fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// Makes it one that stops nothing.
    #[must_use]
    pub(crate) fn remark(mut self, severity: Severity) -> Self {
        (self.severity, self.effect) = (severity, Effect::Remark);
        self
    }

    #[must_use]
    pub(crate) fn consequence(mut self) -> Self {
        self.consequence = true;
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub(crate) fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    #[must_use]
    pub(crate) fn evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// Whether it speaks about the technology at that time.
    pub fn concerns(&self, technology: Technology, at: When) -> bool {
        self.technologies.contains(&technology) && self.when.holds(at)
    }
}
