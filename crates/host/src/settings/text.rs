//! Changing words of a text, each byte of which is written somewhere: edits of the files, never more than the words.

use std::ops::Range;

use qemu::Technology;
use serde::{Deserialize, Serialize};

use crate::boot::command_line::{self, Parameter};
use crate::boot::value::{Origin, Value};

use super::wish::{mended, wishes};

/// Replaces bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edit {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) text: String,
}

/// Something that was written into a file, so that it can be taken out again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Piece {
    /// A word, and the one in whose place it stands.
    Word { before: Option<String>, after: String },
    /// A line of its own.
    Line(String),
}

/// What has to change for the wishes to come true.
#[derive(Debug, Default)]
pub(crate) struct Amendment {
    pub(crate) edits: Vec<Edit>,
    /// Each with the index of the file that it is in.
    pub(crate) pieces: Vec<(usize, Piece)>,
    /// Words that nothing can be changed into: they have to be added.
    pub(crate) missing: Vec<String>,
}

/// What is wrong or missing in a command line.
pub(crate) fn amend(value: &Value, technology: Technology) -> Amendment {
    let parameters = command_line::parameters_of_bytes(&value.bytes);
    let mut amendment = Amendment::default();
    let mut change = |parameter: &Parameter, word: String| match rewrite(value, &parameter.span, &word) {
        Some(edits) => {
            let before = text_of(value, &parameter.span);
            let source = edits.first().map_or(0, |edit| edit.source);
            amendment.pieces.push((source, Piece::Word { before: Some(before), after: word }));
            amendment.edits.extend(edits);
        }
        None => amendment.missing.push(word),
    };
    for wish in wishes(technology) {
        match parameters.iter().rev().find(|parameter| parameter.is(wish.name)) {
            Some(parameter) if wish.is_met(parameter) => {}
            Some(parameter) => change(parameter, format!("{}={}", parameter.name, wish.value)),
            None => change(&Parameter { name: String::new(), value: None, span: 0..0 }, wish.word()),
        }
    }
    for parameter in &parameters {
        if let Some(word) = mended(technology, parameter) {
            change(parameter, word);
        }
    }
    amendment
}

/// Whether nothing is wrong with a command line or missing from it.
pub(crate) fn is_well(text: &str, technology: Technology) -> bool {
    let parameters = command_line::parameters(text);
    let met = wishes(technology).iter().all(|wish| {
        let last = parameters.iter().rev().find(|parameter| parameter.is(wish.name));
        last.is_some_and(|parameter| wish.is_met(parameter))
    });
    met && !parameters.iter().any(|parameter| mended(technology, parameter).is_some())
}

fn text_of(value: &Value, span: &Range<usize>) -> String {
    String::from_utf8_lossy(value.bytes.get(span.clone()).unwrap_or_default()).into_owned()
}

/// The edits that put `word` where the bytes of `span` are written; `None` where not all of them are written anywhere.
pub(crate) fn rewrite(value: &Value, span: &Range<usize>, word: &str) -> Option<Vec<Edit>> {
    let origins: Option<Vec<&Origin>> = value.origins.get(span.clone())?.iter().map(Option::as_ref).collect();
    let mut edits: Vec<Edit> = Vec::new();
    for origin in origins? {
        match edits.last_mut() {
            Some(edit) if edit.source == origin.source && edit.end == origin.span.start => {
                edit.end = origin.span.end;
            }
            _ => edits.push(Edit {
                source: origin.source,
                start: origin.span.start,
                end: origin.span.end,
                text: String::new(),
            }),
        }
    }
    edits.first_mut()?.text = word.to_owned();
    Some(edits)
}

/// A text with edits made; `None` where they do not fit it or one another.
pub(crate) fn splice(text: &[u8], source: usize, edits: &[Edit]) -> Option<Vec<u8>> {
    let mut edits: Vec<&Edit> = edits.iter().filter(|edit| edit.source == source).collect();
    edits.sort();
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for edit in edits {
        out.extend_from_slice(text.get(done..edit.start)?);
        out.extend_from_slice(edit.text.as_bytes());
        done = edit.end.max(edit.start);
    }
    out.extend_from_slice(text.get(done..)?);
    Some(out)
}

/// Takes a word out, or puts back what stood in its place. `None` where the word is not there.
pub(crate) fn take_back(views: &[Value], before: Option<&str>, after: &str) -> Option<Vec<Edit>> {
    for view in views.iter().rev() {
        let words = command_line::words(&view.bytes);
        let Some(span) = words.into_iter().rev().find(|span| text_of(view, span) == after) else { continue };
        if let Some(before) = before {
            return rewrite(view, &span, before);
        }
        let blank = |at: usize| {
            let is_blank = view.bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t'));
            is_blank && view.origins.get(at).is_some_and(Option::is_some)
        };
        let span = match (span.start.checked_sub(1).filter(|at| blank(*at)), blank(span.end)) {
            (Some(start), _) => start..span.end,
            (None, true) => span.start..span.end + 1,
            (None, false) => span,
        };
        return rewrite(view, &span, "");
    }
    None
}

/// A stretch of a file as a value.
pub(crate) fn written(text: &[u8], source: usize, spans: impl IntoIterator<Item = Range<usize>>) -> Value {
    let mut value = Value::default();
    for span in spans {
        if !value.bytes.is_empty() {
            value.bytes.push(b' ');
            value.origins.push(None);
        }
        for at in span {
            value.bytes.extend(text.get(at));
            value.origins.push(Some(Origin { source, span: at..at + 1 }));
        }
    }
    value
}

/// Where words can be put so that the kernel reads them: before a `--`, if there is one.
pub(crate) fn before_init(value: &Value) -> Option<&Origin> {
    let dashes = command_line::words(&value.bytes).into_iter().find(|span| text_of(value, span) == "--")?;
    value.origins.get(dashes.start)?.as_ref()
}
