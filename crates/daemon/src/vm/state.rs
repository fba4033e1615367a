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
//!                                          ▲ └─── background: STOP ──► Still              │ │ │
//!                                          └──────────── RESUME ──────── Still, Held      │ │ │
//!                                                                                        ▼ ▼ ▼
//!   Ended ◄─Exited── Killing ◄─deadline── Terminating ◄─deadline, or no QMP yet── Quitting
//! ```
//!
//! A guest in the background that panics and is to be dumped goes from `Running` to `Dumping`, and from there to what
//! else is to become of it.
//!
//! Any state in which QEMU lives goes to the row below on a stop, a refusal, a broken monitor or a passed deadline, and
//! to `Ended` when QEMU exits. What ended the guest is decided once, by the first cause. Every state but `New`, `Held`,
//! `Running`, `Still` and `Ended` has a deadline.
//!
//! A guest in the background that is to stay paused waits in `Held`; one that a daemon takes over enters `Held`,
//! `Running` or `Still` at once, as it was recorded, and is asked how it is when its QEMU greets.

mod terms;

use std::collections::VecDeque;
use std::time::Duration;

use qemu::qmp::command::{RunState, SevGuest, SevGuestState, SevInjectLaunchSecret, SevState};

use super::end::{End, Stopper};
use super::life::{Life, Reaction, Reactions, RunState as DomainState, Standing, Still};

pub use terms::{Action, Answer, Event, Evidence, Goals, Milestone, Query, Resume, Verdict};

/// How long QEMU may take to greet and to give its first answers: it allocates and, with locked memory, touches all of the
/// guest's memory first, which takes minutes for the largest guests. Whoever knows better gives the whole run a time.
const GREETING: Duration = Duration::from_secs(300);
/// How long QEMU may take to answer a command. Measuring and resuming are done by the secure processor.
const ANSWER: Duration = Duration::from_secs(60);
/// How long QEMU may take to write a crashed guest's memory to a file: hundreds of gigabytes on a slow disk.
pub const DUMP: Duration = Duration::from_secs(3600);
/// How long QEMU may take to flush and exit when asked.
const QUIT: Duration = Duration::from_secs(10);
const TERMINATE: Duration = Duration::from_secs(10);
/// How long the kernel may take to bring a killed QEMU down; freeing much pinned memory takes seconds.
const KILL: Duration = Duration::from_secs(60);

/// One guest's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    goals: Goals,
    phase: Phase,
    /// What ended the guest; the first cause stays.
    end: Option<End>,
    /// Why the guest is about to be stopped.
    cause: Option<Still>,
    /// It was paused before it ran.
    unpaused: bool,
    /// Its next shutdown is a reboot.
    reboot_wanted: bool,
    told_of_shutdown: bool,
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
    Binding,
    /// It is being tuned.
    SetUp,
    Resuming,
    Held,
    Running,
    Still(Still),
    /// It crashed, and its memory is being written to a file.
    Dumping,
    Resetting,
    Quitting,
    Terminating,
    Killing,
    Ended,
}

impl State {
    pub fn new(goals: Goals) -> Self {
        Self {
            goals,
            phase: Phase::New,
            end: None,
            cause: None,
            unpaused: false,
            reboot_wanted: false,
            told_of_shutdown: false,
        }
    }

    /// Whether the guest's instructions may have been run.
    pub fn has_run(&self) -> bool {
        matches!(
            self.phase,
            Phase::Resuming | Phase::Running | Phase::Still(_) | Phase::Dumping | Phase::Resetting
        )
    }

    /// How it stands, once it is set up and as long as it is not ending.
    pub fn standing(&self) -> Option<Standing> {
        match self.phase {
            Phase::Held => Some(Standing::Held),
            Phase::Running | Phase::Resetting => Some(Standing::Running { unpaused: self.unpaused }),
            Phase::Still(why) => Some(Standing::Still(why)),
            _ => None,
        }
    }

