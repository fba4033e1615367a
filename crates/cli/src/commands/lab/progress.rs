//! How a start is shown: a spinner on a terminal, a line a stage elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A line a stage.
    Lines,
    /// A spinner while the machine starts, if standard error is a terminal.
    Spinner,
}

/// Progress on standard error.
pub(super) struct Progress {
    lines: bool,
    spinner: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(style: Style) -> Self {
        let spinner = io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                spinner.set_style(style);
            }
            spinner.set_message("starting the lab's machine");
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        Self { lines: style == Style::Lines, spinner }
    }

    /// A stage has ended.
    pub(super) fn stage(&self, name: &str, took: Duration) {
        if self.lines {
            self.line(&format_args!("lab: {name:<16} {:>9.1} ms", took.as_secs_f64() * 1000.0));
        } else if let Some(spinner) = &self.spinner {
            spinner.set_message(format!("lab: {name}"));
        }
    }

    /// Prints a line beside the spinner.
    fn line(&self, text: &dyn std::fmt::Display) {
        self.suspend(|| {
            // Nothing is left to be done when even standard error is closed.
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    /// Prints something while the spinner is out of the way.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(print),
            None => print(),
        }
    }

    /// Takes the spinner away, for good.
    pub(super) fn hide(&self) {
        if let Some(spinner) = &self.spinner
            && !spinner.is_finished()
        {
            spinner.finish_and_clear();
        }
    }
}
