//! What the library says, on standard error, which is where QEMU's own messages go.

use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;

/// The environment variable that makes the library tell each command.
pub(crate) const TRACE_VARIABLE: &str = "SEVSIM_TRACE";

/// One line, in one write so that threads do not mix theirs. A failure to write it is nobody's concern.
pub(crate) fn line(message: fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_all(format!("libsevsim: {message}\n").as_bytes());
}

/// Whether each command is to be told.
pub(crate) fn tracing() -> bool {
    static TRACING: OnceLock<bool> = OnceLock::new();
    *TRACING.get_or_init(|| std::env::var_os(TRACE_VARIABLE).is_some())
}

/// Tells the user what could not be done, and why.
macro_rules! say {
    ($($argument:tt)*) => { $crate::message::line(format_args!($($argument)*)) };
}

/// Tells whoever looks for a fault what is done.
macro_rules! trace {
    ($($argument:tt)*) => { if $crate::message::tracing() { $crate::message::line(format_args!($($argument)*)) } };
}

pub(crate) use {say, trace};
