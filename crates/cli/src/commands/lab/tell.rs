//! What `sevirt lab run` tells beside what `sevirt run` tells inside: lines for people, or JSON objects for programs.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::time::Duration;

use ::lab::image::Report;
use ::lab::listen::{Ending, Event};
use ::lab::resolve::Substitution;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::progress::{Progress, Style};
use crate::style;

/// No object that `sevirt run` writes is longer; whatever is, is passed on in pieces.
const LINE_LIMIT: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people, on standard error; standard output is the guest's
    Text,
    /// One JSON object a line on standard output
    Json,
}

pub(super) struct Teller {
    format: Format,
    progress: Progress,
    /// What `sevirt run` has written of a line, so that no object of ours lands in the middle of one of its own.
    line: RefCell<Vec<u8>>,
}

impl Teller {
    pub(super) fn new(format: Format) -> Self {
        let style = if format == Format::Text { Style::Lines } else { Style::Spinner };
        Self { format, progress: Progress::new(style), line: RefCell::default() }
    }

    pub(super) fn substitution(&self, substitution: &Substitution) {
        let Substitution { what, wanted, used, by } = substitution;
        match self.format {
            Format::Text => {
                self.note(&format!("{what} `{wanted}` is not here; `{used}` takes its place ({by})"));
            }
            Format::Json => write_json(
                &json!({ "event": "substitution", "what": what, "wanted": wanted, "used": used, "by": by }),
            ),
        }
    }

    pub(super) fn note(&self, message: &str) {
        match self.format {
            Format::Text => self.progress.suspend(|| style::note(&message)),
            Format::Json => write_json(&json!({ "event": "note", "message": message })),
        }
    }

    /// What the guest has written to its disk.
    pub(super) fn report(&self, report: &Report) {
        self.progress.hide();
        match self.format {
            Format::Text => {
                let verdict = if report.is_sev_active() { "SEV is active" } else { "SEV is not active" };
                self.note(&format!("the guest's own report, from its disk: {verdict}"));
                let _ = write_out(report.text.as_bytes());
            }
            Format::Json => write_json(&json!({
                "event": "report", "sev_active": report.is_sev_active(), "text": report.text,
            })),
        }
    }

    /// Passes on what comes from the machine.
    pub(super) fn event(&self, event: &Event<'_>) -> io::Result<()> {
        match (event, self.format) {
            (Event::Stage { name, took }, Format::Text) => self.progress.stage(name, *took),
            (Event::Stage { name, took }, Format::Json) => {
                write_json(&json!({ "event": "lab-stage", "stage": name, "took_ms": milliseconds(*took) }));
            }
            (Event::Stdout(bytes) | Event::Console(bytes), Format::Text) => {
                self.progress.hide();
                write_out(bytes)?;
            }
            (Event::Stderr(bytes), _) => {
                self.progress.hide();
                io::stderr().write_all(bytes)?;
            }
            (Event::Stdout(bytes), Format::Json) => {
                self.progress.hide();
                write_out(&self.whole_lines(bytes))?;
            }
            (Event::Console(bytes), Format::Json) => {
                write_json(&json!({ "event": "console-output", "text": String::from_utf8_lossy(bytes) }));
            }
        }
        Ok(())
    }

    fn whole_lines(&self, bytes: &[u8]) -> Vec<u8> {
        let mut line = self.line.borrow_mut();
        line.extend_from_slice(bytes);
        let whole = match line.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if line.len() > LINE_LIMIT => line.len(),
            None => 0,
        };
        line.drain(..whole).collect()
    }

    /// The machine is gone; `None` if nobody knows how the job ended.
    pub(super) fn ended(&self, ending: Option<&Ending>, took: Duration) {
        self.progress.hide();
        // An object that the end has cut off is not kept back.
        let _ = write_out(&self.line.take());
        match (self.format, ending) {
            (Format::Text, Some(Ending::TimedOut)) => {
                style::complain(&format_args!("the time was up after {:.1} s", took.as_secs_f64()));
            }
            (Format::Text, _) => self.note(&format!("the lab ran for {:.1} s", took.as_secs_f64())),
            (Format::Json, ending) => {
                let exit = ending.map(super::exit_number);
                write_json(&json!({ "event": "lab-ended", "exit": exit, "took_ms": milliseconds(took) }));
            }
        }
    }
}

/// When standard output is closed there is nobody to tell; passing on the job's own output ends the run.
fn write_json(value: &Value) {
    let _ = write_out(format!("{value}\n").as_bytes());
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
