//! For whom a guest lives, and what becomes of it when it powers off, reboots, crashes or stands still.

use domain::Domain;
use domain::model::{CrashAction, Keyword as _, LifecycleAction};
use rpc::remote::domain::{State, state};
use serde::{Deserialize, Serialize};

/// `virDomainState` and its reason, as the protocol has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunState {
    pub state: i32,
    pub reason: i32,
}

impl From<State> for RunState {
    fn from(State { state, reason }: State) -> Self {
        Self { state, reason }
    }
}

impl From<RunState> for State {
    fn from(RunState { state, reason }: RunState) -> Self {
        Self { state, reason }
    }
}

/// For whom a guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// For a program that waits for its end: whatever stops it ends it.
    Foreground,
    /// Until it ends or is ended. It outlives the process that started it, and what stops it is told.
    Background(Reactions),
}

/// `on_poweroff`, `on_reboot` and `on_crash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reactions {
    pub poweroff: Reaction,
    pub reboot: Reaction,
    pub crash: Reaction,
    /// The memory of a crashed guest is kept in a file before that: `coredump-destroy` and `coredump-restart`.
    #[serde(default)]
    pub core_dump: bool,
}

/// What becomes of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    Destroy,
    Restart,
    /// It stays as it is, to be looked at.
    Preserve,
}

/// A reaction that sevirt does not carry out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sevirt does not support the action `{action}` for `{event}`")]
pub struct UnsupportedReaction {
    pub event: &'static str,
    pub action: &'static str,
}

impl Reaction {
    fn to(event: &'static str, action: LifecycleAction) -> Result<Self, UnsupportedReaction> {
        match action {
            LifecycleAction::Destroy => Ok(Self::Destroy),
            LifecycleAction::Restart => Ok(Self::Restart),
            LifecycleAction::Preserve => Ok(Self::Preserve),
            LifecycleAction::RenameRestart => Err(UnsupportedReaction { event, action: action.word() }),
        }
    }
}

impl Reactions {
    /// What libvirt does where a domain says nothing.
    pub const USUAL: Self = Self {
        poweroff: Reaction::Destroy,
        reboot: Reaction::Restart,
        crash: Reaction::Destroy,
        core_dump: false,
    };

    /// What the domain says.
    pub fn of(domain: &Domain) -> Result<Self, UnsupportedReaction> {
        let mut reactions = Self::USUAL;
        if let Some(action) = domain.on_poweroff {
            reactions = reactions.on_poweroff(action)?;
        }
        if let Some(action) = domain.on_reboot {
            reactions = reactions.on_reboot(action)?;
        }
        domain.on_crash.map_or(Ok(reactions), |action| reactions.on_crash(action))
    }

    /// The same with another `on_poweroff`.
    pub fn on_poweroff(self, action: LifecycleAction) -> Result<Self, UnsupportedReaction> {
        Ok(Self { poweroff: Reaction::to("on_poweroff", action)?, ..self })
    }

    /// The same with another `on_reboot`.
    pub fn on_reboot(self, action: LifecycleAction) -> Result<Self, UnsupportedReaction> {
        Ok(Self { reboot: Reaction::to("on_reboot", action)?, ..self })
    }

    /// The same with another `on_crash`.
    pub fn on_crash(self, action: CrashAction) -> Result<Self, UnsupportedReaction> {
        let (crash, core_dump) = match action {
            CrashAction::Destroy => (Reaction::Destroy, false),
            CrashAction::Restart => (Reaction::Restart, false),
            CrashAction::Preserve => (Reaction::Preserve, false),
            CrashAction::CoredumpDestroy => (Reaction::Destroy, true),
            CrashAction::CoredumpRestart => (Reaction::Restart, true),
            CrashAction::RenameRestart => {
                return Err(UnsupportedReaction { event: "on_crash", action: action.word() });
            }
        };
        Ok(Self { crash, core_dump, ..self })
    }
}

/// Why a guest that has run stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Still {
    /// Somebody wanted it, or nobody knows why.
    Asked,
    /// A disk failed, and its error policy says so.
    IoError,
    Watchdog,
    /// It shut down, and is kept.
    ShutDown,
    /// Its kernel panicked, and it is kept.
    Panicked,
    /// KVM cannot go on with it.
    Failed,
}

impl Still {
    pub(super) fn run_state(self) -> RunState {
        match self {
            Self::Asked => state::PAUSED_USER,
            Self::IoError => state::PAUSED_IOERROR,
            Self::Watchdog => state::PAUSED_WATCHDOG,
            Self::ShutDown => state::SHUTDOWN_USER,
            Self::Panicked => state::CRASHED_PANICKED,
            Self::Failed => state::PAUSED_API_ERROR,
        }
        .into()
    }
}

/// How a guest stands that was started: what is recorded, for whoever takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Set up, and never run.
    Held,
    Running {
        /// It was paused before.
        unpaused: bool,
    },
    Still(Still),
}

#[cfg(test)]
mod tests {
    use domain::Document;

    use super::*;

    #[track_caller]
    fn of(elements: &str) -> Result<Reactions, String> {
        let text = format!("<domain type='kvm'><name>a</name><memory>1</memory>{elements}</domain>");
        let (domain, _) = Domain::read(&Document::parse(&text).unwrap());
        Reactions::of(&domain).map_err(|error| error.to_string())
    }

    #[test]
    fn reactions_are_read_and_what_is_not_carried_out_is_named() {
        assert_eq!(of(""), Ok(Reactions::USUAL));
        let said = of("<on_poweroff>preserve</on_poweroff><on_reboot>destroy</on_reboot>\
                       <on_crash>restart</on_crash>");
        let expected = Reactions {
            poweroff: Reaction::Preserve,
            reboot: Reaction::Destroy,
            crash: Reaction::Restart,
            core_dump: false,
        };
        assert_eq!(said, Ok(expected));
        for (action, crash) in [("destroy", Reaction::Destroy), ("restart", Reaction::Restart)] {
            let dumped = Reactions { crash, core_dump: true, ..Reactions::USUAL };
            assert_eq!(of(&format!("<on_crash>coredump-{action}</on_crash>")), Ok(dumped));
        }
        let refused = |elements| of(elements).unwrap_err();
        assert_eq!(
            refused("<on_reboot>rename-restart</on_reboot>"),
            "sevirt does not support the action `rename-restart` for `on_reboot`"
        );
        assert_eq!(
            refused("<on_crash>rename-restart</on_crash>"),
            "sevirt does not support the action `rename-restart` for `on_crash`"
        );
    }
}
