//! How findings are shown. The only place that knows the looks; what is shown was decided elsewhere.

pub(crate) mod diff;
pub(crate) mod host;
pub(crate) mod json;
pub(crate) mod sarif;
pub(crate) mod text;

use std::io::{self, Write as _};

use domain::{Document, Position, SyntaxError};
use rules::{Finding, Located};

use crate::input::Input;

/// Prints to standard output, without colours where that is no terminal. A reader who has seen enough and closed the
/// pipe is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// All that was found about one input.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) input: Input,
    /// None where the input is not a document.
    pub(crate) document: Option<Document>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) allowed: Vec<Finding>,
}

impl Judged {
    pub(crate) fn ill_formed(input: Input, error: &SyntaxError) -> Self {
        Self { input, document: None, findings: vec![rules::ill_formed(error)], allowed: Vec::new() }
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
