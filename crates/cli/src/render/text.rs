//! Findings for people: the place in the source with what is wrong there, what it means, and the mend.

use std::fmt::{self, Write as _};
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use domain::Span;
use rules::{Finding, Safety, Severity};

use super::Judged;
use crate::style::Look;

/// More of the source than this is not shown for one finding; some domains have no line ends.
const SHOWN: usize = 16 * 1024;
/// More findings than this are counted, not shown.
const LISTED: usize = 200;

/// All that was found about one input.
pub(crate) fn render(judged: &Judged, look: Look) -> String {
    let renderer = if look.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = match look.width {
        Some(width) => renderer.term_width(width),
        None => renderer,
    };
    let mut out = String::new();
    for finding in judged.findings.iter().take(LISTED) {
        let shown = Shown::new(finding, look);
        let _ = writeln!(out, "{}\n", renderer.render(&report(judged, finding, &shown)));
    }
    if let Some(more) = judged.findings.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(out, "{}: {more} more findings are not shown", judged.input.name);
    }
    for finding in &judged.allowed {
        let place = judged.position(finding.span.start);
        let Finding { code, name, message, .. } = finding;
        let _ = writeln!(out, "{}:{place}: allowed: {code} {name}: {message}", judged.input.name);
    }
    let tally = Tally::of(judged);
    let _ = writeln!(out, "{}: {tally}", judged.input.name);
    out
}

/// What a finding says, in lines that fit.
struct Shown {
    message: String,
    help: Option<String>,
    fix: Option<String>,
}

impl Shown {
    fn new(finding: &Finding, look: Look) -> Self {
        /// `   = help: ` before a line, with line numbers of three digits.
        const HELP_INDENT: usize = 12;
        let title = format!("{}[{} {}]: ", finding.severity, finding.code, finding.name).len();
        let fix = finding.fix.as_ref().map(|fix| {
            let how = match fix.safety {
                Safety::Safe => "`sevirt fix`",
                Safety::Unsafe => "`sevirt fix --unsafe`",
            };
            look.wrap(&format!("{} ({how} does it)", fix.title), HELP_INDENT)
        });
        Self {
            message: look.wrap(&finding.message, title),
            help: finding.help.as_ref().map(|help| look.wrap(help, HELP_INDENT)),
            fix,
        }
    }
}

fn report<'j>(judged: &'j Judged, finding: &'j Finding, shown: &'j Shown) -> Vec<Group<'j>> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(&shown.message).id(format!("{} {}", finding.code, finding.name));
    let mut group = match window(judged, finding) {
        Some(window) => title.element(snippet(judged, finding, &window)),
        None => {
            let place = judged.position(finding.span.start);
            let origin = annotate_snippets::Origin::path(judged.input.name.as_str());
            title.element(origin.line(place.line).char_column(place.column))
        }
    };
    if let Some(help) = &shown.help {
        group = group.element(Level::HELP.message(help));
    }
    if let Some(fix) = &shown.fix {
        group = group.element(Level::HELP.with_name("fix").message(fix));
    }
    vec![group]
}

fn snippet<'j>(
    judged: &'j Judged,
    finding: &'j Finding,
    window: &Range<usize>,
) -> Snippet<'j, annotate_snippets::Annotation<'j>> {
    let source = judged.input.text.get(window.clone()).unwrap_or_default();
    let within = |span: Span| (span.start - window.start)..(span.end - window.start);
    let labels = finding
        .labels
        .iter()
        .map(|label| AnnotationKind::Context.span(within(label.span)).label(label.text.as_str()));
    Snippet::source(source)
        .path(judged.input.name.as_str())
        .line_start(judged.position(window.start).line)
        .annotation(AnnotationKind::Primary.span(within(finding.span)))
        .annotations(labels)
}

/// The whole lines that a finding and its labels are on; None where that is too much to show.
fn window(judged: &Judged, finding: &Finding) -> Option<Range<usize>> {
    let text = judged.input.text.as_str();
    let spans = || std::iter::once(finding.span).chain(finding.labels.iter().map(|label| label.span));
    let first = spans().map(|span| span.start).min()?;
    let last = spans().map(|span| span.end).max()?;
    let start = text.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
    let end = last + text.get(last..)?.find('\n').unwrap_or(text.len() - last);
    (end - start <= SHOWN).then_some(start..end)
}

/// The last line where several inputs were given.
pub(crate) fn total(tally: &Tally, failures: usize) -> String {
    let domains = if tally.judged == 1 { "domain" } else { "domains" };
    let unread = if failures == 0 { String::new() } else { format!(", {failures} could not be read") };
    format!("{} {domains}, {} with errors{unread}: {tally}\n", tally.judged, tally.refused)
}

/// How much was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Inputs.
    pub(crate) judged: usize,
    /// Those with errors.
    pub(crate) refused: usize,
    errors: usize,
    warnings: usize,
    notes: usize,
    safe_fixes: usize,
    unsafe_fixes: usize,
}

impl Tally {
    pub(crate) fn of(judged: &Judged) -> Self {
        let fixes = |safety| {
            let fixes = judged.findings.iter().filter_map(|finding| finding.fix.as_ref());
            fixes.filter(|fix| fix.safety == safety).count()
        };
        let errors = judged.count(Severity::Error);
        Self {
            judged: 1,
            refused: usize::from(errors > 0),
            errors,
            warnings: judged.count(Severity::Warning),
            notes: judged.count(Severity::Note),
            safe_fixes: fixes(Safety::Safe),
            unsafe_fixes: fixes(Safety::Unsafe),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.judged += other.judged;
        self.refused += other.refused;
        self.errors += other.errors;
        self.warnings += other.warnings;
        self.notes += other.notes;
        self.safe_fixes += other.safe_fixes;
        self.unsafe_fixes += other.unsafe_fixes;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let mut separator = "";
        for (number, word) in counted.into_iter().filter(|(number, _)| *number > 0) {
            let plural = if number == 1 { "" } else { "s" };
            write!(f, "{separator}{number} {word}{plural}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            return f.write_str("nothing found");
        }
        match (self.safe_fixes, self.unsafe_fixes) {
            (0, 0) => Ok(()),
            (safe, 0) => write!(f, "; `sevirt fix` mends {safe}"),
            (0, other) => write!(f, "; `sevirt fix --unsafe` mends {other}"),
            (safe, other) => write!(f, "; `sevirt fix` mends {safe}, `sevirt fix --unsafe` {other} more"),
        }
    }
}
