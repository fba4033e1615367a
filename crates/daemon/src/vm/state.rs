//! The life of one guest, as a pure function of what happens: no I/O, no clock, no process.
//!
//! ```text
//!   New ─Start─► Spawning ─Spawned─► Greeting ─Greeted─► Negotiating ─► Inspecting
//!                                                                          │ query-sev
//!                        ┌───────────────── no SEV, or SNP ────────────────┤
//!                        │                                                 ▼ launch-secret
//!                        │       ┌────── nobody attests ─────────────  Measuring
//!                        │       │                                         │
//!                        │       │                                         ▼
//!                        │       │      ┌─── no secret ──Accepted────  Verifying ──Rejected──┐
//!                        │       │      │                                  │                 │
//!                        ▼       ▼      ▼                                  ▼                 │
//!                       Listing (query-chardev) ◄───────────────────── Injecting             │
//!                          │                                                                 │
//!                          ├── resuming is not wanted, or not possible here ───────────────┐ │
//!                          ▼                                                               │ │
//!                       Resuming ─cont─► Running ── guest ends, stop, time is up ────────┐ │ │
//!                                                                                        ▼ ▼ ▼
//!   Ended ◄─Exited── Killing ◄─deadline── Terminating ◄─deadline, or no QMP yet── Quitting
//! ```
//!
//! Any state in which QEMU lives goes to the row below on a stop, a refusal, a broken monitor or a passed deadline, and
//! to `Ended` when QEMU exits. What ended the guest is decided once, by the first cause. Every state but `New`,
//! `Running` and `Ended` has a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use qemu::qmp::command::{Chardev, RunState, SevGuest, SevGuestState, SevInjectLaunchSecret, SevState};

use super::end::{End, ExitKind, Stopper};

/// How long QEMU may take to greet: it allocates and, with locked memory, touches all of the guest's memory first, which
/// takes minutes for the largest guests. Whoever knows better gives the whole run a time.
const GREETING: Duration = Duration::from_secs(300);
/// How long QEMU may take to answer a command. Measuring and resuming are done by the secure processor.
const ANSWER: Duration = Duration::from_secs(60);
/// How long QEMU may take to flush and exit when asked.
const QUIT: Duration = Duration::from_secs(10);
const TERMINATE: Duration = Duration::from_secs(10);
/// How long the kernel may take to bring a killed QEMU down; freeing much pinned memory takes seconds.
const KILL: Duration = Duration::from_secs(60);

/// What is wanted of this guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goals {
    /// The guest must be a confidential one.
    pub confidential: bool,
    /// Its owner must agree to the measurement before it runs.
    pub attest: bool,
    pub resume: Resume,
}

/// Whether the guest may run once it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    Yes,
    /// End well without running it, once it is measured and, where asked for, attested.
    StayPaused,
    /// As `StayPaused`, and then fail for this reason.
    Impossible(String),
}

/// What the owner of the guest is shown before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Measurement and nonce (48 bytes), base64.
    pub measurement: String,
    pub sev: SevState,
}

/// What the owner says to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The guest may run, once these packets are injected.
    Accepted {
        secrets: Vec<SevInjectLaunchSecret>,
    },
    Rejected {
        reason: String,
    },
}

/// What happens to a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Start,
    Spawned,
    SpawnFailed(String),
    Greeted,
    Answered(Answer),
    /// QEMU refused a command, or answered in a form that cannot be read.
    Refused(String),
    Judged(Verdict),
    /// The console cannot be opened.
    ConsoleFailed(String),
    /// QEMU's SHUTDOWN event.
    Shutdown {
        guest: bool,
        reason: String,
    },
    /// The vCPUs stopped without being told to.
    Halted,
    /// QEMU closed its end of QMP.
    MonitorClosed,
    /// What came over QMP was not QMP, or nothing can be sent.
    MonitorBroken(String),
    Exited(ExitKind),
    /// Somebody wants the guest to stop; asked again: at once.
    StopRequested(Stopper),
    /// The time that the whole run was given is over.
    TimeUp,
    /// The deadline that was set last.
    DeadlinePassed,
}

/// A command's reply, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Negotiated,
    Sev(SevState),
    /// Base64.
    Measured(String),
    Injected,
    Chardevs(Vec<Chardev>),
    Continued,
    Status(RunState),
    Quitting,
}

