//! Tokens to an arena of nodes, with the checks that span more than one token.

use super::namespaces::Scopes;
use super::{ElementNode, Node, NodeId, NodeKind};
use crate::span::Span;
use crate::syntax::{
    Fault, MAX_DEPTH, MAX_NODES,
    lexer::{Lexer, TokenKind},
    name, quoted,
    tag::{AttributeSpans, StartTag},
};

type Arena = (Vec<Node>, Vec<AttributeSpans>);

pub(super) fn build(text: &str) -> Result<Arena, Fault> {
    let mut builder = Builder {
        text,
        nodes: Vec::new(),
        attributes: Vec::new(),
        open: Vec::new(),
        scopes: Scopes::default(),
    };
    for token in Lexer::new(text) {
        let token = token?;
        match token.kind {
            TokenKind::ByteOrderMark
            | TokenKind::Declaration
            | TokenKind::Instruction
            | TokenKind::Comment => {}
            TokenKind::Text => builder.data(token.span, NodeKind::Text)?,
            TokenKind::CData { content } => builder.data(token.span, NodeKind::CData { content })?,
            TokenKind::StartTag(tag) => builder.start(token.span, tag)?,
            TokenKind::EndTag { name } => builder.end(token.span, name)?,
        }
    }
    builder.finish()
}

struct Builder<'t> {
    text: &'t str,
    nodes: Vec<Node>,
    attributes: Vec<AttributeSpans>,
    open: Vec<Open>,
    scopes: Scopes<'t>,
}

/// An element that is not closed yet, and its last child so far.
struct Open {
    id: NodeId,
    last_child: Option<NodeId>,
}

impl Builder<'_> {
    fn data(&mut self, span: Span, kind: NodeKind) -> Result<(), Fault> {
        if !self.open.is_empty() {
            return self.push(Node { parent: None, next: None, span, kind }).map(|_| ());
        }
        let text = span.of(self.text);
        let blank = matches!(kind, NodeKind::Text) && text.bytes().all(name::is_space);
        if blank {
            return Ok(());
        }
        let place = if self.nodes.is_empty() { "before" } else { "after" };
        let start = span.start + text.bytes().take_while(|byte| name::is_space(*byte)).count();
        let end = span.start + text.trim_end_matches([' ', '\t', '\r', '\n']).len();
        Err(Fault::new(start, end, format!("text {place} the root element")))
    }

    fn start(&mut self, span: Span, tag: StartTag) -> Result<(), Fault> {
        if self.open.is_empty()
            && let Some(root) = self.nodes.first()
        {
            return Err(Fault::new(
                span.start,
                span.end,
                "a document has one root element, this is a second",
            )
            .label(Span::new(root.span.start, root.span.start + 1), "the first starts here"));
        }
        if self.open.len() == MAX_DEPTH {
            let message = format!("elements nest deeper than the limit of {MAX_DEPTH}");
            return Err(Fault::new(span.start, span.end, message));
        }
        let StartTag { name, attributes, empty } = tag;
        self.scopes.open(self.text, name, &attributes)?;
        let first = self.attributes.len();
        self.attributes.extend(attributes);
        let kind = NodeKind::Element(ElementNode {
            name,
            start_tag_end: span.end,
            end_tag_start: span.end,
            attributes: first..self.attributes.len(),
            first_child: None,
        });
        let id = self.push(Node { parent: None, next: None, span, kind })?;
        if empty {
            self.scopes.close();
        } else {
            self.open.push(Open { id, last_child: None });
        }
        Ok(())
    }

    fn end(&mut self, span: Span, name: Span) -> Result<(), Fault> {
        let found = name.of(self.text);
        let Some(open) = self.open.pop() else {
            let message = format!("`</` closes {}, which is not open", quoted(found));
            return Err(Fault::new(span.start, span.end, message));
        };
        let Some(Node { span: whole, kind: NodeKind::Element(element), .. }) = self.nodes.get_mut(open.id)
        else {
            return Ok(());
        };
        let expected = element.name.of(self.text);
        if expected != found {
            let message =
                format!("expected the end of {}, found the end of {}", quoted(expected), quoted(found));
            let label = format!("{} starts here", quoted(expected));
            return Err(Fault::new(span.start, span.end, message).label(element.name, label));
        }
        element.end_tag_start = span.start;
        whole.end = span.end;
        self.scopes.close();
        Ok(())
    }

    fn finish(self) -> Result<Arena, Fault> {
        let end = self.text.len();
        if let Some(open) = self.open.last()
            && let Some(Node { kind: NodeKind::Element(element), .. }) = self.nodes.get(open.id)
        {
            let name = quoted(element.name.of(self.text));
            return Err(Fault::new(end, end, format!("the document ends, but {name} is not closed"))
                .label(element.name, "it starts here"));
        }
        if self.nodes.is_empty() {
            return Err(Fault::new(end, end, "the document has no root element"));
        }
        Ok((self.nodes, self.attributes))
    }

    /// Adds a node as the last child of the innermost open element.
    fn push(&mut self, mut node: Node) -> Result<NodeId, Fault> {
        if self.nodes.len() + self.attributes.len() >= MAX_NODES {
            let message = format!("the document has more than {MAX_NODES} elements, attributes and texts");
            return Err(Fault::new(node.span.start, node.span.end, message));
        }
        let id = self.nodes.len();
        if let Some(open) = self.open.last_mut() {
            node.parent = Some(open.id);
            let before = open.last_child.replace(id);
            let parent = open.id;
            match before.and_then(|before| self.nodes.get_mut(before)) {
                Some(sibling) => sibling.next = Some(id),
                None => {
                    if let Some(Node { kind: NodeKind::Element(element), .. }) = self.nodes.get_mut(parent) {
                        element.first_child = Some(id);
                    }
                }
            }
        }
        self.nodes.push(node);
        Ok(id)
    }
}
