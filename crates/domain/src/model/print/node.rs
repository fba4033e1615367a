//! Elements about to be printed, and how libvirt lays them out: two spaces a level, single quotes.

use std::{
    borrow::Cow,
    fmt::{Display, Write as _},
};

use crate::model::{
    Kept, Keyword, Switch,
    kept::{Piece, Raw, What},
    memory::Kib,
};

/// An element.
#[derive(Clone, Debug)]
pub(super) struct Node {
    name: Cow<'static, str>,
    attributes: Vec<(Cow<'static, str>, String)>,
    content: Content,
    /// It is there only for what is kept in it.
    is_made: bool,
}

#[derive(Clone, Debug)]
enum Content {
    Children(Vec<Child>),
    /// Text, and the elements that are kept beside it.
    Text(String, Vec<Raw>),
}

#[derive(Clone, Debug)]
enum Child {
    Node(Node),
    /// XML that is printed as it is.
    Raw(Raw),
}

impl Node {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            attributes: Vec::new(),
            content: Content::Children(Vec::new()),
            is_made: false,
        }
    }

    /// An element with nothing but text.
    pub(super) fn of_text(name: &'static str, text: impl Display) -> Self {
        Self { content: Content::Text(text.to_string(), Vec::new()), ..Self::new(name) }
    }

    /// An element with a size in KiB.
    pub(super) fn of_size(name: &'static str, size: Kib) -> Self {
        Self::of_text(name, size.0).attr("unit", "KiB")
    }

    // Attributes

    pub(super) fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.push((Cow::Borrowed(name), value.to_string()));
        self
    }

    pub(super) fn opt(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    pub(super) fn word(self, name: &'static str, value: Option<impl Keyword>) -> Self {
        self.opt(name, value.map(Keyword::word))
    }

    pub(super) fn on_off(self, name: &'static str, value: Option<Switch>) -> Self {
        self.opt(name, value.map(Switch::on_off))
    }

    pub(super) fn yes_no(self, name: &'static str, value: Option<Switch>) -> Self {
        self.opt(name, value.map(Switch::yes_no))
    }

    // Content

    pub(super) fn text(mut self, text: Option<impl Display>) -> Self {
        if let Some(text) = text {
            self.content = Content::Text(text.to_string(), Vec::new());
        }
        self
    }

    pub(super) fn push(&mut self, child: Self) {
        self.push_child(Child::Node(child));
    }

    fn push_child(&mut self, child: Child) {
        match &mut self.content {
            Content::Children(children) => children.push(child),
            Content::Text(..) => self.content = Content::Children(vec![child]),
        }
    }

    pub(super) fn child(mut self, child: Self) -> Self {
        self.push(child);
        self
    }

    pub(super) fn maybe(mut self, child: Option<Self>) -> Self {
        if let Some(child) = child {
            self.push(child);
        }
        self
    }

    pub(super) fn all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        for child in children {
            self.push(child);
        }
        self
    }

    pub(super) fn raw(mut self, xml: Option<&str>) -> Self {
        if let Some(xml) = xml {
            self.push_child(Child::Raw(Raw::new(xml)));
        }
        self
    }

    /// A child with text, where there is text.
    pub(super) fn text_child(self, name: &'static str, text: Option<impl Display>) -> Self {
        self.maybe(text.map(|text| Self::of_text(name, text)))
    }

    /// An empty child, where `is_there`.
    pub(super) fn flag(self, name: &'static str, is_there: bool) -> Self {
        self.maybe(is_there.then(|| Self::new(name)))
    }

    /// A child that says `state='on'` or `state='off'`.
    pub(super) fn state(self, name: &'static str, state: Option<Switch>) -> Self {
        self.maybe(state.map(|state| Self::new(name).attr("state", state.on_off())))
    }

    /// The element, unless it says nothing.
    pub(super) fn unless_empty(self) -> Option<Self> {
        let has_content = match &self.content {
            Content::Children(children) => !children.is_empty(),
            Content::Text(..) => true,
        };
        (has_content || !self.attributes.is_empty()).then_some(self)
    }

    // What the model does not have

    /// The element with what was kept of it beyond the model.
    pub(super) fn keeping(mut self, kept: &Kept) -> Self {
        for piece in kept.pieces() {
            self.take(piece);
        }
        self
    }

    fn take(&mut self, piece: &Piece) {
        let mut at = self;
        for (depth, step) in piece.path.iter().enumerate() {
            let Content::Children(children) = &mut at.content else { return };
            let mut same = (0..children.len()).filter(
                |child| matches!(children.get(*child), Some(Child::Node(node)) if node.name == step.name),
            );
            let found = same.nth(step.index);
            if depth + 1 == piece.path.len()
                && let What::Instead(raw) = &piece.what
            {
                if let Some(child) = found.and_then(|found| children.get_mut(found)) {
                    *child = Child::Raw(raw.clone());
                }
                return;
            }
            let place = found.unwrap_or_else(|| {
                let name = Cow::Owned(step.name.clone());
                let missing = Self { name, is_made: true, ..Self::new("") };
                children.push(Child::Node(missing));
                children.len() - 1
            });
            let Some(Child::Node(node)) = children.get_mut(place) else { return };
            at = node;
        }
        match &piece.what {
            What::Attribute { name, value } => {
                if !at.attributes.iter().any(|(known, _)| known == name) {
                    at.attributes.push((Cow::Owned(name.clone()), value.clone()));
                }
            }
            What::Element(raw) => at.push_raw(raw),
            What::Only { name, raw } => {
                if let Content::Children(children) = &mut at.content {
                    let of_this_name =
                        |child: &Child| matches!(child, Child::Node(node) if node.name == *name);
                    if let Some(place) = children.iter_mut().find(|child| of_this_name(child)) {
                        *place = Child::Raw(raw.clone());
                        return;
                    }
                }
                at.push_raw(raw);
            }
            What::Instead(_) => {}
        }
    }

    fn push_raw(&mut self, raw: &Raw) {
        match &mut self.content {
            Content::Children(children) => children.push(Child::Raw(raw.clone())),
            Content::Text(_, beside) => beside.push(raw.clone()),
        }
    }

    /// The element as text, with a line break at the end.
    pub(super) fn print(&self) -> String {
        let mut out = String::new();
        self.print_into(&mut out, 0);
        out
    }

    fn print_into(&self, out: &mut String, depth: usize) {
        indent(out, depth);
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            // Writing into a string cannot fail.
            let _ = write!(out, " {name}='{}'", Escaped(value));
        }
        match &self.content {
            Content::Children(children) if children.is_empty() => out.push_str("/>\n"),
            // White space would be text where the model looks for text and found none.
            Content::Children(children) if self.is_made => {
                out.push('>');
                for child in children {
                    match child {
                        Child::Node(node) => {
                            node.print_into(out, 0);
                            out.truncate(out.trim_end_matches('\n').len());
                        }
                        Child::Raw(raw) => raw.print_into(out, &"  ".repeat(depth)),
                    }
                }
                let _ = writeln!(out, "</{}>", self.name);
            }
            Content::Children(children) => {
                out.push_str(">\n");
                for child in children {
                    child.print_into(out, depth + 1);
                }
                indent(out, depth);
                let _ = writeln!(out, "</{}>", self.name);
            }
            Content::Text(text, beside) => {
                let _ = write!(out, ">{}", Escaped(text));
                for raw in beside {
                    raw.print_into(out, &"  ".repeat(depth));
                }
                let _ = writeln!(out, "</{}>", self.name);
            }
        }
    }
}

impl Child {
    fn print_into(&self, out: &mut String, depth: usize) {
        match self {
            Self::Node(node) => node.print_into(out, depth),
            Self::Raw(xml) => {
                indent(out, depth);
                xml.print_into(out, &"  ".repeat(depth));
                out.push('\n');
            }
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// Text with the characters escaped that libvirt escapes, in text and attributes alike.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                // As they are, an attribute's reader would take them for spaces.
                '\n' => f.write_str("&#xA;")?,
                '\r' => f.write_str("&#xD;")?,
                '\t' => f.write_str("&#x9;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
