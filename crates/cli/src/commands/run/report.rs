//! What `sevirt run` tells while it runs: lines and a spinner for people, or one JSON object a line for programs.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use attest::sev::policy::Policy;
use daemon::expected::Expected;
use daemon::start::Prepared;
use daemon::vm::{End, Evidence, Milestone, Notice, Outcome};
use domain::Domain;
use indicatif::{ProgressBar, ProgressStyle};
use qemu::Technology;
use qemu::plan::LaunchInputs;
use qemu::qmp::command::{SevGuest, SevState};
use serde_json::{Value, json};

use super::Format;
use crate::render::{Judged, text};
use crate::style;
use crate::style::Look;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

pub(super) struct Reporter {
    format: Format,
    started: Instant,
    /// When the last stage ended.
    last: Instant,
    spinner: Option<ProgressBar>,
    /// Why standard output takes no more events.
    broken: Option<io::Error>,
    simulated: Option<String>,
    launch: Option<LaunchInputs>,
    expected: Option<Expected>,
    chain: Option<String>,
    evidence: Option<Evidence>,
}

impl Reporter {
    pub(super) fn new(format: Format) -> Self {
        let now = Instant::now();
        Self {
            format,
            started: now,
            last: now,
            spinner: None,
            broken: None,
            simulated: None,
            launch: None,
            expected: None,
            chain: None,
            evidence: None,
        }
    }

    /// A stage has ended.
    pub(super) fn stage(&mut self, stage: &str) {
        let now = Instant::now();
        let (since_start, took) = (now - self.started, now - self.last);
        self.last = now;
        match self.format {
            Format::Json => self.emit(&json!({
                "event": "stage", "stage": stage, "ms": millis(since_start), "took_ms": millis(took),
            })),
            Format::Text => self.say(&format_args!("{stage:<12} {:>9.1} ms", millis(took))),
        }
    }

    pub(super) fn findings(&mut self, judged: &Judged) {
        match self.format {
            Format::Json => {
                for finding in &judged.findings {
                    let mut event = json!({"event": "finding"});
                    let located = serde_json::to_value(judged.located(finding)).unwrap_or_default();
                    if let (Value::Object(event), Value::Object(located)) = (&mut event, located) {
                        event.extend(located);
                    }
                    self.emit(&event);
                }
            }
            Format::Text if judged.findings.is_empty() && judged.allowed.is_empty() => {}
            Format::Text => {
                let shown = text::render(judged, Look::of(&io::stderr()));
                // Nothing is left to be done when even standard error is closed.
                let _ = anstream::stderr().lock().write_all(shown.as_bytes());
            }
        }
    }

    /// What kind of guest it is, and on what kind of platform.
    pub(super) fn about(&mut self, domain: &Domain, simulated: Option<&str>) {
        if domain.launch_security.is_none() {
            self.note("the domain asks for no launch security: this guest is not confidential");
        } else if let Some(simulator) = simulated {
            self.simulated = Some(simulator.to_owned());
            self.note(&format!("the platform is simulated ({simulator}): memory is not encrypted here"));
        }
    }

    pub(super) fn offer_lab(&mut self, file: &str) {
        self.note(&format!("this host has no SEV; `sevirt lab run {file}` runs it on a simulated platform"));
    }

    pub(super) fn note(&mut self, message: &str) {
        match self.format {
            Format::Json => self.emit(&json!({"event": "note", "message": message})),
            Format::Text => self.aside(|| style::note(&message)),
        }
    }

