//! What all commands share in how they speak: the error chain printed once, colours only on a terminal.

use std::fmt;

use anstyle::{AnsiColor, Style};

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Cyan.on_default().bold();

/// An error with all its causes on one line, outermost first.
pub(crate) struct Chain<'e>(pub(crate) &'e anyhow::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, cause) in self.0.chain().enumerate() {
            if depth > 0 {
                f.write_str(": ")?;
            }
            write!(f, "{cause}")?;
        }
        Ok(())
    }
}

/// Prints `error: …` to standard error.
pub(crate) fn complain(what: &dyn fmt::Display) {
    use std::io::Write as _;
    // Nothing is left to be done when even standard error is closed.
    let _ = writeln!(anstream::stderr().lock(), "{ERROR}error:{ERROR:#} {what}");
}

/// Prints `note: …` to standard error.
pub(crate) fn note(what: &dyn fmt::Display) {
    use std::io::Write as _;
    // Nothing is left to be done when even standard error is closed.
    let _ = writeln!(anstream::stderr().lock(), "{NOTE}note:{NOTE:#} {what}");
}

/// A unified diff with what goes in red and what comes in green.
pub(crate) fn diff(plain: &str) -> String {
    let line = |line: &str| {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Style::new().bold(),
            [b'+', ..] => AnsiColor::Green.on_default(),
            [b'-', ..] => AnsiColor::Red.on_default(),
            [b'@', b'@', ..] => AnsiColor::Cyan.on_default(),
            _ => Style::new(),
        };
        format!("{style}{line}{style:#}\n")
    };
    plain.split_terminator('\n').map(line).collect()
}
