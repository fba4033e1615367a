//! A host tool under the preload library, answered by a simulator of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The directory with this profile's libraries and programs.
fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned()
}

fn library() -> PathBuf {
    built().join("deps/libsevsim.so")
}

/// The simulator. It belongs to another package, whose tests build it when the workspace is tested; alone this package's
/// tests build it the first time.
fn sevsim() -> &'static Path {
    static SEVSIM: OnceLock<PathBuf> = OnceLock::new();
    SEVSIM.get_or_init(|| {
        let sevsim = built().join("sevsim");
        if !sevsim.exists() {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--package", "sim", "--bin", "sevsim"]);
            if built().ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success());
        }
        sevsim
    })
}

/// A simulator that ends with the test.
struct Simulator {
    directory: tempfile::TempDir,
    server: Child,
}

/// A platform's state, made once: its keys take long.
fn made_state() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = tempfile::tempdir().unwrap();
        let init = Command::new(sevsim())
            .arg("init")
            .arg("--state-dir")
            .arg(made.path().join("state"))
            .output()
            .unwrap();
        assert!(init.status.success(), "{init:?}");
        made
    });
    made.path()
}

impl Simulator {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        for file in fs::read_dir(made_state().join("state")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), state.join(file.file_name())).unwrap();
        }
        let mut server = Command::new(sevsim())
            .args(["serve", "--quiet", "--state-dir"])
            .arg(&state)
            .arg("--socket")
            .arg(directory.path().join("socket"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Its first line says that it listens; without one it has ended.
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "{line}");
        Self { directory, server }
    }

    fn run(&self, what: &str) -> Output {
        tool(what).env("SEVSIM_SOCKET", self.directory.path().join("socket")).output().unwrap()
    }

    #[track_caller]
    fn answers(&self, what: &str) -> BTreeMap<String, String> {
        answers(&self.run(what))
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn tool(what: &str) -> Command {
    let mut tool = Command::new(built().join("examples/host_tool"));
    tool.arg(what).env("LD_PRELOAD", library()).env_remove("SEVSIM_NODE").env_remove("SEVSIM_TRACE");
    tool
}

#[track_caller]
fn answers(output: &Output) -> BTreeMap<String, String> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// Whether a real `/dev/sev` or a placeholder on this machine would decide instead of the simulator.
fn machine_has_node() -> bool {
    Path::new("/dev/sev").exists()
}

#[test]
fn cpuid_offers_the_platform_without_a_simulator() {
    let answers = answers(&tool("cpuid").output().unwrap());
    assert_eq!(answers["features"], "0x1a");
    assert_eq!((answers["cbit"].as_str(), answers["reduced"].as_str()), ("47", "1"));
    assert!(answers["highest"].as_str() >= "0x8000001f");
    assert_eq!(answers["vendor_leaf"], "true");
}

#[test]
fn illegal_instructions_of_the_program_s_own_end_it_as_before() {
    let output = tool("illegal").output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGILL));
}

#[test]
fn the_program_s_own_handler_still_handles_them() {
    assert_eq!(tool("illegal-handled").status().unwrap().code(), Some(42));
}

#[test]
fn the_platform_tells_its_status() {
    let answers = Simulator::start().answers("status");
    assert_eq!(answers["status"], "ok");
    assert_eq!(answers["error"], "0");
    assert_eq!(answers["guests"], "0");
    assert_eq!(answers["flags"], "0x100", "self-owned, SEV-ES initialized");
}

#[test]
fn certificates_come_by_the_length_probe() {
    let answers = Simulator::start().answers("certificates");
    let eio = format!("errno {}", libc::EIO);
    assert_eq!((&answers["probe"], answers["probe_error"].as_str()), (&eio, "4"));
    assert_eq!((answers["pdh_length"].as_str(), answers["chain_length"].as_str()), ("2084", "6252"));
    assert_eq!((answers["export"].as_str(), answers["export_error"].as_str()), ("ok", "0"));
    assert_eq!((answers["pdh_usage"].as_str(), answers["pek_usage"].as_str()), ("0x1003", "0x1002"));
    assert_eq!((&answers["id"], answers["id_length"].as_str()), (&eio, "64"));
}

#[test]
fn bad_requests_fail_as_the_kernel_fails_them() {
    let answers = Simulator::start().answers("errors");
    assert_eq!(answers["unknown"], format!("errno {}", libc::EINVAL));
    assert_eq!(answers["bad_address"], format!("-1 errno {}", libc::EFAULT));
    assert_eq!(answers["read_only_reset"], format!("errno {}", libc::EPERM));
    assert_eq!(answers["read_only_status"], "ok");
    assert_eq!(answers["empty_import"], format!("errno {} 0xffffffff", libc::EINVAL));
    assert_eq!(answers["duplicate"], "ok");
    assert_eq!(answers["closed"], format!("errno {}", libc::EBADF));
}

#[test]
fn without_a_simulator_the_device_has_no_driver() {
    let directory = tempfile::tempdir().unwrap();
    let output = tool("open").env("SEVSIM_SOCKET", directory.path().join("none")).output().unwrap();
    assert_eq!(answers(&output)["open"], format!("errno {}", libc::ENODEV));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no simulated secure processor"));
}

#[test]
fn a_missing_node_is_a_missing_device_when_one_is_required() {
    if machine_has_node() {
        return;
    }
    let output = tool("open").env("SEVSIM_NODE", "required").output().unwrap();
    assert_eq!(answers(&output)["open"], format!("errno {}", libc::ENOENT));
}

#[test]
fn a_simulator_that_ends_is_an_error_and_not_a_crash() {
    let mut simulator = Simulator::start();
    simulator.server.kill().unwrap();
    simulator.server.wait().unwrap();
    assert_eq!(simulator.answers("open")["open"], format!("errno {}", libc::ENODEV));
}

#[test]
fn the_installed_qemu_has_its_cpuid_instructions_answered() {
    let mut qemu = Command::new("qemu-system-x86_64");
    let output =
        qemu.arg("--version").env("LD_PRELOAD", library()).env("SEVSIM_TRACE", "1").output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("CPUID instructions of the program are answered"), "{said}");
}

#[test]
fn programs_that_ask_for_nothing_run_as_before() {
    let output = Command::new("bash").arg("--version").env("LD_PRELOAD", library()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}
