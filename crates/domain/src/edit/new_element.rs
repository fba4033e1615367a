//! An element to be inserted, as data: nobody but this file writes XML into a document.

use crate::syntax::decode;

/// An element that is not in a document yet. Names are taken as they are; values and text are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewElement {
    name: String,
    attributes: Vec<(String, String)>,
    text: Option<String>,
    children: Vec<Self>,
}

impl NewElement {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), attributes: Vec::new(), text: None, children: Vec::new() }
    }

    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The element's character data; an element has either text or children.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The element's XML. With a line end, each child stands on its own line, one `unit` deeper than `indent`.
    /// The first line is not indented. Depth is the caller's nesting of calls, not input.
    pub(super) fn render(&self, indent: &str, unit: &str, line_end: Option<&str>) -> String {
        let mut out = format!("<{}", self.name);
        for (name, value) in &self.attributes {
            out.push_str(&format!(" {name}='{}'", decode::escape_attribute(value, '\'')));
        }
        if self.text.is_none() && self.children.is_empty() {
            out.push_str("/>");
            return out;
        }
        out.push('>');
        out.push_str(&decode::escape_text(self.text.as_deref().unwrap_or_default()));
        let inner = format!("{indent}{unit}");
        for child in &self.children {
            if let Some(line_end) = line_end {
                out.push_str(line_end);
                out.push_str(&inner);
            }
            out.push_str(&child.render(&inner, unit, line_end));
        }
        if let (Some(line_end), false) = (line_end, self.children.is_empty()) {
            out.push_str(line_end);
            out.push_str(indent);
        }
        out.push_str(&format!("</{}>", self.name));
        out
    }
}
