//! What runs guests: the probe that asks a QEMU binary what it can do, and the supervisor of one virtual machine.

pub mod cgroup;
pub mod domain_caps;
pub mod expected;
pub mod owner;
pub mod probe;
mod process;
pub mod start;
pub mod systemd;
pub mod tap;
pub mod vm;

/// An error with its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        line.push_str(": ");
        line.push_str(&source.to_string());
        next = source.source();
    }
    line
}
