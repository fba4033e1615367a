//! The lossless document: a text, and an arena of what is in it.
//!
//! Invariants:
//! - `text()` is what was parsed, byte for byte, byte order mark and line ends included;
//! - every span lies on character boundaries of `text()`;
//! - nodes stand in document order, the root first, so a subtree is one stretch of the arena.

mod build;
mod element;
mod namespaces;

use std::sync::OnceLock;

pub use element::{Attribute, Element};

use crate::edit::{self, Edit, EditError};
use crate::span::{Lines, Position, Span};
use crate::syntax::{self, SyntaxError, tag::AttributeSpans};

/// A well-formed XML document without a document type declaration.
#[derive(Clone)]
pub struct Document {
    text: String,
    /// Made when the first place is asked for.
    lines: OnceLock<Lines>,
    nodes: Vec<Node>,
    attributes: Vec<AttributeSpans>,
}

/// An index into the arena.
type NodeId = usize;

#[derive(Debug, Clone)]
struct Node {
    parent: Option<NodeId>,
    next: Option<NodeId>,
    span: Span,
    kind: NodeKind,
}

#[derive(Debug, Clone)]
enum NodeKind {
    Element(ElementNode),
    Text,
    CData { content: Span },
}

#[derive(Debug, Clone)]
struct ElementNode {
    name: Span,
    start_tag_end: usize,
    /// Equals `start_tag_end` for `<name/>`.
    end_tag_start: usize,
    /// A stretch of the document's attributes.
    attributes: std::ops::Range<usize>,
    first_child: Option<NodeId>,
}

impl Document {
    /// Reads a text. Only ill-formed XML fails, a document type declaration, and a document beyond the limits
    /// [`MAX_SIZE`](crate::MAX_SIZE), [`MAX_DEPTH`](crate::MAX_DEPTH), [`MAX_ATTRIBUTES`](crate::MAX_ATTRIBUTES)
    /// and [`MAX_NODES`](crate::MAX_NODES).
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        syntax::check_text(text)
            .and_then(|()| build::build(text))
            .map(|(nodes, attributes)| Self {
                lines: OnceLock::new(),
                text: text.to_owned(),
                nodes,
                attributes,
            })
            .map_err(|fault| fault.locate(text))
    }

    /// The whole text, as it was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The root element.
    #[expect(clippy::expect_used, reason = "the builder refuses a text without a root element")]
    pub fn root(&self) -> Element<'_> {
        Element::of(self, 0).expect("the first node is the root element")
    }

    /// The line and column of a byte offset.
    pub fn position(&self, offset: usize) -> Position {
        self.lines.get_or_init(|| Lines::new(&self.text)).position(&self.text, offset)
    }

    /// The innermost element whose span encloses `span`.
    pub fn element_at(&self, span: Span) -> Option<Element<'_>> {
        let mut found = None;
        let mut next = Some(self.root());
        while let Some(element) = next.filter(|element| element.span().encloses(span)) {
            found = Some(element);
            next = element.children().find(|child| child.span().encloses(span));
        }
        found
    }

    /// The document with `edits` made. Edits may come in any order but must not overlap; those that insert at
    /// the same place keep their order.
    pub fn apply(&self, edits: &[Edit]) -> Result<Self, EditError> {
        Self::parse(&edit::splice(&self.text, edits)?).map_err(EditError::IllFormed)
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("text", &self.text).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
