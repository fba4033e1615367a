//! Answers the CPUID instruction, which no library call can be interposed for, on behalf of the simulated platform.
//!
//! QEMU and the host tools execute CPUID themselves to learn the host's C-bit. Each such instruction in the program's own
//! code (`0f a2`) is overwritten with one of the same length that always faults (`ud2`, `0f 0b`), and the handler of SIGILL
//! executes CPUID in its place and changes what the simulated platform offers. Code of shared libraries is left alone.

mod answer;
mod functions;
mod program;
mod sites;
mod trap;

use crate::message::{say, trace};

/// Takes over the program's CPUID instructions. Called once, before the program's own code runs.
pub(crate) fn take_over() {
    let Some(program) = program::Program::find() else { return };
    let sites = sites::find(program.code, program.start, program.functions());
    if sites.is_empty() {
        return;
    }
    match trap::set(&sites) {
        Ok(()) => trace!("{} CPUID instructions of the program are answered", sites.len()),
        Err(error) => say!("the program's CPUID instructions are not answered: {error}"),
    }
}
