//! Reads one element's attributes and children, and remembers which of them were asked for.
//!
//! What nobody asked for by the time a [`Reader`] goes out of scope is reported as not modelled, so that a
//! reading function cannot lose content by forgetting it.

use std::cell::{Cell, RefCell};

use super::values::{
    MESSAGE_LENGTH, NAME_LENGTH, VALUE_LENGTH, one_of, parse_number, shorten, unit_bytes, words,
};
use crate::{
    Attribute, Element, MAX_ATTRIBUTES, Span,
    model::{Keyword, Problem, ProblemKind, Switch, memory::Kib},
};

/// Collects problems while many readers are alive; no more than a bounded number of each kind.
#[derive(Debug, Default)]
pub(super) struct Problems<'d> {
    malformed: RefCell<Vec<Problem>>,
    not_modelled: RefCell<Vec<Problem>>,
    leftovers: RefCell<Vec<Leftover<'d>>>,
}

/// What the model has no place for, all of it: there are no more than the document has nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leftover<'d> {
    /// The element that is left over, or of which something is.
    pub(super) element: Element<'d>,
    pub(super) part: Part<'d>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'d> {
    Attribute(Attribute<'d>),
    /// A declaration of a namespace, which matters only where something left over uses it.
    Namespace(Attribute<'d>),
    Whole,
    /// The whole of an element that is given once at most.
    Only,
    /// The whole of an element of which the model has no more than that it is there.
    Instead,
}

impl Part<'_> {
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Only | Self::Instead)
    }
}

impl Leftover<'_> {
    /// Whether a name in it has that prefix.
    pub(super) fn is_named_with(&self, prefix: &str) -> bool {
        let is_with = |text: &str| {
            text.match_indices(prefix).any(|(at, _)| {
                let rest = text.get(at + prefix.len()..).unwrap_or_default();
                rest.starts_with(':')
            })
        };
        match self.part {
            Part::Attribute(attribute) => is_with(attribute.name()),
            Part::Namespace(_) => false,
            Part::Whole | Part::Only | Part::Instead => {
                is_with(self.element.span().of(self.element.document().text()))
            }
        }
    }
}

impl<'d> Problems<'d> {
    /// More problems of one kind than this are not worth reading, and must not eat memory.
    const MOST: usize = 1000;

    fn push(&self, kind: ProblemKind, problem: impl FnOnce() -> Problem) {
        let mut same_kind = match kind {
            ProblemKind::Malformed => self.malformed.borrow_mut(),
            ProblemKind::NotModelled => self.not_modelled.borrow_mut(),
        };
        if same_kind.len() < Self::MOST {
            same_kind.push(problem());
        }
    }

    fn keep(&self, element: Element<'d>, part: Part<'d>) {
        self.leftovers.borrow_mut().push(Leftover { element, part });
    }

    pub(super) fn take_leftovers(&self) -> Vec<Leftover<'d>> {
        self.leftovers.take()
    }

    /// The problems in the order of the document.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut found = self.malformed.into_inner();
        found.append(&mut self.not_modelled.into_inner());
        found.sort_by_key(|problem| (problem.span.start, problem.span.end, problem.kind));
        found
    }
}

/// A few names; more of them cost an allocation.
#[derive(Debug, Default)]
struct Names {
    few: [&'static str; 8],
    count: usize,
    more: Vec<&'static str>,
}

impl Names {
    fn push(&mut self, name: &'static str) {
        match self.few.get_mut(self.count) {
            Some(place) => {
                *place = name;
                self.count += 1;
            }
            None => self.more.push(name),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.few.iter().take(self.count).chain(&self.more).any(|taken| *taken == name)
    }
}

/// One element being read.
pub(super) struct Reader<'d, 'p> {
    element: Element<'d>,
    problems: &'p Problems<'d>,
    /// Those of the element's attributes that were asked for, one bit each.
    taken_attributes: Cell<[u64; MAX_ATTRIBUTES / 64]>,
    taken_children: RefCell<Names>,
    /// The element is reported as a whole, or was taken as it stands.
    is_settled: Cell<bool>,
    /// Nothing of what is left over is reported.
    is_quiet: Cell<bool>,
    /// There is one such element at most.
    is_only: bool,
}

impl<'d, 'p> Reader<'d, 'p> {
    pub(super) fn new(element: Element<'d>, problems: &'p Problems<'d>) -> Self {
        Self {
            element,
            problems,
            taken_attributes: Cell::default(),
            taken_children: RefCell::default(),
            is_settled: Cell::new(false),
            is_quiet: Cell::new(false),
            is_only: false,
        }
    }

