//! What a document says beyond the model, kept so that a printed domain says it too.
//!
//! Reading collects it ([`Kept`] at the domain and at each device, so that it goes where the device goes), printing puts
//! it back where it was: an attribute to its element, an element below its parent, after what the model knows. Comments
//! and white space between elements are not kept, but for those inside of what is kept.

/// What one element and those below it have beyond the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    pieces: Vec<Piece>,
}

/// One attribute or one element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The way to its element, or to the parent of it, from the element that the [`Kept`] belongs to.
    pub(super) path: Vec<Step>,
    pub(super) what: What,
}

/// One step down: the child of that name, counted among those of that name that the model knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) index: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Attribute {
        name: String,
        value: String,
    },
    /// An element beside others.
    Element(Raw),
    /// An element of which there is one at most, so that it stands in place of the model's.
    Only {
        name: String,
        raw: Raw,
    },
    /// An element in place of the model's, which is the last step of the path.
    Instead(Raw),
}

impl Kept {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

/// An element as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    /// Without the indentation that it had, where white space can be changed.
    lines: Vec<String>,
    /// Its line breaks mean something, or may do.
    is_verbatim: bool,
}

impl Raw {
    pub(super) fn new(xml: &str) -> Self {
        if !has_free_layout(xml) {
            return Self { lines: vec![xml.to_owned()], is_verbatim: true };
        }
        // The end tag stands where the start tag stood.
        let last = xml.lines().next_back().unwrap_or_default();
        let indent = last.get(..last.len() - last.trim_start().len()).unwrap_or_default();
        let lines = xml.lines().enumerate().map(|(at, line)| {
            let line = line.trim_end();
            let shared = if at == 0 { "" } else { common_prefix(line, indent) };
            line.strip_prefix(shared).unwrap_or(line).to_owned()
        });
        Self { lines: lines.collect(), is_verbatim: false }
    }

    /// The element, without a line break at its end; its first line is indented already.
    pub(super) fn print_into(&self, out: &mut String, indent: &str) {
        for (at, line) in self.lines.iter().enumerate() {
            if at > 0 {
                out.push('\n');
                if !self.is_verbatim && !line.is_empty() {
                    out.push_str(indent);
                }
            }
            out.push_str(line);
        }
    }
}

/// Whether every line break stands between tags, where it means nothing.
fn has_free_layout(xml: &str) -> bool {
    if xml.contains("<![CDATA[") || xml.contains("xml:space") {
        return false;
    }
    xml.match_indices('\n').all(|(at, _)| {
        let before = xml.get(..at).unwrap_or_default().trim_end();
        let after = xml.get(at..).unwrap_or_default().trim_start();
        before.ends_with('>') && after.starts_with('<')
    })
}

fn common_prefix<'l>(line: &'l str, indent: &str) -> &'l str {
    let length = line.bytes().zip(indent.bytes()).take_while(|(a, b)| a == b).count();
    line.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(xml: &str, indent: &str) -> String {
        let mut out = indent.to_owned();
        Raw::new(xml).print_into(&mut out, indent);
        out + "\n"
    }

    #[test]
    fn layout_follows_the_place_and_meaning_stays() {
        let written = "<a>\n        <b>x</b>\n\n          <c/>\n      </a>";
        assert_eq!(printed(written, "  "), "  <a>\n    <b>x</b>\n\n      <c/>\n  </a>\n");
        for verbatim in ["<a>x\n   y</a>", "<a\n  b='1'/>", "<a><![CDATA[>\n  <]]></a>"] {
            assert_eq!(printed(verbatim, "    "), format!("    {verbatim}\n"));
        }
    }

    #[test]
    fn what_was_printed_is_printed_the_same_again() {
        for xml in ["<a>\n  <b/>\n</a>", "<a>\n<b/>\n      <c/>\n    </a>", "<a>\n\t<b/>\n  </a>", "<a/>"] {
            let once = printed(xml, "    ");
            assert_eq!(printed(once.trim(), "    "), once);
        }
    }
}
