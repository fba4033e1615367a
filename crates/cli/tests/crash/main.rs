//! What must hold whatever happens to the daemon or its disk.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

mod disk;
mod guests;
mod place;
mod storm;
