//! Command lines of our own domains: as recorded, and as QEMU itself takes them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot read")]

mod accepted;
mod decisions;
mod host;
mod mangled;
mod memory;
mod paused;
mod recorded;
