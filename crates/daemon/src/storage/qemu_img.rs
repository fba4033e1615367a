//! `qemu-img`, which comes with QEMU. It works in the pool's directory and is given names as `./NAME`, which are
//! neither options nor protocols whatever the name is.

use std::io;
use std::process::{Command, Stdio};

use rpc::error::Code;

use super::directory::Directory;
use super::{Failure, fault, system};

const PROGRAM: &str = "qemu-img";
/// The most of its words that are passed on.
const WORDS_MAX: usize = 1000;

/// A volume's name as an argument.
pub(super) fn local(name: &str) -> String {
    format!("./{name}")
}

/// Runs it to its end.
pub(super) fn run(directory: &Directory, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(directory.in_proc());
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let words = "qemu-img is not installed; it makes volumes that are not raw (package qemu-utils)";
            return Err(fault(Code::INTERNAL_ERROR, words));
        }
        Err(error) => return Err(system(format!("cannot run {PROGRAM}"), error)),
        Ok(output) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim().trim_start_matches("qemu-img: ");
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect();
    let words = if words.is_empty() { output.status.to_string() } else { words };
    Err(fault(Code::INTERNAL_ERROR, format!("{PROGRAM} failed: {words}")))
}
