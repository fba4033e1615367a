//! `sevirt explain [RULE]`: a rule's page, or the list of rules.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::render::print;

/// Explain a rule: what it looks for, why that is bad, how it is mended
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  sevirt explain\n  sevirt explain SEV004")]
pub(crate) struct Args {
    /// The rule's code or name; without one, all rules are listed
    #[arg(value_name = "RULE")]
    rule: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let page = match &args.rule {
        Some(word) => {
            let rule = rules::rule(word)
                .with_context(|| format!("there is no rule `{word}`; `sevirt explain` lists them"))?;
            rules::docs::rule_page(rule)
        }
        None => rules::all()
            .into_iter()
            .map(|rule| format!("{:<8}{:<9}{}\n", rule.code, rule.severity.to_string(), rule.name))
            .collect(),
    };
    print(&page)?;
    Ok(ExitCode::SUCCESS)
}
