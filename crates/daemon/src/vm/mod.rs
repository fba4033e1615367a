//! The supervisor of one guest: a pure state machine, and beside it the task that carries out what it decides.
//!
//! [`Foreground`] runs one guest for a program that has nothing else to do; the parts below it are for a daemon as well.

mod console;
mod end;
mod foreground;
mod monitor;
mod rundir;
mod state;
mod task;
mod words;

pub use console::{Console, ConsoleError};
pub use end::{End, ExitKind, Stopper};
pub use foreground::Foreground;
pub use rundir::{RunDir, RunDirError, base};
pub use state::{Action, Answer, Event, Evidence, Goals, Milestone, Query, Resume, State, Verdict};
pub use task::{ConsoleNotice, Notice, Outcome, Owner, Request, run};

pub use crate::process::{Lifetime, MemoryLock};
