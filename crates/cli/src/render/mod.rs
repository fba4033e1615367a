//! How findings are shown. The only place that knows the looks; what is shown was decided elsewhere.

pub(crate) mod diff;
pub(crate) mod host;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod sarif;
pub(crate) mod text;

use std::io::{self, BufWriter, Write};

use domain::{Document, Position, SyntaxError};
use rules::{Finding, Located};

use crate::input::Input;
use crate::style::Look;

/// Prints to standard output, without colours where that is no terminal. A reader who has seen enough and closed the
/// pipe is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Standard output for what is printed piece by piece. Once the reader has closed the pipe it swallows the rest.
pub(crate) struct Printer {
    out: BufWriter<io::StdoutLock<'static>>,
    pub(crate) look: Look,
    pub(crate) closed: bool,
}

impl Printer {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let look = Look::of(&stdout);
        Self { out: BufWriter::with_capacity(1 << 16, stdout.lock()), look, closed: false }
    }

    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        let result = if self.closed { Ok(()) } else { self.out.write_all(text.as_bytes()) };
        self.note_closing(result)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let result = if self.closed { Ok(()) } else { self.out.flush() };
        self.note_closing(result)
    }

    fn note_closing(&mut self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other,
        }
    }
}

/// All that was found about one input.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) input: Input,
    /// None where the input is not a document.
    pub(crate) document: Option<Document>,
    /// The worst first; those of one severity in the order of the document.
    pub(crate) findings: Vec<Finding>,
    pub(crate) allowed: Vec<Finding>,
}

impl Judged {
    pub(crate) fn ill_formed(input: Input, error: &SyntaxError) -> Self {
        Self { input, document: None, findings: vec![rules::ill_formed(error)], allowed: Vec::new() }
    }

    pub(crate) fn new(
        input: Input,
        document: Document,
        mut findings: Vec<Finding>,
        allowed: Vec<Finding>,
    ) -> Self {
        findings.sort_by_key(|finding| (finding.severity, finding.span.start, finding.code));
        Self { input, document: Some(document), findings, allowed }
    }

    pub(crate) fn position(&self, offset: usize) -> Position {
        match &self.document {
            Some(document) => document.position(offset),
            None => domain::position(&self.input.text, offset),
        }
    }

    pub(crate) fn located(&self, finding: &Finding) -> Located {
        let (start, end) = (self.position(finding.span.start), self.position(finding.span.end));
        Located::between(finding, &self.input.name, start, end)
    }

    pub(crate) fn count(&self, severity: rules::Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}
