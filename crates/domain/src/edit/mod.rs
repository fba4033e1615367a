//! Edits: what a fix or an API call changes in a document, as byte splices.
//!
//! An edit is data and names its own bytes, so everything else stays: comments, order, indentation, line
//! ends, unknown elements. New elements take the indentation of their siblings and a line of their own
//! wherever their siblings have one; tools that read a domain line by line (the cluster agent looks for
//! `<name>` this way) keep working.

mod layout;
mod new_element;

pub use new_element::NewElement;

use crate::document::Element;
use crate::span::Span;
use crate::syntax::{SyntaxError, decode};
use layout::Layout;

/// Replaces the bytes of `span` by `replacement`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    pub span: Span,
    pub replacement: String,
}

/// Why edits could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("an edit reaches outside the document or splits a character (bytes {} to {})", .0.start, .0.end)]
    OutOfBounds(Span),
    #[error("two edits overlap (bytes {} to {} and {} to {})", .0.start, .0.end, .1.start, .1.end)]
    Overlap(Span, Span),
    #[error("the edited text is not a document any more")]
    IllFormed(#[source] SyntaxError),
}

impl Edit {
    pub fn replace(span: Span, replacement: impl Into<String>) -> Self {
        Self { span, replacement: replacement.into() }
    }

    pub fn insert(at: usize, text: impl Into<String>) -> Self {
        Self::replace(Span::new(at, at), text)
    }

    /// Gives the element's attribute that value, adding the attribute after the others where it is missing.
    pub fn set_attribute(element: Element<'_>, name: &str, value: &str) -> Self {
        if let Some(attribute) = element.attribute(name) {
            let value = decode::escape_attribute(value, attribute.quote());
            return Self::replace(attribute.value_span(), value);
        }
        let value = decode::escape_attribute(value, '\'');
        let at = element.attributes().last().map_or_else(|| element.name_span().end, |last| last.span().end);
        Self::insert(at, format!(" {name}='{value}'"))
    }

    /// Takes the attribute away, with the white space before it; None where there is no such attribute.
    pub fn remove_attribute(element: Element<'_>, name: &str) -> Option<Self> {
        let mut before = element.name_span().end;
        for attribute in element.attributes() {
            let span = attribute.span();
            if attribute.name() == name {
                return Some(Self::replace(Span::new(before, span.end), ""));
            }
            before = span.end;
        }
        None
    }

    /// Replaces all that the element contains by `text`.
    pub fn set_text(element: Element<'_>, text: &str) -> Self {
        let text = decode::escape_text(text);
        match element.end_tag_span() {
            Some(_) => Self::replace(element.content_span(), text),
            None => layout::open(element, &text),
        }
    }

    /// Adds an element after the last child of `parent`.
    pub fn insert_child(parent: Element<'_>, new: &NewElement) -> Self {
        Layout::of(parent.document()).append(parent, new)
    }

    /// Adds an element right before `sibling`; before the root there is no place, so the root gets a child.
    pub fn insert_before(sibling: Element<'_>, new: &NewElement) -> Self {
        match sibling.parent() {
            Some(_) => Layout::of(sibling.document()).before(sibling, new),
            None => Self::insert_child(sibling, new),
        }
    }

    /// Adds an element right after `sibling`; after the root there is no place, so the root gets a child.
    pub fn insert_after(sibling: Element<'_>, new: &NewElement) -> Self {
        match sibling.parent() {
            Some(_) => Layout::of(sibling.document()).after(sibling, new),
            None => Self::insert_child(sibling, new),
        }
    }

    /// Takes the element away; with its whole line or lines where nothing else stands on them.
    pub fn remove_element(element: Element<'_>) -> Self {
        Self::replace(layout::own_lines(element), "")
    }
}

/// The text with all edits made.
pub(crate) fn splice(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut out = String::with_capacity(text.len());
    let mut done = Span::default();
    for edit in sorted {
        let Span { start, end } = edit.span;
        if start > end || text.get(start..end).is_none() {
            return Err(EditError::OutOfBounds(edit.span));
        }
        if start < done.end {
            return Err(EditError::Overlap(done, edit.span));
        }
        out.push_str(text.get(done.end..start).unwrap_or_default());
        out.push_str(&edit.replacement);
        done = edit.span;
    }
    out.push_str(text.get(done.end..).unwrap_or_default());
    Ok(out)
}

#[cfg(test)]
mod tests;