    pub(super) fn element(&self) -> Element<'d> {
        self.element
    }

    // Attributes

    fn attribute(&self, name: &'static str) -> Option<Attribute<'d>> {
        let (at, attribute) =
            self.element.attributes().enumerate().find(|(_, attribute)| attribute.name() == name)?;
        let mut taken = self.taken_attributes.get();
        if let Some(bits) = taken.get_mut(at / 64) {
            *bits |= 1 << (at % 64);
        }
        self.taken_attributes.set(taken);
        Some(attribute)
    }

    /// An attribute as it stands.
    pub(super) fn string(&self, name: &'static str) -> Option<String> {
        Some(self.attribute(name)?.value().into_owned())
    }

    /// An attribute that must be there; empty, and a problem, where it is not.
    pub(super) fn required_string(&self, name: &'static str) -> String {
        self.string(name).unwrap_or_else(|| {
            self.missing(&format!("attribute `{name}`"));
            String::new()
        })
    }

    /// An attribute that `parse` must accept.
    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.parsed_or(name, || expected.to_owned(), parse)
    }

    /// The same, with words that are only put together when they are needed.
    fn parsed_or<T>(
        &self,
        name: &'static str,
        expected: impl FnOnce() -> String,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let attribute = self.attribute(name)?;
        let value = attribute.value();
        let parsed = parse(&value);
        if parsed.is_none() {
            let message = format!("`{}` is not {}", shorten(&value, VALUE_LENGTH), expected());
            self.report(ProblemKind::Malformed, attribute.value_span(), &format!("@{name}"), &message);
        }
        parsed
    }

    /// An attribute from a closed set of words.
    pub(super) fn word<K: Keyword>(&self, name: &'static str) -> Option<K> {
        self.parsed_or(name, one_of::<K>, K::from_word)
    }

    /// An attribute of which sevirt knows some words: another word is not modelled rather than wrong.
    pub(super) fn known_word<K: Keyword>(&self, name: &'static str) -> Option<K> {
        let known = self.reported_word(name);
        if known.is_none()
            && let Some(attribute) = self.element.attribute(name)
        {
            self.problems.keep(self.element, Part::Attribute(attribute));
        }
        known
    }

    fn reported_word<K: Keyword>(&self, name: &'static str) -> Option<K> {
        let attribute = self.attribute(name)?;
        let value = attribute.value();
        let known = K::from_word(&value);
        if known.is_none() {
            let message =
                format!("`{}` is not supported, only {}", shorten(&value, VALUE_LENGTH), words::<K>());
            self.report(ProblemKind::NotModelled, attribute.value_span(), &format!("@{name}"), &message);
        }
        known
    }

    /// The attribute without which the element means nothing: where it is missing or unknown the whole element
    /// is reported once, and nothing else of it.
    pub(super) fn discriminator<K: Keyword>(&self, name: &'static str) -> Option<K> {
        let value = self.reported_word(name);
        if value.is_none() {
            self.leave();
            if self.element.attribute(name).is_none() {
                self.missing(&format!("attribute `{name}`"));
            }
        }
        value
    }

    /// An attribute that is `on` or `off`.
    pub(super) fn on_off(&self, name: &'static str) -> Option<Switch> {
        self.parsed(name, "`on` or `off`", |value| match value {
            "on" => Some(Switch::On),
            "off" => Some(Switch::Off),
            _ => None,
        })
    }

    /// An attribute that is `yes` or `no`.
    pub(super) fn yes_no(&self, name: &'static str) -> Option<Switch> {
        self.parsed(name, "`yes` or `no`", |value| match value {
            "yes" => Some(Switch::On),
            "no" => Some(Switch::Off),
            _ => None,
        })
    }

