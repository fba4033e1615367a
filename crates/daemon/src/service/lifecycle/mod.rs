//! The life of domains: started, paused, asked to shut down, ended, taken over.
//!
//! ```text
//!   start ─► lint, plan, prepare ─► vm::Guest::launch ─► up ─► told to the client
//!                                        │
//!                      watch: what happens to the guest becomes events
//!                                        │
//!                      end:   it is gone; why, and what follows from it
//! ```
//!
//! A start holds the domain's `job`; an end does not, so that a guest that does not come up can be ended.

mod adopt;
mod autostart;
mod calls;
mod dump;
mod end;
mod refuse;
mod start;
mod watch;

pub(in crate::service) use adopt::take_over;
pub(in crate::service) use autostart::autostart;
pub(in crate::service) use calls::{
    destroy, reboot, reset, resume, set_lifecycle_action, shutdown, suspend, wake_up,
};
pub(in crate::service) use refuse::{
    create_with_files, no_current_snapshot, saved, sleep, snapshot, unknown_save, unknown_snapshot,
};
pub(in crate::service) use start::{create, create_xml};
