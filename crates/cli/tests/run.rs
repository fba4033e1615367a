//! `sevirt run` as a whole process, with real QEMU and with programs that misbehave in its place. Every test ends by
//! looking for what may have been left behind: processes, run directories.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

struct Place {
    directory: tempfile::TempDir,
    /// Of the guest; no other test's.
    name: String,
}

impl Place {
    fn new(test: &str) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), name: format!("{test}-{}", std::process::id()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A guest under TCG without a disk: its BIOS finds nothing to boot and waits.
    fn domain(&self, emulator: &Path, os: &str, more: &str) -> PathBuf {
        let path = self.path("guest.xml");
        let text = format!(
            "<domain type='qemu'>\n  <name>{}</name>\n  <memory unit='MiB'>64</memory>\n  <vcpu>1</vcpu>\n  \
             <os><type arch='x86_64' machine='q35'>hvm</type>{os}</os>\n  <devices>\n    \
             <emulator>{}</emulator>\n    <serial type='pty'/>\n    <memballoon model='none'/>\n  </devices>\n{more}</domain>\n",
            self.name,
            emulator.display()
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// A program that answers sevirt's questions as QEMU, and does something else when a guest is started.
    fn pretender(&self, instead: &str) -> PathBuf {
        let path = self.path("qemu-system-x86_64");
        let text =
            format!("#!/bin/sh\ncase \"$*\" in *'none,accel='*) exec {QEMU} \"$@\";; esac\n{instead}\n");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn command(&self, domain: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sevirt"));
        command
            .arg("run")
            .arg(domain)
            .args(options)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn json(&self, domain: &Path, options: &[&str], exit: i32) -> Vec<Value> {
        // A guest that ends in no other way must not outlive its test.
        let limit = if options.contains(&"--timeout") { &[][..] } else { &["--timeout", "60"] };
        let options: Vec<&str> = options.iter().chain(limit).chain(&["--format", "json"]).copied().collect();
        let output = self.command(domain, &options).output().unwrap();
        let events = events(&output);
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{events:#?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let last = events.last().unwrap();
        assert_eq!((&last["event"], &last["exit"]), (&"outcome".into(), &exit.into()));
        self.nothing_is_left();
        events
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(processes_with(&self.name), Vec::<String>::new(), "processes stay behind");
        for base in run_bases() {
            let Ok(entries) = fs::read_dir(base) else { continue };
            for entry in entries.flatten() {
                let left = entry.file_name().to_string_lossy().into_owned();
                assert!(!left.starts_with(&short(&self.name)), "{left} stays behind");
            }
        }
    }
}

#[test]
fn a_report_that_nobody_takes_does_not_change_the_exit_code() {
    let place = Place::new("unread");
    let emulator = place.pretender("exit 1");
    let domain = place.domain(&emulator, "", "");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = place.command(&domain, &["--format", "json", "--timeout", "60"]);
    let output = command.stdout(full).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{complaint}");
    assert!(complaint.contains("write the report"), "{complaint}");
    place.nothing_is_left();
}

/// What sevirt makes of a guest's name for its run directory.
fn short(name: &str) -> String {
    name.chars().take(24).collect()
}

fn run_bases() -> Vec<PathBuf> {
    let mut bases = vec![PathBuf::from("/run/sevirt/guests")];
    bases.extend(std::env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("sevirt/guests")));
    bases
}

/// Command lines of processes that belong to the guest, but for those of this test's own commands.
fn processes_with(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("guest={name},")) {
            found.push(line);
        }
    }
    found
}

#[track_caller]
fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn outcome(events: &[Value]) -> (&str, String) {
    let last = events.last().unwrap();
    (last["reason"].as_str().unwrap(), last["last_words"].to_string())
}

fn stages(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter(|event| event["event"] == "stage")
        .map(|event| event["stage"].as_str().unwrap())
        .collect()
}

#[test]
fn a_plain_guest_is_set_up_and_said_not_to_be_confidential() {
    let place = Place::new("plain");
    let domain = place.domain(Path::new(QEMU), "", "");
    let events = place.json(&domain, &["--paused-only"], 0);
    assert_eq!(stages(&events), ["read", "lint", "probe", "prepare", "spawn", "qmp", "launch", "end"]);
    let notes: Vec<&Value> = events.iter().filter(|event| event["event"] == "note").collect();
    assert!(notes.iter().any(|note| note["message"].as_str().unwrap().contains("not confidential")));
}

#[test]
fn a_plain_guest_runs_and_is_ended_by_its_time() {
    let place = Place::new("runs");
    let domain = place.domain(Path::new(QEMU), "", "");
    let console = place.path("console.log");
    let events = place.json(&domain, &["--timeout", "2", "--console", console.to_str().unwrap()], 6);
    assert_eq!(outcome(&events).0, "timed out: the guest did not end in time");
    assert!(stages(&events).contains(&"resume"));
    assert!(console.exists());
}

#[test]
fn a_qemu_that_dies_at_once_is_explained() {
    let place = Place::new("dies");
    let emulator = place.pretender("echo 'qemu: out of luck' >&2; exit 1");
    let events = place.json(&place.domain(&emulator, "", ""), &[], 4);
    let (reason, words) = outcome(&events);
    assert_eq!(reason, "QEMU ended before the guest ran (exit status 1)");
    assert_eq!(words, r#"["qemu: out of luck"]"#);
}

#[test]
fn a_qemu_that_crashes_is_told_from_one_that_refuses() {
    let place = Place::new("crashes");
    let emulator = place.pretender("kill -SEGV $$");
    let events = place.json(&place.domain(&emulator, "", ""), &[], 7);
    assert_eq!(outcome(&events).0, "QEMU ended before the guest ran (killed by SIGSEGV)");
}

#[test]
fn a_qemu_that_never_opens_qmp_is_given_up() {
    let place = Place::new("deaf");
    let emulator = place.pretender("exec tail -f /dev/null");
    let events = place.json(&place.domain(&emulator, "", ""), &["--timeout", "1"], 6);
    assert_eq!(outcome(&events).0, "timed out: the guest did not end in time");
}

#[test]
fn qemus_own_refusal_is_passed_on() {
    let place = Place::new("refuses");
    let emulator = place.pretender(&format!("exec {QEMU} \"$@\" -device warp-drive"));
    let events = place.json(&place.domain(&emulator, "", ""), &[], 4);
    assert!(outcome(&events).1.contains("warp-drive"), "{events:#?}");
}

#[test]
fn an_emulator_that_is_not_there_is_named_with_its_line() {
    let place = Place::new("missing");
    let domain = place.domain(Path::new("/nonexistent/qemu-system-x86_64"), "", "");
    let events = place.json(&domain, &[], 4);
    let expected = format!(
        "{}:7:5: look at the emulator `/nonexistent/qemu-system-x86_64`: No such file or directory (os error 2)",
        domain.display()
    );
    assert_eq!(outcome(&events).0, expected);
}

#[test]
fn missing_firmware_is_named_with_its_line() {
    let place = Place::new("firmware");
    let os = "\n    <loader readonly='yes' type='pflash'>/nonexistent/OVMF.fd</loader>\n  ";
    let events = place.json(&place.domain(Path::new(QEMU), os, ""), &[], 3);
    let finding =
        events.iter().find(|event| event["event"] == "finding" && event["severity"] == "error").unwrap();
    assert_eq!((&finding["line"], &finding["code"]), (&6.into(), &"FW003".into()));
}

#[test]
fn truncated_firmware_is_named_with_its_line() {
    let place = Place::new("truncated");
    let firmware = place.path("OVMF.fd");
    let whole = fs::read("/usr/share/OVMF/OVMF_CODE_4M.fd").unwrap();
    fs::write(&firmware, &whole[..whole.len() - 1000]).unwrap();
    let os = format!(
        "\n    <loader readonly='yes' type='pflash' stateless='yes'>{}</loader>\n  ",
        firmware.display()
    );
    let domain = place.domain(Path::new(QEMU), &os, "");
    let output = place.command(&domain, &["--format", "json"]).output().unwrap();
    let events = events(&output);
    let text = format!("{events:?}");
    assert!(matches!(output.status.code(), Some(3 | 4)), "{text}");
    assert!(text.contains("OVMF.fd") && text.contains("cut off"), "{text}");
    place.nothing_is_left();
}

#[test]
fn a_domain_without_launch_security_cannot_be_attested() {
    let place = Place::new("attest");
    let domain = place.domain(Path::new(QEMU), "", "");
    let events = place.json(&domain, &["--attest", "--trust-root", "milan"], 4);
    assert_eq!(outcome(&events).0, "the domain asks for no launch security, so there is nothing to attest");
}

#[test]
fn a_confidential_guest_is_refused_where_there_is_no_sev() {
    if Path::new("/dev/sev").exists() {
        return;
    }
    let place = Place::new("sev");
    let security =
        "  <launchSecurity type='sev'><cbitpos>51</cbitpos><policy>0x3</policy></launchSecurity>\n";
    let domain = place.domain(Path::new(QEMU), "", security);
    let events = place.json(&domain, &[], 3);
    let offer = format!("this host has no SEV; `sevirt lab run {}` runs it", domain.display());
    assert!(
        events.iter().any(|event| event["message"].as_str().is_some_and(|text| text.starts_with(&offer)))
    );
}

#[test]
fn what_is_no_domain_is_refused() {
    let place = Place::new("bad");
    let check = |text: &str, exit| {
        let path = place.path("bad.xml");
        fs::write(&path, text).unwrap();
        place.json(&path, &[], exit)
    };
    let events = check("<domain>\n  <name>x</nam>\n</domain>", 3);
    let finding = events.iter().find(|event| event["event"] == "finding").unwrap();
    assert_eq!(finding["line"], 2, "{finding}");
    let bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><domain>&b;</domain>";
    check(bomb, 3);

    let huge = place.path("huge.xml");
    fs::File::create(&huge).unwrap().set_len(100 << 20).unwrap();
    let events = place.json(&huge, &[], 2);
    assert!(outcome(&events).0.contains("is larger than the limit"), "{events:?}");
    place.json(&place.path("none.xml"), &[], 2);
}

/// Starts a guest, waits until it runs, and gives its supervisor a signal.
#[track_caller]
fn interrupted(place: &Place, signal: rustix::process::Signal) -> Option<i32> {
    let domain = place.domain(Path::new(QEMU), "", "");
    let mut child: Child = place
        .command(&domain, &["--format", "json", "--timeout", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pid = rustix::process::Pid::from_child(&child);
    for line in lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["stage"] == "resume" {
            rustix::process::kill_process(pid, signal).unwrap();
        }
    }
    child.wait().unwrap().code()
}

#[test]
fn a_signal_stops_the_guest_and_leaves_nothing() {
    let place = Place::new("signals");
    assert_eq!(interrupted(&place, rustix::process::Signal::TERM), Some(128 + 15));
    place.nothing_is_left();
    assert_eq!(interrupted(&place, rustix::process::Signal::INT), Some(128 + 2));
    place.nothing_is_left();
}

#[test]
fn a_killed_supervisor_takes_its_guest_along_and_the_next_one_tidies() {
    let place = Place::new("killed");
    assert_eq!(interrupted(&place, rustix::process::Signal::KILL), None);
    // The kernel kills QEMU with its supervisor; a guest of the same name starts, and removes the abandoned directory.
    let domain = place.domain(Path::new(QEMU), "", "");
    place.json(&domain, &["--paused-only"], 0);
}

#[test]
fn people_read_lines_and_the_guest_has_standard_output() {
    let place = Place::new("text");
    let domain = place.domain(Path::new(QEMU), "", "");
    let output = place.command(&domain, &["--paused-only"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("sevirt: the guest was set up and not run, as asked"), "{text}");
    place.nothing_is_left();
}

#[test]
fn standard_output_is_not_given_to_two() {
    let place = Place::new("usage");
    let domain = place.domain(Path::new(QEMU), "", "");
    let events = place.json(&domain, &["--console", "stdio"], 2);
    assert!(outcome(&events).0.contains("both need standard output"));
    for options in [&["--attest"][..], &["--expect-digest", "00"], &["--timeout", "0"], &["--secret", "x"]] {
        let output = place.command(&domain, options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
}
