//! Overrides: which rules the user has decided to live with.
//!
//! Two ways, obeyed alike by everything that judges a domain: `--allow RULE`, for a daemon `allow` in `[lint]` of its
//! configuration, and in the domain itself
//! `<metadata><sevirt:allow xmlns:sevirt='urn:sevirt:domain:1' rule='RULE'/></metadata>`, where RULE is a code
//! or a name.

use std::collections::BTreeSet;

use domain::{Document, Element, Span};

use crate::finding::Finding;
use crate::table;

/// The namespace of sevirt's own elements in `<metadata>`.
pub(crate) const NAMESPACE: &str = "urn:sevirt:domain:1";

/// The codes of the rules that are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    codes: BTreeSet<&'static str>,
}

/// A word that names no rule, or one that cannot be allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownRule {
    #[error("there is no rule `{0}`; `sevirt explain --list` lists them")]
    Unknown(String),
    #[error("rule {0} cannot be allowed: what it finds is never obeyed as written")]
    Fixed(&'static str),
}

impl Allowed {
    /// Those that were named by the user.
    pub fn named<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, UnknownRule> {
        let codes = words.into_iter().map(code).collect::<Result<_, _>>()?;
        Ok(Self { codes })
    }

    /// The codes, sorted.
    pub fn codes(&self) -> impl Iterator<Item = &'static str> {
        self.codes.iter().copied()
    }

    /// These and the document's own.
    pub(crate) fn with(&self, document: &Document) -> Self {
        let own = of_document(document).filter_map(|(word, _)| code(&word).ok());
        Self { codes: self.codes.iter().copied().chain(own).collect() }
    }

    pub(crate) fn allows(&self, finding: &Finding) -> bool {
        self.codes.contains(finding.code)
    }
}

/// The rules that the document's metadata names, each with its place.
pub(crate) fn of_document(document: &Document) -> impl Iterator<Item = (String, Span)> {
    let elements = document.root().children_named("metadata").flat_map(|metadata| metadata.children());
    elements.filter(is_allow).filter_map(|element| {
        let rule = element.attribute("rule")?;
        Some((rule.value().into_owned(), rule.value_span()))
    })
}

fn is_allow(element: &Element<'_>) -> bool {
    element.local_name() == "allow" && element.namespace().as_deref() == Some(NAMESPACE)
}

pub(crate) fn code(word: &str) -> Result<&'static str, UnknownRule> {
    match table::rule(word) {
        None => Err(UnknownRule::Unknown(word.to_owned())),
        Some(rule) if !rule.allowable => Err(UnknownRule::Fixed(rule.code)),
        Some(rule) => Ok(rule.code),
    }
}