    /// As the protocol has it. What a guest is that has ended is told by its end.
    pub fn run_state(&self) -> DomainState {
        use rpc::remote::domain::state;
        match self.phase {
            Phase::Held => state::PAUSED_USER,
            Phase::Running | Phase::Resetting if self.unpaused => state::RUNNING_UNPAUSED,
            Phase::Running | Phase::Resetting => state::RUNNING_BOOTED,
            Phase::Still(why) => return why.run_state(),
            Phase::Dumping => return Still::Panicked.run_state(),
            Phase::Quitting | Phase::Terminating | Phase::Killing => state::SHUTDOWN_USER,
            Phase::Ended => state::SHUTOFF_UNKNOWN,
            _ => state::PAUSED_STARTING_UP,
        }
        .into()
    }

    /// Whether it is ending to be launched anew.
    pub fn is_relaunching(&self) -> bool {
        self.end == Some(End::Relaunch)
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
            Event::Halted => self.on_stop(actions),
            Event::Continued => {
                if matches!(self.phase, Phase::Held | Phase::Still(_)) {
                    self.unpaused = true;
                    self.enter(Phase::Running, actions);
                    actions.push(Action::Tell(Milestone::Unpaused));
                }
            }
            Event::Reset => {
                if self.standing().is_some() {
                    actions.push(Action::Tell(Milestone::Rebooted));
                }
            }
            Event::About(cause) => self.cause = Some(cause),
            Event::Heard => {}
            Event::Panicked => self.on_panic(actions),
            Event::Dumped => {
                if let (Phase::Dumping, Life::Background(life)) = (&self.phase, self.goals.life) {
                    self.react(life.crash, Still::Panicked, End::GuestPanicked, actions);
                }
            }
            Event::RebootWanted(wanted) => self.reboot_wanted = wanted,
            Event::Tuned => {
                if self.phase == Phase::SetUp {
                    self.resume(actions);
                }
            }
            Event::RelaunchWanted => {
                if self.standing().is_some() {
                    self.wind_down(End::Relaunch, actions);
                }
            }
            Event::Destroy { graceful } => self.on_destroy(graceful, actions),
            Event::React(reactions) => {
                if let Life::Background(life) = &mut self.goals.life {
                    *life = reactions;
                    if self.standing().is_some() && self.ends_at_reset() {
                        actions.push(Action::Ask(Query::BindReboot));
                    }
                }
            }
            Event::Adopt(standing) => {
                if self.phase == Phase::New {
                    self.adopt(standing, actions);
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
                } else if self.standing().is_some() {
                    actions.push(Action::Tell(Milestone::Greeted));
                    actions.push(Action::Ask(Query::Negotiate));
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
            (Phase::Listing, Answer::Chardevs(chardevs)) => {
                match self.goals.life {
                    Life::Background(_) => {
                        actions.push(Action::Tell(Milestone::Listed(chardevs)));
                        actions.push(Action::Ask(Query::TraceShutdown));
                    }
                    Life::Foreground if self.goals.resume == Resume::Yes => {
                        actions.push(Action::OpenConsole(chardevs));
                    }
                    Life::Foreground => {}
                }
                if self.ends_at_reset() {
                    self.ask(Phase::Binding, Query::BindReboot, actions);
                } else {
                    self.set_up(actions);
                }
            }
            (Phase::Binding, Answer::RebootBound) => self.set_up(actions),
            (Phase::Resuming, Answer::Continued) => {
                self.enter(Phase::Running, actions);
                actions.push(Action::Tell(Milestone::Resumed));
            }
            (Phase::Resetting, Answer::WasReset) => actions.push(Action::Ask(Query::Continue)),
            (Phase::Resetting, Answer::Continued) => self.enter(Phase::Running, actions),
            (_, Answer::Traced) => actions.push(Action::Tell(Milestone::Traced)),
            (Phase::Held | Phase::Running | Phase::Still(_), Answer::Negotiated) => {
                actions.push(Action::Ask(Query::Status));
                actions.push(Action::Ask(Query::TraceShutdown));
            }
            (Phase::Held | Phase::Running | Phase::Still(_), Answer::Status(status)) => {
                match self.goals.life {
                    Life::Foreground => self.on_halt(status, actions),
                    Life::Background(_) => self.on_status(status, actions),
                }
            }
            // An answer that was on its way when the guest began to end.
            _ => {}
        }
    }

    /// Lets those who started a guest in the background tune it before it runs.
    fn set_up(&mut self, actions: &mut Vec<Action>) {
        match self.goals.life {
            Life::Foreground => self.resume(actions),
            Life::Background(_) => {
                self.enter(Phase::SetUp, actions);
                actions.push(Action::Tell(Milestone::SetUp));
            }
        }
    }

    /// Runs the guest where that is wanted.
    fn resume(&mut self, actions: &mut Vec<Action>) {
        match self.goals.resume.clone() {
            Resume::Yes => self.ask(Phase::Resuming, Query::Continue, actions),
            Resume::Hold => {
                self.enter(Phase::Held, actions);
                actions.push(Action::Tell(Milestone::Held));
            }
            Resume::StayPaused => self.wind_down(End::StayedPaused, actions),
            Resume::Impossible(reason) => self.wind_down(End::CannotResume(reason), actions),
        }
    }

    fn adopt(&mut self, standing: Standing, actions: &mut Vec<Action>) {
        let phase = match standing {
            Standing::Held => Phase::Held,
            Standing::Running { unpaused } => {
                self.unpaused = unpaused;
                Phase::Running
            }
            Standing::Still(why) => Phase::Still(why),
        };
        self.enter(phase, actions);
    }

    /// Whether a reset must end the guest: it is not to go on, or cannot go on without being launched anew.
    fn ends_at_reset(&self) -> bool {
        match self.goals.life {
            Life::Foreground => false,
            Life::Background(life) => life.reboot != Reaction::Restart || self.goals.confidential,
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

    fn on_stop(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        if let Life::Background(_) = self.goals.life {
            let why = self.cause.take().unwrap_or(Still::Asked);
            self.enter(Phase::Still(why), actions);
            actions.push(Action::Tell(Milestone::Paused(why)));
        }
        actions.push(Action::Ask(Query::Status));
    }

    /// What QEMU says of a guest in the background: one that was taken over, or has stopped.
    fn on_status(&mut self, status: RunState, actions: &mut Vec<Action>) {
        let was = self.phase.clone();
        match status {
            RunState::Running if was != Phase::Running => {
                self.unpaused = true;
                self.enter(Phase::Running, actions);
                actions.push(Action::Tell(Milestone::Unpaused));
            }
            RunState::Paused if was == Phase::Running => self.stand_still(Still::Asked, actions),
            RunState::IoError if was != Phase::Still(Still::IoError) => {
                self.stand_still(Still::IoError, actions);
            }
            RunState::InternalError if was != Phase::Still(Still::Failed) => {
                self.stand_still(Still::Failed, actions);
            }
            RunState::Shutdown if was != Phase::Still(Still::ShutDown) => actions.push(Action::FindCause),
            RunState::GuestPanicked if was != Phase::Still(Still::Panicked) => self.on_panic(actions),
            _ => {}
        }
    }

    fn stand_still(&mut self, why: Still, actions: &mut Vec<Action>) {
        self.enter(Phase::Still(why), actions);
        actions.push(Action::Tell(Milestone::Paused(why)));
    }

    fn on_panic(&mut self, actions: &mut Vec<Action>) {
        let Life::Background(life) = self.goals.life else { return };
        if self.standing().is_none() || self.phase == Phase::Still(Still::Panicked) {
            return;
        }
        actions.push(Action::Tell(Milestone::Panicked));
        // There is nothing in the memory of a confidential guest that could be read.
        if life.core_dump && !self.goals.confidential {
            self.enter(Phase::Dumping, actions);
            actions.push(Action::Tell(Milestone::DumpWanted));
            return;
        }
        self.react(life.crash, Still::Panicked, End::GuestPanicked, actions);
    }

    fn react(&mut self, reaction: Reaction, kept: Still, end: End, actions: &mut Vec<Action>) {
        match reaction {
            Reaction::Destroy => self.wind_down(end, actions),
            Reaction::Preserve => self.enter(Phase::Still(kept), actions),
            // A confidential guest is launched and measured anew, by a new QEMU.
            Reaction::Restart if self.goals.confidential || self.goals.attest => {
                self.wind_down(End::Relaunch, actions);
            }
            Reaction::Restart => self.ask(Phase::Resetting, Query::Reset, actions),
        }
    }

    fn on_destroy(&mut self, graceful: bool, actions: &mut Vec<Action>) {
        if self.phase == Phase::New {
            self.blame(End::Stopped(Stopper::Command));
            self.finish(actions);
        } else if graceful {
            if !self.is_ending() {
                self.blame(End::Stopped(Stopper::Command));
                actions.push(Action::Terminate);
            }
        } else if self.is_ending() {
            self.kill(actions);
        } else {
            self.blame(End::Stopped(Stopper::Command));
            actions.push(Action::Tell(Milestone::Stopping));
            self.terminate(actions);
        }
    }

    /// The vCPUs of a guest in the foreground stopped by themselves; QEMU knows why.
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
        if let Life::Background(life) = self.goals.life {
            return self.on_shutdown_in_background(life, guest, reason, actions);
        }
        let end = match (guest, reason.as_str()) {
            (_, "guest-panic") => End::GuestPanicked,
            // A guest that has not run cannot have ended well, whatever QEMU says.
            (true, _) if self.has_run() => End::GuestEnded,
            _ => End::StoppedElsewhere(reason),
        };
        self.wind_down(end, actions);
    }

    fn on_shutdown_in_background(
        &mut self,
        life: Reactions,
        guest: bool,
        reason: String,
        actions: &mut Vec<Action>,
    ) {
        let panicked = reason == "guest-panic";
        // A guest that reboots is not on its way out.
        let reboots = guest && self.reboot_wanted && life.reboot == Reaction::Restart;
        if !self.told_of_shutdown && !panicked && !reboots && reason != "guest-reset" {
            self.told_of_shutdown = true;
            actions.push(Action::Tell(Milestone::ShuttingDown { guest }));
        }
        if self.standing().is_none() {
            if !self.is_ending() {
                self.wind_down(End::StoppedElsewhere(reason), actions);
            }
            return;
        }
        match reason.as_str() {
            "guest-panic" => self.on_panic(actions),
            "guest-reset" => {
                self.react(life.reboot, Still::ShutDown, End::GuestEnded, actions);
            }
            _ if guest => {
                let reboot = std::mem::take(&mut self.reboot_wanted);
                let reaction = if reboot { life.reboot } else { life.poweroff };
                self.react(reaction, Still::ShutDown, End::GuestEnded, actions);
            }
            // QEMU is on its way out.
            _ => {
                self.blame(End::StoppedElsewhere(reason));
                self.enter(Phase::Quitting, actions);
            }
        }
        // The next one is another.
        if self.standing().is_some() {
            self.told_of_shutdown = false;
        }
    }

    fn on_refusal(&mut self, reason: String, actions: &mut Vec<Action>) {
        match self.phase {
            // QEMU will not end by being asked.
            Phase::Quitting => self.terminate(actions),
            Phase::Terminating | Phase::Killing => {}
            // The guest lives all the same.
            Phase::Running | Phase::Held | Phase::Still(_) | Phase::Dumping => {}
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
            // Nothing that QEMU says is worth the guest's life.
            Phase::Running | Phase::Held | Phase::Still(_) | Phase::Dumping
                if self.goals.life != Life::Foreground =>
            {
                actions.push(Action::Tell(Milestone::Deaf(why)));
            }
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
            Phase::Running | Phase::Held | Phase::Still(_) => "QEMU closed its QMP socket and did not exit",
            Phase::Dumping => "QEMU did not write the crashed guest's memory to its file in time",
            Phase::Negotiating
            | Phase::Inspecting
            | Phase::Measuring(_)
            | Phase::Injecting(_)
            | Phase::Listing
            | Phase::Binding
            | Phase::SetUp
            | Phase::Resuming
            | Phase::Resetting => "QEMU did not answer on its QMP socket in time",
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
            Phase::New | Phase::Held | Phase::Running | Phase::Still(_) | Phase::Ended => None,
            Phase::Spawning | Phase::Greeting | Phase::SetUp | Phase::Negotiating | Phase::Inspecting => {
                Some(GREETING)
            }
            Phase::Measuring(_)
            | Phase::Verifying
            | Phase::Injecting(_)
            | Phase::Listing
            | Phase::Binding
            | Phase::Resuming
            | Phase::Resetting => Some(ANSWER),
            Phase::Dumping => Some(DUMP),
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
