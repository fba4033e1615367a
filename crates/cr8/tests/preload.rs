//! The library in the QEMU that is installed, and in a program that is none.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::process::{Command, Output};

fn under_library(program: &str, verbose: bool) -> Output {
    let library = std::env::current_exe().unwrap().with_file_name("libsevirt_cr8.so");
    let mut command = Command::new(program);
    command.arg("--version").env("LD_PRELOAD", library).env_remove("SEVIRT_CR8_VERBOSE");
    if verbose {
        command.env("SEVIRT_CR8_VERBOSE", "1");
    }
    command.output().unwrap()
}

#[test]
fn the_call_is_found_in_the_installed_qemu() {
    let output = under_library("qemu-system-x86_64", true);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1 call(s) of cpu_interrupt in helper_write_crN now take the big lock"), "{said}");
}

#[test]
fn it_is_silent_unless_asked() {
    let output = under_library("qemu-system-x86_64", false);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn other_programs_are_left_alone() {
    let output = under_library("bash", true);
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