/// What is to be asked of QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    Negotiate,
    Sev,
    Measure,
    Inject(SevInjectLaunchSecret),
    Chardevs,
    Continue,
    Status,
    Quit,
}

/// What is to be done; carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Spawn,
    Ask(Query),
    /// Show the owner the evidence and bring back the verdict.
    Judge(Evidence),
    /// Connect the console, if one is wanted, to one of these.
    OpenConsole(Vec<Chardev>),
    /// Replaces the deadline.
    Deadline(Option<Duration>),
    Terminate,
    Kill,
    Tell(Milestone),
    Finish(End),
}

/// What an onlooker is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Milestone {
    /// QEMU's process runs.
    Spawned,
    /// QEMU greeted on its monitor.
    Greeted,
    /// The guest is set up, and paused. `None`: it is not a confidential guest.
    Ready(Option<SevState>),
    Measured(Evidence),
    Verified,
    Injected,
    Resumed,
    Stopping,
}

/// One guest's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    goals: Goals,
    phase: Phase,
    /// What ended the guest; the first cause stays.
    end: Option<End>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    New,
    Spawning,
    Greeting,
    Negotiating,
    Inspecting,
    Measuring(SevState),
    Verifying,
    Injecting(VecDeque<SevInjectLaunchSecret>),
    Listing,
    Resuming,
    Running,
    Quitting,
    Terminating,
    Killing,
    Ended,
}

impl State {
    pub fn new(goals: Goals) -> Self {
        Self { goals, phase: Phase::New, end: None }
    }

    /// Whether the guest's instructions may have been run.
    pub fn has_run(&self) -> bool {
        matches!(self.phase, Phase::Resuming | Phase::Running)
    }

    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// One step. An event that means nothing in this state changes nothing.
    #[must_use]
    pub fn on(mut self, event: Event) -> (Self, Vec<Action>) {
        let mut actions = Vec::new();
        if !self.is_over() {
            self.step(event, &mut actions);
        }
        (self, actions)
    }

