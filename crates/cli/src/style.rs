//! What all commands share in how they speak: the error chain printed once, colours only on a terminal.

use std::fmt;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use anstream::stream::RawStream;
use anstyle::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Cyan.on_default().bold();

/// How a stream wants its text: in a pipe or a file the same on every day and in every window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) colour: bool,
    /// Columns of the terminal; None where it is none, and nothing is wrapped then.
    pub(crate) width: Option<usize>,
}

impl Look {
    pub(crate) fn of<S: RawStream + IsTerminal + AsFd>(stream: &S) -> Self {
        /// Narrower windows get lines that the terminal wraps.
        const NARROWEST: usize = 40;
        let colour = anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never;
        let columns = if IsTerminal::is_terminal(stream) { tcgetwinsize(stream).ok() } else { None };
        let width = columns.map(|size| usize::from(size.ws_col)).filter(|width| *width >= NARROWEST);
        Self { colour, width }
    }

    /// The text broken into lines at blanks, none wider than what is left beside `indent` columns; as it is where the
    /// stream has no width.
    pub(crate) fn wrap(self, text: &str, indent: usize) -> String {
        /// A column of words narrower than this is harder to read than a long line.
        const READABLE: usize = 24;
        let Some(width) = self.width.and_then(|width| width.checked_sub(indent)).filter(|it| *it >= READABLE)
        else {
            return text.to_owned();
        };
        let mut out = String::with_capacity(text.len() + 8);
        let mut column = 0;
        for word in text.split(' ') {
            let long = word.chars().count();
            if column > 0 && column + 1 + long > width {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += long;
        }
        out
    }
}

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

/// Says that a document found in a directory is none of ours.
pub(crate) fn passed_over(name: &str, root: &str) {
    note(&format_args!("`{name}` is passed over: <{root}> is no domain"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(width: Option<usize>, indent: usize, wrapped: &str) {
        let look = Look { colour: false, width };
        assert_eq!(look.wrap("cbitpos is 47, but this host's C-bit is 51", indent), wrapped);
    }

    #[test]
    fn text_is_broken_at_blanks_where_there_is_a_width() {
        check(None, 0, "cbitpos is 47, but this host's C-bit is 51");
        check(Some(42), 0, "cbitpos is 47, but this host's C-bit is 51");
        check(Some(41), 0, "cbitpos is 47, but this host's C-bit is\n51");
        check(Some(40), 10, "cbitpos is 47, but this host's\nC-bit is 51");
        check(Some(40), 20, "cbitpos is 47, but this host's C-bit is 51");
    }
}
