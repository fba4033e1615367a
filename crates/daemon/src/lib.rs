//! What runs guests: the probe that asks a QEMU binary what it can do, the supervisor of one virtual machine, and the
//! service that offers both by libvirt's protocol.

pub mod cgroup;
pub mod config;
pub mod domain_caps;
pub mod emulator;
pub mod expected;
pub mod forward;
mod guest_log;
pub mod import;
pub mod isolate;
mod network;
pub mod owner;
pub mod probe;
mod process;
pub mod server;
pub mod service;
mod smbios;
pub mod start;
mod storage;
mod store;
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

/// What the C library says of an operating system's error, as libvirt shows it: without the number.
pub(crate) fn os_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}

/// What a mutex guards. Nobody panics while holding one here; if somebody did, the value is still the last that was
/// written.
pub(crate) fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
