//! Findings for people: the place in the source with what is wrong there, what it means, and the mend.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use domain::Span;
use rules::{Finding, Safety, Severity};

use super::Judged;

/// More of the source than this is not shown for one finding; some domains have no line ends.
const SHOWN: usize = 16 * 1024;
/// More findings than this are counted, not shown.
const LISTED: usize = 200;

/// All that was found about one input, with escape sequences for colour.
pub(crate) fn render(judged: &Judged) -> String {
    let renderer = Renderer::styled();
    let mut out = String::new();
    for finding in judged.findings.iter().take(LISTED) {
        let _ = writeln!(out, "{}\n", renderer.render(&report(judged, finding)));
    }
    if let Some(more) = judged.findings.len().checked_sub(LISTED).filter(|more| *more > 0) {
        let _ = writeln!(out, "{}: {more} more findings are not shown", judged.input.name);
    }
    for finding in &judged.allowed {
        let place = judged.position(finding.span.start);
        let Finding { code, name, message, .. } = finding;
        let _ = writeln!(out, "{}:{place}: allowed: {code} {name}: {message}", judged.input.name);
    }
    let _ = writeln!(out, "{}", summary(judged));
    out
}

fn report<'j>(judged: &'j Judged, finding: &'j Finding) -> Vec<Group<'j>> {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level.primary_title(&finding.message).id(format!("{} {}", finding.code, finding.name));
    let mut group = match window(judged, finding) {
        Some(window) => title.element(snippet(judged, finding, &window)),
        None => {
            let place = judged.position(finding.span.start);
            let origin = annotate_snippets::Origin::path(judged.input.name.as_str());
            title.element(origin.line(place.line).char_column(place.column))
        }
    };
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help));
    }
    if let Some(fix) = &finding.fix {
        let how = match fix.safety {
            Safety::Safe => "`sevirt fix`",
            Safety::Unsafe => "`sevirt fix --unsafe`",
        };
        let message = format!("{} ({how} does it)", fix.title);
        group = group.element(Level::HELP.with_name("fix").message(message));
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

fn summary(judged: &Judged) -> String {
    let name = &judged.input.name;
    let counts: Vec<String> =
        [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")]
            .into_iter()
            .filter_map(|(severity, word)| match judged.count(severity) {
                0 => None,
                1 => Some(format!("1 {word}")),
                number => Some(format!("{number} {word}s")),
            })
            .collect();
    if counts.is_empty() {
        return format!("{name}: nothing found");
    }
    let fixes = |safety| {
        judged
            .findings
            .iter()
            .filter_map(|finding| finding.fix.as_ref())
            .filter(|fix| fix.safety == safety)
            .count()
    };
    let fixable = match (fixes(Safety::Safe), fixes(Safety::Unsafe)) {
        (0, 0) => String::new(),
        (safe, 0) => format!("; `sevirt fix` mends {safe}"),
        (0, other) => format!("; `sevirt fix --unsafe` mends {other}"),
        (safe, other) => format!("; `sevirt fix` mends {safe}, `sevirt fix --unsafe` {other} more"),
    };
    format!("{name}: {}{fixable}", counts.join(", "))
}
