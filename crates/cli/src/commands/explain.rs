//! `sevirt explain [RULE]`: a rule's page, or the list of rules.

use std::process::ExitCode;

use rules::{Rule, Severity, docs};

use crate::render::{Printer, page};
use crate::style;

/// Explain a rule: what it looks for, why that is bad, how it is mended
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt explain SEV004\n  sevirt explain rng-without-backend\n  \
                        sevirt explain --list")]
pub(crate) struct Args {
    /// The rule's code or name; without one, all rules are listed
    #[arg(value_name = "RULE")]
    rule: Option<String>,
    /// List all rules, about domains and about hosts
    #[arg(long, conflicts_with = "rule")]
    list: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = Printer::new();
    match &args.rule {
        Some(word) => match rules::rule(word) {
            Some(rule) => out.print(&page::render(&docs::rule_page(rule), out.look))?,
            None => anyhow::bail!("there is no rule `{word}`{}", suggestion(word)),
        },
        None => {
            for rule in rules::all() {
                out.print(&listed(rule, out.look.colour))?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn listed(rule: &Rule, colour: bool) -> String {
    let severity = format!("{:<9}", rule.severity.to_string());
    let style = match rule.severity {
        Severity::Error => style::ERROR,
        Severity::Warning => style::WARNING,
        Severity::Note => style::NOTE,
    };
    let severity = if colour { format!("{style}{severity}{style:#}") } else { severity };
    format!("{:<8}{severity}{}\n", rule.code, rule.name)
}

/// What was most likely meant, in words to append.
fn suggestion(word: &str) -> String {
    let lower = word.to_lowercase();
    // A slip of a key in a code, two or three in a name.
    let close = |candidate: &str| {
        let distance = distance(&lower, &candidate.to_lowercase());
        (distance <= 1 + candidate.len() / 6).then_some(distance)
    };
    let known = rules::all();
    let words = known.iter().flat_map(|rule| [rule.code, rule.name]);
    let nearest = words.filter_map(|word| Some((close(word)?, word))).min();
    let part = |rule: &&&Rule| lower.len() >= 3 && rule.name.contains(&lower);
    match (nearest, known.iter().find(part)) {
        (Some((_, word)), _) => format!("; did you mean `{word}`?"),
        (None, Some(rule)) => format!("; did you mean `{}`?", rule.name),
        (None, None) => "; `sevirt explain --list` lists them".to_owned(),
    }
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut next = vec![line + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let changed = at(&row, column) + usize::from(letter != *other);
            next.push(changed.min(at(&row, column + 1) + 1).min(at(&next, column) + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_recognised() {
        assert_eq!(distance("wrong-cbit", "wrong-c-bit"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(suggestion("wrong-cbit"), "; did you mean `wrong-c-bit`?");
        assert_eq!(suggestion("SEVO04"), "; did you mean `SEV004`?");
        assert_eq!(suggestion("backend"), "; did you mean `rng-without-backend`?");
        assert_eq!(suggestion("teapot"), "; `sevirt explain --list` lists them");
    }
}