    /// A number, decimal or, with `0x`, hexadecimal.
    pub(super) fn number<N: TryFrom<i128>>(&self, name: &'static str) -> Option<N> {
        self.number_in(name, 10)
    }

    /// A number in the given radix.
    pub(super) fn number_in<N: TryFrom<i128>>(&self, name: &'static str, radix: u32) -> Option<N> {
        self.parsed(name, "a number in range", |value| parse_number(value, radix))
    }

    /// Passes over an attribute that only says how the domain runs at the moment.
    pub(super) fn ignore(&self, name: &'static str) {
        // To have looked at it is enough.
        let _ = self.attribute(name);
    }

    // Children

    /// The child of this name; a second one is a problem.
    pub(super) fn child(&self, name: &'static str) -> Option<Self> {
        let mut children = self.children(name);
        let mut first = children.next()?;
        for surplus in children {
            surplus.settle();
            surplus.malformed(surplus.element.start_tag_span(), "given more than once");
        }
        first.is_only = true;
        Some(first)
    }

    /// All children of this name.
    pub(super) fn children(&self, name: &'static str) -> impl Iterator<Item = Reader<'d, 'p>> + use<'d, 'p> {
        self.taken_children.borrow_mut().push(name);
        let problems = self.problems;
        self.element
            .children()
            .filter(move |child| child.name() == name)
            .map(move |child| Reader::new(child, problems))
    }

    /// The children that nobody has asked for so far.
    pub(super) fn unread_children(&self) -> impl Iterator<Item = Element<'d>> {
        let taken = self.taken_children.borrow();
        self.element.children().filter(move |child| !taken.contains(child.name()))
    }