    fn step(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Start => {
                if self.phase == Phase::New {
                    self.enter(Phase::Spawning, actions);
                    actions.push(Action::Spawn);
                }
            }
            Event::SpawnFailed(reason) => {
                self.blame(End::CannotStart(reason));
                self.finish(actions);
            }
            Event::Exited(exit) => {
                let end = if self.has_run() { End::Died(exit) } else { End::RefusedToStart(exit) };
                self.blame(end);
                self.finish(actions);
            }
            Event::StopRequested(by) => {
                if self.is_ending() {
                    self.kill(actions);
                } else {
                    self.wind_down(End::Stopped(by), actions);
                }
            }
            Event::TimeUp => self.wind_down(End::TimedOut("the guest did not end in time".into()), actions),
            Event::DeadlinePassed => self.on_deadline(actions),
            Event::MonitorClosed => self.on_closed_monitor(actions),
            Event::MonitorBroken(why) => self.on_broken_monitor(why, actions),
            Event::ConsoleFailed(reason) => self.wind_down(End::CannotStart(reason), actions),
            Event::Refused(reason) => self.on_refusal(reason, actions),
            Event::Shutdown { guest, reason } => self.on_shutdown(guest, reason, actions),
            Event::Halted => {
                if self.phase == Phase::Running {
                    actions.push(Action::Ask(Query::Status));
                }
            }
            Event::Spawned => {
                if self.phase == Phase::Spawning {
                    actions.push(Action::Tell(Milestone::Spawned));
                    self.enter(Phase::Greeting, actions);
                }
            }
            Event::Greeted => {
                if self.phase == Phase::Greeting {
                    actions.push(Action::Tell(Milestone::Greeted));
                    self.ask(Phase::Negotiating, Query::Negotiate, actions);
                }
            }
            Event::Judged(verdict) => self.on_verdict(verdict, actions),
            Event::Answered(answer) => self.on_answer(answer, actions),
        }
    }

    fn on_answer(&mut self, answer: Answer, actions: &mut Vec<Action>) {
        match (&mut self.phase, answer) {
            (Phase::Negotiating, Answer::Negotiated) => {
                self.ask(Phase::Inspecting, Query::Sev, actions);
            }
            (Phase::Inspecting, Answer::Sev(sev)) => self.on_sev_state(sev, actions),
            (Phase::Measuring(sev), Answer::Measured(measurement)) => {
                let evidence = Evidence { measurement, sev: sev.clone() };
                actions.push(Action::Tell(Milestone::Measured(evidence.clone())));
                if self.goals.attest {
                    self.enter(Phase::Verifying, actions);
                    actions.push(Action::Judge(evidence));
                } else {
                    self.ask(Phase::Listing, Query::Chardevs, actions);
                }
            }
            (Phase::Injecting(rest), Answer::Injected) => {
                if let Some(next) = rest.pop_front() {
                    actions.push(Action::Ask(Query::Inject(next)));
                } else {
                    actions.push(Action::Tell(Milestone::Injected));
                    self.ask(Phase::Listing, Query::Chardevs, actions);
                }
            }
            (Phase::Listing, Answer::Chardevs(chardevs)) => match self.goals.resume.clone() {
                Resume::Yes => {
                    actions.push(Action::OpenConsole(chardevs));
                    self.ask(Phase::Resuming, Query::Continue, actions);
                }
                Resume::StayPaused => self.wind_down(End::StayedPaused, actions),
                Resume::Impossible(reason) => self.wind_down(End::CannotResume(reason), actions),
            },
            (Phase::Resuming, Answer::Continued) => {
                actions.push(Action::Tell(Milestone::Resumed));
                self.enter(Phase::Running, actions);
            }
            (Phase::Running, Answer::Status(status)) => self.on_halt(status, actions),
            // An answer that was on its way when the guest began to end.
            _ => {}
        }
    }

    fn on_sev_state(&mut self, sev: SevState, actions: &mut Vec<Action>) {
        let legacy = matches!(sev.guest, SevGuest::Sev { .. });
        let ready = sev.enabled.then(|| sev.clone());
        if !sev.enabled && self.goals.confidential {
            let reason = "QEMU started the guest without memory encryption".to_owned();
            return self.wind_down(End::CannotStart(reason), actions);
        }
        actions.push(Action::Tell(Milestone::Ready(ready)));
        if sev.enabled && legacy && sev.state == SevGuestState::LaunchSecret {
            self.ask(Phase::Measuring(sev), Query::Measure, actions);
        } else if self.goals.attest {
            let reason = "there is no launch measurement to verify".to_owned();
            self.wind_down(End::AttestationFailed(reason), actions);
        } else {
            self.ask(Phase::Listing, Query::Chardevs, actions);
        }
    }

    fn on_verdict(&mut self, verdict: Verdict, actions: &mut Vec<Action>) {
        if self.phase != Phase::Verifying {
            return;
        }
        match verdict {
            Verdict::Rejected { reason } => self.wind_down(End::AttestationFailed(reason), actions),
            Verdict::Accepted { secrets } => {
                actions.push(Action::Tell(Milestone::Verified));
                let mut secrets = VecDeque::from(secrets);
                match secrets.pop_front() {
                    Some(first) => self.ask(Phase::Injecting(secrets), Query::Inject(first), actions),
                    None => self.ask(Phase::Listing, Query::Chardevs, actions),
                }
            }
        }
    }

    /// The vCPUs stopped by themselves; QEMU knows why.
    fn on_halt(&mut self, status: RunState, actions: &mut Vec<Action>) {
        match status {
            RunState::Shutdown => self.wind_down(End::GuestEnded, actions),
            RunState::GuestPanicked => self.wind_down(End::GuestPanicked, actions),
            RunState::InternalError => {
                let reason = "KVM cannot go on with the guest (QEMU: internal-error)".to_owned();
                self.wind_down(End::GuestFailed(reason), actions);
            }
            RunState::IoError => {
                let reason =
                    "a disk failed and its error policy stopped the guest (QEMU: io-error)".to_owned();
                self.wind_down(End::GuestFailed(reason), actions);
            }
            RunState::Prelaunch | RunState::Running | RunState::Paused | RunState::Other => {}
        }
    }

    fn on_shutdown(&mut self, guest: bool, reason: String, actions: &mut Vec<Action>) {
        let end = match (guest, reason.as_str()) {
            (_, "guest-panic") => End::GuestPanicked,
            // A guest that has not run cannot have ended well, whatever QEMU says.
            (true, _) if self.has_run() => End::GuestEnded,
            _ => End::StoppedElsewhere(reason),
        };
        self.wind_down(end, actions);
    }

    fn on_refusal(&mut self, reason: String, actions: &mut Vec<Action>) {
        match self.phase {
            // QEMU will not end by being asked.
            Phase::Quitting => self.terminate(actions),
            Phase::Terminating | Phase::Killing => {}
            // The guest runs all the same.
            Phase::Running => {}
            _ => self.wind_down(End::CannotStart(reason), actions),
        }
    }

    /// QEMU normally exits in the same moment, and its exit status is the better cause.
    fn on_closed_monitor(&self, actions: &mut Vec<Action>) {
        if !self.is_ending() {
            actions.push(Action::Deadline(Some(QUIT)));
        }
    }

    fn on_broken_monitor(&mut self, why: String, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Terminating | Phase::Killing => {}
            Phase::Quitting => self.terminate(actions),
            Phase::New => {}
            _ => {
                self.blame(if self.has_run() { End::GuestFailed(why) } else { End::CannotStart(why) });
                self.terminate(actions);
            }
        }
    }

    fn on_deadline(&mut self, actions: &mut Vec<Action>) {
        let waited_for = match self.phase {
            Phase::Quitting => return self.terminate(actions),
            Phase::Terminating => return self.kill(actions),
            Phase::Killing => {
                self.blame(End::Unkillable);
                return self.finish(actions);
            }
            Phase::New | Phase::Ended => return,
            Phase::Spawning => "QEMU's process did not start in time",
            Phase::Greeting => "QEMU did not greet on its QMP socket in time",
            Phase::Verifying => "the owner did not answer in time",
            Phase::Running => "QEMU closed its QMP socket and did not exit",
            Phase::Negotiating
            | Phase::Inspecting
            | Phase::Measuring(_)
            | Phase::Injecting(_)
            | Phase::Listing
            | Phase::Resuming => "QEMU did not answer on its QMP socket in time",
        };
        self.blame(End::TimedOut(waited_for.into()));
        // It does not listen, so it is not asked.
        self.terminate(actions);
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Quitting | Phase::Terminating | Phase::Killing)
    }

    fn blame(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Ends the guest in order: by QMP where it listens, else by signal.
    fn wind_down(&mut self, end: End, actions: &mut Vec<Action>) {
        if self.is_ending() {
            return;
        }
        self.blame(end);
        if self.phase == Phase::New {
            return self.finish(actions);
        }
        actions.push(Action::Tell(Milestone::Stopping));
        match self.phase {
            Phase::Spawning | Phase::Greeting | Phase::Negotiating => self.terminate(actions),
            _ => self.ask(Phase::Quitting, Query::Quit, actions),
        }
    }

    fn terminate(&mut self, actions: &mut Vec<Action>) {
        self.enter(Phase::Terminating, actions);
        actions.push(Action::Terminate);
    }

    fn kill(&mut self, actions: &mut Vec<Action>) {
        self.enter(Phase::Killing, actions);
        actions.push(Action::Kill);
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        self.enter(Phase::Ended, actions);
        if let Some(end) = self.end.take() {
            actions.push(Action::Finish(end));
        }
    }

    fn ask(&mut self, phase: Phase, query: Query, actions: &mut Vec<Action>) {
        self.enter(phase, actions);
        actions.push(Action::Ask(query));
    }

    fn enter(&mut self, phase: Phase, actions: &mut Vec<Action>) {
        let limit = match phase {
            Phase::New | Phase::Running | Phase::Ended => None,
            Phase::Spawning | Phase::Greeting => Some(GREETING),
            Phase::Negotiating
            | Phase::Inspecting
            | Phase::Measuring(_)
            | Phase::Verifying
            | Phase::Injecting(_)
            | Phase::Listing
            | Phase::Resuming => Some(ANSWER),
            Phase::Quitting => Some(QUIT),
            Phase::Terminating => Some(TERMINATE),
            Phase::Killing => Some(KILL),
        };
        self.phase = phase;
        actions.push(Action::Deadline(limit));
    }
}

#[cfg(test)]
mod tests;
