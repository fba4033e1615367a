//! The terms of a guest's life: what is wanted of it, what happens to it, and what is to be done.

use std::time::Duration;

use qemu::qmp::command::{Chardev, RunState, SevInjectLaunchSecret, SevState};

use super::super::end::{End, ExitKind, Stopper};
use super::super::life::{Life, Reactions, Standing, Still};

/// What is wanted of this guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goals {
    /// The guest must be a confidential one.
    pub confidential: bool,
    /// Its owner must agree to the measurement before it runs.
    pub attest: bool,
    pub resume: Resume,
    pub life: Life,
}

/// Whether the guest may run once it is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    Yes,
    /// End well without running it, once it is measured and, where asked for, attested.
    StayPaused,
    /// Stay paused and live on.
    Hold,
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
    /// QEMU has been running already.
    Adopt(Standing),
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
    /// The vCPUs stopped. In the foreground nobody tells them to.
    Halted,
    /// The vCPUs run.
    Continued,
    /// The guest was reset.
    Reset,
    /// QEMU is about to stop the guest for this.
    About(Still),
    /// QEMU told something that does not concern the guest's life.
    Heard,
    /// The guest's kernel reported a panic, and QEMU stops it.
    Panicked,
    /// Whether the guest's next shutdown, which is being asked for, is a reboot.
    RebootWanted(bool),
    /// The guest was tuned, and may run where that is wanted.
    Tuned,
    /// The memory of the crashed guest was written to a file, or cannot be.
    Dumped,
    /// The guest is to be launched anew by another QEMU.
    RelaunchWanted,
    /// QEMU is to be ended by SIGTERM, and where that is not enough and it is not to be spared, by SIGKILL.
    Destroy {
        graceful: bool,
    },
    /// What is to become of the guest was changed.
    React(Reactions),
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
    /// A reset of the guest will end it.
    RebootBound,
    /// From now on QEMU's log tells of shutdowns.
    Traced,
    WasReset,
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
    /// Have a reset of the guest end it.
    BindReboot,
    /// Have QEMU write into its log when a shutdown is asked for: a guest may shut down while nobody listens.
    TraceShutdown,
    Reset,
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
    /// Find out why the guest has shut down while nobody listened, and bring back [`Event::Shutdown`].
    FindCause,
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
    /// What the guest's character devices are connected to.
    Listed(Vec<Chardev>),
    /// QEMU's log tells of shutdowns.
    Traced,
    /// It has not run, and may be tuned: see [`Event::Tuned`].
    SetUp,
    /// It is set up, and stays paused.
    Held,
    /// It runs for the first time.
    Resumed,
    /// It runs again.
    Unpaused,
    Paused(Still),
    Panicked,
    /// Its memory is to be written to a file before anything else becomes of it: see [`Event::Dumped`].
    DumpWanted,
    /// It was reset and boots again.
    Rebooted,
    /// It is about to end: by itself, or by QEMU's end.
    ShuttingDown {
        guest: bool,
    },
    /// QEMU cannot be talked to, and is left alone.
    Deaf(String),
    Stopping,
}