    /// Whether there is a child of this name.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.child(name).is_some()
    }

    /// The text of a child; `None` where the child is missing or empty.
    pub(super) fn child_text(&self, name: &'static str) -> Option<String> {
        self.child(name).and_then(|child| child.text())
    }

    /// A child that says `state='on'` or `state='off'`.
    pub(super) fn child_state(&self, name: &'static str) -> Option<Switch> {
        self.child(name)?.on_off("state")
    }

    // Text

    /// The element's text; `None` where it is empty.
    pub(super) fn text(&self) -> Option<String> {
        Some(self.element.text().into_owned()).filter(|text| !text.is_empty())
    }

    /// The element's text without the white space around it; `None` where nothing is left.
    pub(super) fn trimmed_text(&self) -> Option<String> {
        Some(self.element.text().trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The element's text that `parse` must accept, without the white space around it.
    pub(super) fn parsed_text<T>(&self, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.parsed_text_or(|| expected.to_owned(), parse)
    }

    fn parsed_text_or<T>(
        &self,
        expected: impl FnOnce() -> String,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.element.text();
        let parsed = parse(text.trim());
        if parsed.is_none() {
            let message = format!("`{}` is not {}", shorten(text.trim(), VALUE_LENGTH), expected());
            self.malformed(self.element.text_span(), &message);
        }
        parsed
    }

    /// The element's text from a closed set of words.
    pub(super) fn text_word<K: Keyword>(&self) -> Option<K> {
        self.parsed_text_or(one_of::<K>, K::from_word)
    }

    /// The element's text as a number of the given radix.
    pub(super) fn text_number<N: TryFrom<i128>>(&self, radix: u32) -> Option<N> {
        self.parsed_text("a number in range", |text| parse_number(text, radix))
    }

    /// The element's text as an amount of memory, with `unit` (KiB unless it says otherwise), rounded up.
    pub(super) fn size(&self) -> Option<Kib> {
        self.size_in(1024)
    }

    /// The same, in units of `default` bytes where there is no `unit`.
    pub(super) fn size_in(&self, default: u128) -> Option<Kib> {
        let scale = self.unit("unit", default)?;
        self.parsed_text("an amount of memory", |text| {
            let count: u64 = parse_number(text, 10)?;
            Some(Kib(u64::try_from(u128::from(count).checked_mul(scale)?.div_ceil(1024)).ok()?))
        })
    }

    /// The bytes that one unit stands for; `None`, and a problem, where nobody knows it.
    pub(super) fn unit(&self, name: &'static str, default: u128) -> Option<u128> {
        match self.element.attribute(name) {
            None => Some(default),
            Some(_) => self.parsed(name, "a unit such as KiB, MiB or GiB", unit_bytes),
        }
    }

    // Problems

    /// Takes the element as a whole: nothing below it is reported.
    pub(super) fn settle(&self) {
        self.is_settled.set(true);
    }

    /// Keeps the element as it stands, outside the model: nothing below it is reported.
    pub(super) fn leave(&self) {
        self.settle();
        self.problems.keep(self.element, if self.is_only { Part::Only } else { Part::Whole });
    }

    /// Keeps the element as it stands in place of the model's, which only knows that it is there.
    pub(super) fn leave_stub(&self) {
        self.settle();
        self.problems.keep(self.element, if self.is_only { Part::Only } else { Part::Instead });
    }

    /// Reports the whole element as one that sevirt has no notion of, and keeps it outside the model.
    pub(super) fn not_modelled(&self, message: &str) {
        self.leave();
        self.report(ProblemKind::NotModelled, self.element.start_tag_span(), "", message);
    }

    /// The same for an element of which the model knows that it is there.
    pub(super) fn stub(&self, message: &str) {
        self.leave_stub();
        self.report(ProblemKind::NotModelled, self.element.start_tag_span(), "", message);
    }

    /// Reports the whole element, of which the model has a part; the rest is kept.
    pub(super) fn partly_modelled(&self, message: &str) {
        self.is_quiet.set(true);
        self.report(ProblemKind::NotModelled, self.element.start_tag_span(), "", message);
    }

    pub(super) fn malformed(&self, span: Span, message: &str) {
        self.report(ProblemKind::Malformed, span, "", message);
    }

    /// Reports the value of an attribute; the whole start tag where there is no such attribute.
    pub(super) fn malformed_attribute(&self, name: &'static str, message: &str) {
        let span = match self.element.attribute(name) {
            Some(attribute) => attribute.value_span(),
            None => self.element.start_tag_span(),
        };
        self.report(ProblemKind::Malformed, span, &format!("@{name}"), message);
    }

    /// Reports that something required is not there.
    pub(super) fn missing(&self, what: &str) {
        self.malformed(self.element.start_tag_span(), &format!("{what} is missing"));
    }

    fn report(&self, kind: ProblemKind, span: Span, suffix: &str, message: &str) {
        self.problems.push(kind, || Problem {
            span,
            kind,
            path: path(self.element) + &shorten(suffix, NAME_LENGTH),
            message: shorten(message, MESSAGE_LENGTH),
        });
    }
}

impl Drop for Reader<'_, '_> {
    fn drop(&mut self) {
        if self.is_settled.get() {
            return;
        }
        let taken = self.taken_attributes.get();
        for (at, attribute) in self.element.attributes().enumerate() {
            let name = attribute.name();
            let is_taken = taken.get(at / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1);
            if name.starts_with("xmlns:") {
                self.problems.keep(self.element, Part::Namespace(attribute));
            } else if !is_taken && name != "xmlns" {
                self.problems.keep(self.element, Part::Attribute(attribute));
                if !self.is_quiet.get() {
                    let suffix = format!("@{name}");
                    self.report(ProblemKind::NotModelled, attribute.span(), &suffix, "not supported");
                }
            }
        }
        for child in self.element.children() {
            if !self.taken_children.borrow().contains(child.name()) {
                let child = Reader::new(child, self.problems);
                if self.is_quiet.get() { child.leave() } else { child.not_modelled("not supported") }
            }
        }
    }
}

/// The names from below the root element down to this one, with slashes; the root's own name for the root.
fn path(element: Element<'_>) -> String {
    let mut names = vec![shorten(element.name(), NAME_LENGTH)];
    let mut next = element.parent();
    while let Some(parent) = next {
        names.push(shorten(parent.name(), NAME_LENGTH));
        next = parent.parent();
    }
    if names.len() > 1 {
        names.pop();
    }
    names.reverse();
    names.join("/")
}
