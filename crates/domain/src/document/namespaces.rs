//! Namespaces in XML 1.0: which prefixes are bound where, and which names are the same name.
//!
//! The document keeps prefixes as written; this only checks that they make sense.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::span::Span;
use crate::syntax::{Fault, decode, name, quoted, tag::AttributeSpans};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The namespace bindings of the open elements.
#[derive(Debug, Default)]
pub(super) struct Scopes<'t> {
    /// Each bound prefix, with its namespaces from the outermost element to the innermost.
    bound: BTreeMap<&'t str, Vec<usize>>,
    /// For each open element the prefixes that it binds.
    open: Vec<Vec<&'t str>>,
    /// A number for each namespace, so that comparing two costs nothing.
    numbers: BTreeMap<Cow<'t, str>, usize>,
}

impl<'t> Scopes<'t> {
    /// Enters an element: checks its name, its declarations and its attributes.
    pub(super) fn open(
        &mut self,
        text: &'t str,
        element: Span,
        attributes: &[AttributeSpans],
    ) -> Result<(), Fault> {
        let mut binds = Vec::new();
        let name = |attribute: &AttributeSpans| attribute.name.of(text);
        // Nearly every element: nothing has to be looked up then.
        let plain = |name: &str| !name.bytes().any(|byte| byte == b':') && name != "xmlns";
        if attributes.len() <= 8 && plain(element.of(text)) && attributes.iter().all(|one| plain(name(one))) {
            self.open.push(binds);
            for (at, attribute) in attributes.iter().enumerate() {
                let written = name(attribute);
                if attributes.iter().take(at).any(|earlier| name(earlier) == written) {
                    return Err(twice(*attribute, written));
                }
            }
            return Ok(());
        }
        for attribute in attributes {
            if let (Some("xmlns"), prefix) = name::split(attribute.name.of(text)) {
                self.bind(text, prefix, *attribute)?;
                binds.push(prefix);
            } else if attribute.name.of(text) == "xmlns" {
                check_default(text, *attribute)?;
            }
        }
        self.open.push(binds);
        self.resolve(text, element)?;
        let mut seen = BTreeSet::new();
        for attribute in attributes {
            let written = attribute.name.of(text);
            let key = match name::split(written) {
                (None | Some("xmlns"), _) => (None, written),
                (Some(_), local) => (self.resolve(text, attribute.name)?, local),
            };
            if !seen.insert(key) {
                return Err(twice(*attribute, written));
            }
        }
        Ok(())
    }

    /// Leaves the innermost element.
    pub(super) fn close(&mut self) {
        for prefix in self.open.pop().unwrap_or_default() {
            if let Some(bindings) = self.bound.get_mut(prefix) {
                bindings.pop();
            }
        }
    }

    fn bind(&mut self, text: &'t str, prefix: &'t str, attribute: AttributeSpans) -> Result<(), Fault> {
        let namespace = decode::attribute(attribute.value.of(text));
        let fault = |message: String| Err(Fault::new(attribute.name.start, attribute.value.end + 1, message));
        match (prefix, namespace.as_ref()) {
            ("xmlns", _) => return fault("the prefix `xmlns` cannot be declared".into()),
            ("xml", XML) => {}
            ("xml", _) => return fault(format!("the prefix `xml` stands for {XML} only")),
            (_, XML | XMLNS) => return fault(format!("{} has its own prefix", quoted(&namespace))),
            (_, "") => return fault(format!("the prefix {} is bound to nothing", quoted(prefix))),
            _ => {}
        }
        let next = self.numbers.len();
        let number = *self.numbers.entry(namespace).or_insert(next);
        self.bound.entry(prefix).or_default().push(number);
        Ok(())
    }

    /// The namespace of a name's prefix; None for a name without one.
    fn resolve(&self, text: &str, name: Span) -> Result<Option<usize>, Fault> {
        let (Some(prefix), _) = name::split(name.of(text)) else { return Ok(None) };
        match self.bound.get(prefix).and_then(|bindings| bindings.last()) {
            Some(number) => Ok(Some(*number)),
            // No declaration is needed for `xml`; its own number may not be one of the others.
            None if prefix == "xml" => Ok(Some(usize::MAX)),
            None => {
                let end = name.start + prefix.len();
                let message = format!("the namespace prefix {} is not declared", quoted(prefix));
                Err(Fault::new(name.start, end, message))
            }
        }
    }
}

fn twice(attribute: AttributeSpans, written: &str) -> Fault {
    let Span { start, end } = attribute.name;
    Fault::new(start, end, format!("attribute {} appears twice", quoted(written)))
}

fn check_default(text: &str, attribute: AttributeSpans) -> Result<(), Fault> {
    let namespace = decode::attribute(attribute.value.of(text));
    match namespace.as_ref() {
        XML | XMLNS => {
            let message = format!("{} cannot be the default namespace", quoted(&namespace));
            Err(Fault::new(attribute.name.start, attribute.value.end + 1, message))
        }
        _ => Ok(()),
    }
}
