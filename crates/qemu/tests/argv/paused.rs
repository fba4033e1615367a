//! A QEMU of this machine, started paused from a plan, with its monitor.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Write as _},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use qemu::plan::Plan;
use serde_json::{Value, json};

/// No answer of QEMU's takes longer, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(300);

/// A QEMU that answers; it ends however the test ends.
pub(crate) struct Paused {
    child: Child,
    monitor: UnixStream,
    lines: Lines<BufReader<UnixStream>>,
    errors: PathBuf,
}

impl Drop for Paused {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Paused {
    /// Starts QEMU with its monitor on a socket that it inherits as its standard input. `wrapper` is what runs it, such
    /// as a shell that first enters a control group.
    pub(crate) fn start(plan: &Plan, directory: &Path, wrapper: &[&str]) -> Result<Self, String> {
        let path = directory.join("qmp.sock");
        // One of an earlier start.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let errors = directory.join("stderr");
        let words: Vec<_> = wrapper.iter().map(Into::into).chain(plan.argv()).collect();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(plan.environment().iter().map(|(name, value)| (name, value)))
            .stdin(OwnedFd::from(listener))
            .stdout(Stdio::null())
            .stderr(fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", words[0].display()));
        let monitor = UnixStream::connect(&path).unwrap();
        monitor.set_read_timeout(Some(DEADLINE)).unwrap();
        let lines = BufReader::new(monitor.try_clone().unwrap()).lines();
        let mut paused = Self { child, monitor, lines, errors };
        paused.next()?;
        paused.ask("qmp_capabilities", &json!({}))?;
        match paused.ask("query-status", &json!({}))?["status"].as_str() {
            Some("prelaunch") => Ok(paused),
            status => Err(paused.with_words(&format!("is {status:?}"))),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command and gives its answer.
    pub(crate) fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value, String> {
        let line = json!({ "execute": command, "arguments": arguments });
        self.monitor
            .write_all(format!("{line}\n").as_bytes())
            .map_err(|e| self.with_words(&e.to_string()))?;
        let answer = self.next()?;
        answer.get("return").cloned().ok_or_else(|| answer.to_string())
    }

    /// Ends it, which must go well.
    pub(crate) fn quit(mut self) -> Result<(), String> {
        self.ask("quit", &json!({}))?;
        let status = self.child.wait().unwrap();
        if status.success() { Ok(()) } else { Err(self.with_words(&format!("ended with {status}"))) }
    }

    fn next(&mut self) -> Result<Value, String> {
        loop {
            let line = match self.lines.next() {
                Some(Ok(line)) => line,
                Some(Err(error)) => return Err(self.with_words(&format!("does not answer ({error})"))),
                None => return Err(self.with_words("does not answer")),
            };
            let message: Value = serde_json::from_str(&line).unwrap();
            if message.get("event").is_none() {
                return Ok(message);
            }
        }
    }

    fn with_words(&self, what: &str) -> String {
        format!("{what}: {}", fs::read_to_string(&self.errors).unwrap_or_default())
    }
}
