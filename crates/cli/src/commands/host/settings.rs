//! What `host enable` and `host disable` share: showing a plan and carrying it out.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use host::Root;
use host::settings::{Direction, Plan};

use crate::facts;
use crate::render::{diff, print};
use crate::style;

/// Which tree, and whether to write.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// Write it; without this nothing is changed
    #[arg(long)]
    apply: bool,
    /// Change the files below this directory instead of this machine's; no program is run then
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl SettingsArgs {
    pub(super) fn root(&self) -> anyhow::Result<Root> {
        facts::root(self.root.as_deref())
    }

    /// Shows a plan, and carries it out when that was asked for.
    pub(super) fn carry_out(
        &self,
        plan: &Plan,
        direction: Direction,
        nothing: &str,
    ) -> anyhow::Result<ExitCode> {
        let root = self.root()?;
        let mut shown = String::new();
        for change in &plan.changes {
            let text = |content: &Option<Vec<u8>>| {
                String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned()
            };
            let name = change.path.display().to_string();
            shown += &style::diff(&diff::unified(&name, &text(&change.before), &text(&change.after)));
        }
        print(&shown)?;
        if plan.is_empty(direction) {
            style::note(&nothing);
        }
        for regeneration in &plan.regenerations {
            style::note(&self.about(&root, regeneration));
        }
        if self.apply {
            plan.apply(&root, direction)
                .context("carry it out; `sevirt host disable` takes back what was written")?;
        } else if !plan.is_empty(direction) {
            style::note(&"nothing was changed; `--apply` does it");
        }
        for note in &plan.notes {
            style::note(note);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What becomes of one `grub.cfg`.
    fn about(&self, root: &Root, regeneration: &host::settings::Regeneration) -> String {
        let config = regeneration.config.display();
        let mut text = String::new();
        // Writing to a string can not fail.
        let _ = match regeneration.shown() {
            None => write!(
                text,
                "`{config}` has to be made anew by hand: neither update-grub, grub2-mkconfig nor grub-mkconfig is here"
            ),
            Some(command) if !root.is_live() => {
                write!(
                    text,
                    "`{config}` has to be made anew by `{command}` on that system; no program is run here"
                )
            }
            Some(command) if self.apply => write!(text, "`{config}` is made anew by `{command}`"),
            Some(command) => write!(text, "then `{config}` is made anew by `{command}`"),
        };
        text
    }
}