    pub(super) fn prepared(&mut self, prepared: &Prepared) {
        for note in &prepared.notes {
            self.note(note);
        }
        for left_out in &prepared.unmodelled {
            self.note(&format!("not carried out: {left_out}"));
        }
        self.launch.clone_from(&prepared.launch);
        self.expected.clone_from(&prepared.expected);
        self.chain.clone_from(&prepared.chain);
        self.stage("prepare");
        if self.format == Format::Text && io::stderr().is_terminal() {
            let spinner = ProgressBar::new_spinner();
            spinner.set_style(ProgressStyle::default_spinner());
            spinner.set_message("starting QEMU");
            spinner.enable_steady_tick(TICK);
            self.spinner = Some(spinner);
        }
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Milestone(milestone) => self.milestone(milestone),
            Notice::Heard(_) => {}
            Notice::Console(None) => {
                self.note("the guest has no serial port or console of type `pty`, so it is not shown");
            }
            Notice::Console(Some(console)) => match self.format {
                Format::Json => {
                    self.emit(&json!({"event": "console", "pty": console.pty.to_string_lossy()}));
                }
                Format::Text => {
                    // From here on the terminal is the guest's.
                    self.clear_spinner();
                    let leave = if console.is_terminal { "; Ctrl-] stops the guest and leaves" } else { "" };
                    self.say(&format_args!("console      {}{leave}", console.pty.display()));
                }
            },
        }
    }

    fn milestone(&mut self, milestone: &Milestone) {
        match milestone {
            Milestone::Spawned => {
                self.stage("spawn");
                self.spin("waiting for QEMU to set the guest up");
            }
            Milestone::Greeted => {
                self.stage("qmp");
                self.spin("waiting for the guest's launch");
            }
            Milestone::Ready(sev) => {
                self.stage("launch");
                if let Some(sev) = sev {
                    self.launched(sev);
                }
            }
            Milestone::Measured(evidence) => {
                self.stage("measure");
                self.evidence = Some(evidence.clone());
                if self.expected.is_none() {
                    self.measured(evidence);
                }
                self.spin("verifying the measurement");
            }
            Milestone::Verified => {
                self.stage("verify");
                self.attested(None);
            }
            Milestone::Injected => self.stage("inject"),
            Milestone::Resumed => self.stage("resume"),
            Milestone::Stopping => self.spin("stopping QEMU"),
            // What only guests in the background go through, and what ends one in the foreground.
            Milestone::Listed(_)
            | Milestone::Traced
            | Milestone::SetUp
            | Milestone::Held
            | Milestone::Unpaused
            | Milestone::Paused(_)
            | Milestone::Panicked
            | Milestone::DumpWanted
            | Milestone::Rebooted
            | Milestone::ShuttingDown { .. }
            | Milestone::Deaf(_) => {}
        }
    }

    fn launched(&mut self, sev: &SevState) {
        if let (Format::Text, SevGuest::Snp { policy }) = (self.format, &sev.guest) {
            self.say(&format_args!("launched     {}, policy {policy:#x}", self.technology()));
        }
    }

    /// A measurement that nobody here verifies.
    fn measured(&mut self, evidence: &Evidence) {
        match self.format {
            Format::Json => {
                let mut event = json!({"event": "measurement"});
                extend(&mut event, self.facts_of(evidence));
                self.emit(&event);
            }
            Format::Text => {
                self.say(&format_args!("measurement  {} (not verified)", evidence.measurement));
            }
        }
    }

    /// The owner has judged: `None` is a pass.
    fn attested(&mut self, failure: Option<&str>) {
        let (Some(expected), Some(evidence)) = (self.expected.clone(), self.evidence.clone()) else { return };
        match self.format {
            Format::Json => {
                let mut event = json!({
                    "event": "attestation",
                    "result": if failure.is_none() { "verified" } else { "failed" },
                    "digest": expected.digest.to_string(),
                    "covers": expected.covers,
                    "chain": self.chain,
                });
                if let Some(reason) = failure {
                    extend(&mut event, json!({"reason": reason}));
                }
                extend(&mut event, self.facts_of(&evidence));
                self.emit(&event);
            }
            Format::Text => {
                let SevState { api_major, api_minor, build_id, .. } = evidence.sev;
                let policy = policy_of(&evidence.sev);
                self.say(&format_args!("expected     {} (launch digest)", expected.digest));
                self.say(&format_args!("covers       {}", expected.covers.join(", ")));
                self.say(&format_args!("             and nothing else: no disk, no device"));
                self.say(&format_args!("measurement  {}", evidence.measurement));
                self.say(&format_args!(
                    "platform     API {api_major}.{api_minor} build {build_id}, policy {policy}"
                ));
                if let Some(chain) = self.chain.clone() {
                    self.say(&format_args!("certificates {chain}"));
                }
                let whose = self.simulated.as_ref().map_or("", |_| " by a simulated platform");
                match failure {
                    None => self.say(&format_args!("attested{whose}: the measurement proves this launch")),
                    Some(_) => self.say(&format_args!("NOT attested: the guest will not run")),
                }
            }
        }
    }

    /// What the platform said, as fields of an event.
    fn facts_of(&self, evidence: &Evidence) -> Value {
        let SevState { api_major, api_minor, build_id, .. } = evidence.sev;
        let mut facts = json!({
            "measurement": evidence.measurement,
            "technology": self.technology().to_string(),
            "api": format!("{api_major}.{api_minor}"),
            "build": build_id,
        });
        if let SevGuest::Sev { policy, .. } = evidence.sev.guest {
            extend(&mut facts, json!({"policy": format!("{policy:#06x}")}));
        }
        if let Some(simulator) = &self.simulated {
            extend(&mut facts, json!({"simulated": true, "simulator": simulator}));
        }
        facts
    }

    fn technology(&self) -> Technology {
        self.launch.as_ref().map_or(Technology::Sev, |launch| launch.technology)
    }

    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        if let End::AttestationFailed(reason) = &outcome.end {
            self.attested(Some(reason));
        }
        self.stage("end");
        if let Some(peak) = outcome.memory_peak {
            match self.format {
                Format::Json => self.emit(&json!({"event": "memory", "peak": peak})),
                Format::Text => {
                    self.say(&format_args!("memory       {} MiB at most", peak.div_ceil(1 << 20)));
                }
            }
        }
        let words: &[String] = if outcome.end.is_qemus_own() { &outcome.last_words } else { &[] };
        self.ended(outcome.end.exit_code(), &outcome.end, words);
    }

    /// There was no guest.
    pub(super) fn refused(&mut self, exit: u8, reason: &str) {
        self.ended(exit, &reason, &[]);
    }

    fn ended(&mut self, exit: u8, reason: &dyn Display, last_words: &[String]) {
        self.clear_spinner();
        match self.format {
            Format::Json => self.emit(&json!({
                "event": "outcome",
                "exit": exit,
                "reason": reason.to_string(),
                "last_words": last_words,
                "ms": millis(self.started.elapsed()),
            })),
            Format::Text => {
                for line in last_words {
                    self.say(&format_args!("QEMU: {line}"));
                }
                if exit == 0 {
                    self.say(&format_args!("{reason}"));
                } else {
                    style::complain(reason);
                }
            }
        }
    }

    /// Whether everything could be said.
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.clear_spinner();
        self.broken.take().map_or(Ok(()), |error| Err(error).context("write the report"))
    }

    fn emit(&mut self, event: &Value) {
        if self.broken.is_none() {
            let mut out = io::stdout().lock();
            self.broken = writeln!(out, "{event}").and_then(|()| out.flush()).err();
        }
    }

    fn say(&self, line: &dyn Display) {
        self.aside(|| {
            // Nothing is left to be done when even standard error is closed.
            let _ = writeln!(anstream::stderr().lock(), "sevirt: {line}");
        });
    }

    /// Writes around the spinner.
    fn aside(&self, write: impl FnOnce()) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(write),
            None => write(),
        }
    }

    fn spin(&self, message: &'static str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(message);
        }
    }

    fn clear_spinner(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}

fn policy_of(sev: &SevState) -> String {
    match sev.guest {
        SevGuest::Sev { policy, .. } => Policy(policy).to_string(),
        SevGuest::Snp { policy } => format!("{policy:#x}"),
    }
}

/// Milliseconds with a decimal: enough to compare stages.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn extend(event: &mut Value, more: Value) {
    if let (Value::Object(event), Value::Object(more)) = (event, more) {
        event.extend(more);
    }
}
