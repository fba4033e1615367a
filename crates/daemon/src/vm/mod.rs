//! The supervisor of one guest: a pure state machine, and beside it the task that carries out what it decides.
//!
//! [`Foreground`] runs one guest for a program that has nothing else to do; a [`Guest`] is one in the background, which
//! outlives the daemon that started it and is taken over by the next.

mod console;
mod end;
mod foreground;
mod guest;
mod life;
mod live;
mod monitor;
mod record;
mod rundir;
mod state;
mod task;
mod words;

pub use console::{Console, ConsoleError};
pub use end::{End, ExitKind, Stopper};
pub use foreground::Foreground;
pub use guest::{ANSWER, AdoptError, Afterwards, AskError, Guest, How, Observer};
pub(crate) use guest::{last_words, read_live};
pub use life::{Life, Reaction, Reactions, RunState, Standing, Still, UnsupportedReaction};
pub use record::{Phase, Record, SevLaunch, boot};
pub(crate) use rundir::QEMU as QEMU_DIR;
pub use rundir::{RunDir, RunDirError, base};
pub use state::{Action, Answer, DUMP, Event, Evidence, Goals, Milestone, Query, Resume, State, Verdict};
pub use task::{ConsoleNotice, Log, Notice, Outcome, Owner, Request, run};

pub use crate::process::MemoryLock;
