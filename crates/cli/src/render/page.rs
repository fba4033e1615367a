//! A rule's page. In a pipe it is the Markdown that it is written in; on a terminal it is set: headings and section names
//! stand out, text is wrapped, examples are indented.

use anstyle::{AnsiColor, Style};

use crate::style::Look;

const HEADING: Style = Style::new().bold().underline();
const STRONG: Style = Style::new().bold();
const CODE: Style = AnsiColor::Cyan.on_default();
/// Lines of text are no longer than this, however wide the terminal.
const WIDEST: usize = 100;

pub(crate) fn render(markdown: &str, look: Look) -> String {
    let Some(width) = look.width else { return markdown.to_owned() };
    let look = Look { colour: look.colour, width: Some(width.min(WIDEST)) };
    let mut out = String::new();
    let mut in_example = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            in_example = !in_example;
        } else if in_example {
            out.push_str(&format!("    {}\n", styled(line, CODE, look)));
        } else if let Some(heading) = line.strip_prefix("## ") {
            out.push_str(&format!("{}\n", styled(heading, HEADING, look)));
        } else {
            // Marks take no place, so that lines with some come out a little short.
            out.push_str(&marked(&look.wrap(line, 0), look));
            out.push('\n');
        }
    }
    out
}

fn styled(text: &str, style: Style, look: Look) -> String {
    if look.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// `**strong**` and `` `code` `` without their marks.
fn marked(text: &str, look: Look) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['*', '`']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (mark, style) = if from.starts_with("**") { ("**", STRONG) } else { ("`", CODE) };
        let inner = from.strip_prefix(mark).and_then(|inner| inner.split_once(mark));
        match inner {
            Some((inner, after)) => {
                out.push_str(&styled(inner, style, look));
                rest = after;
            }
            None => {
                let mut letters = from.chars();
                out.extend(letters.next());
                rest = letters.as_str();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## DEV001 rng\n\n**What.** An `<rng>` of which there is more to say than fits.\n\n```xml\n<rng>\n  **\n</rng>\n```\n";

    #[test]
    fn a_pipe_gets_markdown() {
        assert_eq!(render(PAGE, Look { colour: false, width: None }), PAGE);
    }

    #[test]
    fn a_terminal_gets_text() {
        let text = render(PAGE, Look { colour: false, width: Some(44) });
        assert_eq!(
            text,
            "DEV001 rng\n\nWhat. An <rng> of which there is more\nto say than fits.\n\n    <rng>\n      **\n    </rng>\n"
        );
        let coloured = render(PAGE, Look { colour: true, width: Some(80) });
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string().lines().next(), Some("DEV001 rng"));
        assert!(coloured.contains("\u{1b}["));
    }

    #[test]
    fn a_lonely_mark_is_a_letter() {
        assert_eq!(marked("2 * 3 ` 4", Look { colour: false, width: Some(80) }), "2 * 3 ` 4");
    }
}
