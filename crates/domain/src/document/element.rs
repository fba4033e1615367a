//! What a document offers to its readers: elements and attributes as small handles into the arena.

use std::borrow::Cow;

use super::{Document, ElementNode, Node, NodeId, NodeKind};
use crate::span::Span;
use crate::syntax::{decode, name, tag::AttributeSpans};

/// An element of a document.
#[derive(Clone, Copy)]
pub struct Element<'d> {
    document: &'d Document,
    id: NodeId,
    node: &'d Node,
    element: &'d ElementNode,
}

/// An attribute of an element.
#[derive(Clone, Copy)]
pub struct Attribute<'d> {
    document: &'d Document,
    spans: AttributeSpans,
}

impl<'d> Element<'d> {
    /// The element `id`; None where that is character data.
    pub(super) fn of(document: &'d Document, id: NodeId) -> Option<Self> {
        let node = document.nodes.get(id)?;
        match &node.kind {
            NodeKind::Element(element) => Some(Self { document, id, node, element }),
            NodeKind::Text | NodeKind::CData { .. } => None,
        }
    }

    pub fn document(&self) -> &'d Document {
        self.document
    }

    /// The qualified name, as written.
    pub fn name(&self) -> &'d str {
        self.element.name.of(&self.document.text)
    }

    /// The name without its prefix.
    pub fn local_name(&self) -> &'d str {
        name::split(self.name()).1
    }

    /// The namespace of the element's name, if it is in one.
    pub fn namespace(&self) -> Option<Cow<'d, str>> {
        let wanted = match name::split(self.name()) {
            (Some("xml"), _) => return Some(Cow::Borrowed("http://www.w3.org/XML/1998/namespace")),
            (Some(prefix), _) => Cow::Owned(format!("xmlns:{prefix}")),
            (None, _) => Cow::Borrowed("xmlns"),
        };
        let declared = self.ancestors().find_map(|element| element.attribute(&wanted))?.value();
        Some(declared).filter(|namespace| !namespace.is_empty())
    }

    /// The name in the start tag.
    pub fn name_span(&self) -> Span {
        self.element.name
    }

    /// The whole element, from `<` to the `>` of its end.
    pub fn span(&self) -> Span {
        self.node.span
    }

    pub fn start_tag_span(&self) -> Span {
        Span::new(self.node.span.start, self.element.start_tag_end)
    }

    /// The end tag; None for `<name/>`.
    pub fn end_tag_span(&self) -> Option<Span> {
        (!self.is_empty_tag()).then(|| Span::new(self.element.end_tag_start, self.node.span.end))
    }

    /// Everything between the start tag and the end tag.
    pub fn content_span(&self) -> Span {
        Span::new(self.element.start_tag_end, self.element.end_tag_start)
    }

    fn is_empty_tag(&self) -> bool {
        self.node.span.end == self.element.start_tag_end
    }

    pub fn parent(&self) -> Option<Self> {
        self.node.parent.and_then(|parent| Self::of(self.document, parent))
    }

    /// This element, its parent, and so on to the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + use<'d> {
        std::iter::successors(Some(*self), Self::parent)
    }

    /// The child elements, in order.
    pub fn children(&self) -> impl Iterator<Item = Self> + use<'d> {
        let document = self.document;
        self.nodes().filter_map(move |(id, _)| Self::of(document, id))
    }

    /// The first child element of that qualified name.
    pub fn child(&self, name: &str) -> Option<Self> {
        self.children().find(|child| child.name() == name)
    }

    /// All child elements of that qualified name, in order.
    pub fn children_named<'n>(&self, name: &'n str) -> impl Iterator<Item = Self> + use<'d, 'n> {
        self.children().filter(move |child| child.name() == name)
    }

    /// This element and all below it, in document order.
    pub fn descendants(&self) -> impl Iterator<Item = Self> + use<'d> {
        let (document, end) = (self.document, self.node.span.end);
        (self.id..document.nodes.len())
            .take_while(move |id| document.nodes.get(*id).is_some_and(|node| node.span.start < end))
            .filter_map(move |id| Self::of(document, id))
    }

    /// The attributes, in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'d>> + use<'d> {
        let document = self.document;
        let spans = document.attributes.get(self.element.attributes.clone()).unwrap_or_default();
        spans.iter().map(move |spans| Attribute { document, spans: *spans })
    }

    /// The attribute of that qualified name.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'d>> {
        self.attributes().find(|attribute| attribute.name() == name)
    }

    /// The decoded character data directly inside this element, concatenated, white space kept.
    pub fn text(&self) -> Cow<'d, str> {
        let mut pieces = self.pieces();
        let Some(first) = pieces.next() else { return Cow::Borrowed("") };
        pieces.fold(first, |mut whole, piece| {
            whole.to_mut().push_str(&piece);
            whole
        })
    }

    fn pieces(&self) -> impl Iterator<Item = Cow<'d, str>> + use<'d> {
        let text = self.document.text.as_str();
        self.nodes().filter_map(move |(_, node)| match &node.kind {
            NodeKind::Element(_) => None,
            NodeKind::Text => Some(decode::text(node.span.of(text))),
            NodeKind::CData { content } => Some(decode::cdata(content.of(text))),
        })
    }

    /// From the first to the last character of the element's own character data that is not white space; the
    /// start tag where there is none. This is what a message about the element's value points at.
    pub fn text_span(&self) -> Span {
        let text = self.document.text.as_str();
        let mut found: Option<Span> = None;
        for (_, node) in self.nodes().filter(|(_, node)| !matches!(node.kind, NodeKind::Element(_))) {
            let raw = node.span.of(text);
            let trimmed = raw.trim_matches([' ', '\t', '\r', '\n']);
            if trimmed.is_empty() {
                continue;
            }
            let start = node.span.start + raw.find(trimmed).unwrap_or(0);
            let end = start + trimmed.len();
            found = Some(Span::new(found.map_or(start, |found| found.start), end));
        }
        found.unwrap_or_else(|| self.start_tag_span())
    }

    /// All child nodes, character data included.
    fn nodes(&self) -> impl Iterator<Item = (NodeId, &'d Node)> + use<'d> {
        let document = self.document;
        let node = move |id: NodeId| document.nodes.get(id).map(|node| (id, node));
        let first = self.element.first_child.and_then(node);
        std::iter::successors(first, move |(_, before)| before.next.and_then(node))
    }
}

/// Two handles are equal when they name the same element of the same document.
impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.document, other.document) && self.id == other.id
    }
}

impl Eq for Element<'_> {}

impl std::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}> at {}", self.name(), self.document.position(self.node.span.start))
    }
}

impl<'d> Attribute<'d> {
    /// The qualified name, as written.
    pub fn name(&self) -> &'d str {
        self.spans.name.of(&self.document.text)
    }

    pub fn name_span(&self) -> Span {
        self.spans.name
    }

    /// The decoded value: references replaced, white space made spaces.
    pub fn value(&self) -> Cow<'d, str> {
        decode::attribute(self.spans.value.of(&self.document.text))
    }

    /// The value as written, without its quotes.
    pub fn value_span(&self) -> Span {
        self.spans.value
    }

    /// From the name to the closing quote.
    pub fn span(&self) -> Span {
        self.spans.span()
    }

    /// The quote that the value is written in.
    pub(crate) fn quote(&self) -> char {
        let end = self.spans.value.end;
        if Span::new(end, end + 1).of(&self.document.text) == "'" { '\'' } else { '"' }
    }
}

impl std::fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.span().of(&self.document.text))
    }
}
