//! What rules judge: one document with all that is known about it.

use domain::{Document, Domain, Element, Problem, Span};
use host::Facts;

use crate::Technology;

/// A domain before its judges.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub document: &'a Document,
    pub domain: &'a Domain,
    /// What reading the domain found.
    pub problems: &'a [Problem],
    pub facts: &'a Facts,
}

impl<'a> Subject<'a> {
    /// What messages call the host; a simulated platform is never passed off as a real one.
    pub(crate) fn host(&self) -> &'static str {
        if self.facts.simulated.is_some() { "this simulated host" } else { "this host" }
    }

    /// What kind of confidential guest this is to be, if any that sevirt knows.
    pub(crate) fn technology(&self) -> Option<Technology> {
        Technology::of(self.domain.launch_security.as_ref()?)
    }

    /// The element at the end of a path of names below the root, the first one of each name.
    pub(crate) fn element(&self, path: &[&str]) -> Option<Element<'a>> {
        path.iter().try_fold(self.document.root(), |element, name| element.child(name))
    }

    /// What a finding about a missing element points at: the start tag of the nearest element that is there.
    pub(crate) fn nearest(&self, path: &[&str]) -> Span {
        let mut element = self.document.root();
        for name in path {
            let Some(child) = element.child(name) else { break };
            element = child;
        }
        element.start_tag_span()
    }

    /// Whether reading the domain has already complained about something inside `element`.
    pub(crate) fn is_malformed(&self, element: Element<'_>) -> bool {
        let malformed = |problem: &&Problem| problem.kind == domain::ProblemKind::Malformed;
        self.problems.iter().filter(malformed).any(|problem| element.span().encloses(problem.span))
    }
}
