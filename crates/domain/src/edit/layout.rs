//! Where a new element goes and how far it is indented, judged by what stands around it.

use super::{Edit, NewElement};
use crate::document::{Document, Element};
use crate::span::Span;

/// A document's habits.
pub(super) struct Layout<'d> {
    text: &'d str,
    line_end: &'static str,
    /// One step of indentation.
    unit: &'d str,
}

impl<'d> Layout<'d> {
    pub(super) fn of(document: &'d Document) -> Self {
        let text = document.text();
        let line_end = match text.find('\n') {
            Some(at) if text.get(..at).is_some_and(|line| line.ends_with('\r')) => "\r\n",
            _ => "\n",
        };
        let root = indent(text, document.root().span().start).unwrap_or_default();
        let unit = document
            .root()
            .children()
            .find_map(|child| indent(text, child.span().start)?.strip_prefix(root))
            .filter(|unit| !unit.is_empty())
            .unwrap_or("  ");
        Self { text, line_end, unit }
    }

    pub(super) fn append(&self, parent: Element<'d>, new: &NewElement) -> Edit {
        let start = parent.span().start;
        let Some(end_tag) = parent.end_tag_span() else {
            return open(parent, &self.fill(indent(self.text, start), new));
        };
        let content = parent.content_span();
        if content.is_empty() {
            return Edit::insert(content.start, self.fill(indent(self.text, start), new));
        }
        let Some(own) = indent(self.text, end_tag.start) else {
            // `<a><b/></a>` or `<a>text</a>`: the end tag has no line of its own, so neither gets the child.
            return Edit::insert(end_tag.start, new.render("", self.unit, None));
        };
        let sibling = parent.children().last().and_then(|last| indent(self.text, last.span().start));
        let indent = sibling.map_or_else(|| format!("{own}{}", self.unit), str::to_owned);
        let at = before_line_end(self.text, end_tag.start - own.len());
        Edit::insert(at, self.line(&indent, new))
    }

    pub(super) fn before(&self, sibling: Element<'d>, new: &NewElement) -> Edit {
        let at = sibling.span().start;
        match indent(self.text, at) {
            Some(own) => {
                let rendered = new.render(own, self.unit, Some(self.line_end));
                Edit::insert(at, format!("{rendered}{}{own}", self.line_end))
            }
            None => Edit::insert(at, new.render("", self.unit, None)),
        }
    }

    pub(super) fn after(&self, sibling: Element<'d>, new: &NewElement) -> Edit {
        let end = sibling.span().end;
        match (indent(self.text, sibling.span().start), rest_of_line(self.text, end)) {
            (Some(own), Some(at)) => Edit::insert(at, self.line(own, new)),
            _ => Edit::insert(end, new.render("", self.unit, None)),
        }
    }

    /// The content of an element that was empty: on lines of its own if the element is.
    fn fill(&self, own: Option<&str>, new: &NewElement) -> String {
        match own {
            Some(own) => {
                let indent = format!("{own}{}", self.unit);
                format!("{}{}{own}", self.line(&indent, new), self.line_end)
            }
            None => new.render("", self.unit, None),
        }
    }

    /// A line end and the element, indented.
    fn line(&self, indent: &str, new: &NewElement) -> String {
        let rendered = new.render(indent, self.unit, Some(self.line_end));
        format!("{}{indent}{rendered}", self.line_end)
    }
}

/// Turns `<name/>` into `<name>content</name>`.
pub(super) fn open(element: Element<'_>, content: &str) -> Edit {
    let tag = element.start_tag_span();
    let end = element.attributes().last().map_or_else(|| element.name_span().end, |last| last.span().end);
    Edit::replace(Span::new(end, tag.end), format!(">{content}</{}>", element.name()))
}

/// The element's span, widened to whole lines where nothing else stands on them.
pub(super) fn own_lines(element: Element<'_>) -> Span {
    let text = element.document().text();
    let Span { start, end } = element.span();
    let blank = |span: Span| span.of(text).bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    let line_end = text.get(end..).and_then(|rest| rest.find('\n')).map(|offset| end + offset);
    match (indent(text, start), line_end) {
        (Some(own), Some(line_end)) if blank(Span::new(end, line_end)) => {
            Span::new(start - own.len(), line_end + 1)
        }
        _ => element.span(),
    }
}

/// The white space from the start of the line to `at`; None if anything else stands there.
fn indent(text: &str, at: usize) -> Option<&str> {
    let before = text.get(..at).unwrap_or_default();
    let before = before.strip_prefix('\u{feff}').unwrap_or(before);
    let line = before.get(before.rfind('\n').map_or(0, |at| at + 1)..).unwrap_or_default();
    line.bytes().all(|byte| matches!(byte, b' ' | b'\t')).then_some(line)
}

/// The place before the line end that precedes `line_start`.
fn before_line_end(text: &str, line_start: usize) -> usize {
    let before = text.get(..line_start).unwrap_or_default();
    let before = before.strip_suffix('\n').unwrap_or(before);
    before.strip_suffix('\r').unwrap_or(before).len()
}

/// The end of the line that `at` is in, if nothing but white space and whole comments follows on it.
fn rest_of_line(text: &str, at: usize) -> Option<usize> {
    let mut rest = text.get(at..)?;
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.starts_with('\n') || trimmed.starts_with("\r\n") {
            return Some(text.len() - rest.len());
        }
        let comment = trimmed.strip_prefix("<!--")?;
        let end = comment.find("-->")?;
        if comment.get(..end)?.contains('\n') {
            return None;
        }
        rest = comment.get(end + "-->".len()..)?;
    }
}
