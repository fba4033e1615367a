//! Findings for machines: one JSON array, whose objects are [`rules::Located`]. It is written piece by piece, so that
//! thousands of domains need no more memory than one.

use super::Judged;

/// What `docs/lint.md` describes.
#[derive(Debug, Default)]
pub(crate) struct Array {
    started: bool,
}

impl Array {
    /// The findings of one more input.
    pub(crate) fn add(&mut self, judged: &Judged) -> anyhow::Result<String> {
        let mut text = String::new();
        for finding in &judged.findings {
            let object = serde_json::to_string_pretty(&judged.located(finding))?;
            text.push_str(self.separator());
            text.push_str(&indented(&object, "  "));
        }
        Ok(text)
    }

    fn separator(&mut self) -> &'static str {
        let separator = if self.started { ",\n" } else { "[\n" };
        self.started = true;
        separator
    }

    pub(crate) fn end(&self) -> &'static str {
        if self.started { "\n]\n" } else { "[]\n" }
    }
}

/// Pretty-printed JSON further in. No string of JSON has a line end in it.
pub(super) fn indented(json: &str, by: &str) -> String {
    format!("{by}{}", json.replace('\n', &format!("\n{by}")))
}
