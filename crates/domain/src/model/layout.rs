//! An element in the layout that libvirt gives to what it keeps for applications: an element a line, two spaces a level,
//! double quotes, declarations of namespaces first.

use std::fmt::Write as _;

use crate::{Element, syntax::decode};

/// The element laid out, its first line not indented; as it was written where that has comments, or text beside
/// elements, since white space may mean something there. Declarations of namespaces that it needs from around it are
/// added to it.
pub fn laid_out(element: Element<'_>) -> String {
    let raw = element.span().of(element.document().text());
    let inherited = inherited_namespaces(element, raw);
    let is_plain = !raw.contains("<!--") && !raw.contains("<?") && !raw.contains("<![CDATA[");
    if !is_plain || !element.descendants().all(is_free) {
        let at = element.name_span().end - element.span().start;
        let (start, rest) = raw.split_at_checked(at).unwrap_or((raw, ""));
        return format!("{start}{inherited}{rest}");
    }
    let mut out = String::with_capacity(raw.len() * 2);
    print(element, &inherited, 0, &mut out);
    out
}

/// Whether white space beside the element's children means nothing.
fn is_free(element: Element<'_>) -> bool {
    element.attribute("xml:space").is_none()
        && (element.children().next().is_none() || element.text().trim().is_empty())
}

/// Declarations from around the element of prefixes that are used in it.
fn inherited_namespaces(element: Element<'_>, raw: &str) -> String {
    let mut out = String::new();
    for outer in element.ancestors().skip(1) {
        for attribute in outer.attributes() {
            let Some(prefix) = attribute.name().strip_prefix("xmlns:") else { continue };
            let is_used = raw.contains(&format!("{prefix}:"));
            let is_declared = element.attribute(attribute.name()).is_some()
                || out.contains(&format!(" {}=", attribute.name()));
            if is_used && !is_declared {
                // Writing into a string cannot fail.
                let _ = write!(
                    out,
                    " {}=\"{}\"",
                    attribute.name(),
                    decode::escape_attribute(&attribute.value(), '"')
                );
            }
        }
    }
    out
}

/// Depth is bounded by the document's.
fn print(element: Element<'_>, declarations: &str, depth: usize, out: &mut String) {
    out.push('<');
    out.push_str(element.name());
    let is_declaration = |name: &str| name == "xmlns" || name.starts_with("xmlns:");
    out.push_str(declarations);
    for wanted in [true, false] {
        for attribute in element.attributes().filter(|one| is_declaration(one.name()) == wanted) {
            let value = decode::escape_attribute(&attribute.value(), '"');
            let _ = write!(out, " {}=\"{value}\"", attribute.name());
        }
    }
    let text = element.text();
    if element.children().next().is_some() {
        out.push('>');
        for child in element.children() {
            line(out, depth + 1);
            print(child, "", depth + 1, out);
        }
        line(out, depth);
    } else if text.is_empty() {
        out.push_str("/>");
        return;
    } else {
        out.push('>');
        out.push_str(&decode::escape_text(&text));
    }
    let _ = write!(out, "</{}>", element.name());
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::Document;

    fn check(xml: &str, expected: &Expect) {
        let document = Document::parse(xml).unwrap();
        let Some(child) = document.root().children().next() else { panic!("no child") };
        let once = laid_out(child);
        expected.assert_eq(&once);
        let again = Document::parse(&once).unwrap();
        assert_eq!(laid_out(again.root()), once, "it is laid out already");
    }

    #[test]
    fn elements_get_a_line_each() {
        check(
            "<metadata><a b='1' xmlns:x='u'><x:c/>\n<d e='&quot;&lt;'>f &amp; g</d></a></metadata>",
            &expect![[r#"
                <a xmlns:x="u" b="1">
                  <x:c/>
                  <d e="&quot;&lt;">f &amp; g</d>
                </a>"#]],
        );
    }

    #[test]
    fn what_space_means_something_in_stays() {
        check("<m><a>text <b/>\n</a></m>", &expect!["<a>text <b/>\n</a>"]);
        check("<m><a><!-- c -->\n  <b/></a></m>", &expect!["<a><!-- c -->\n  <b/></a>"]);
    }

    #[test]
    fn prefixes_stay_declared() {
        check("<m xmlns:x='u' xmlns:y='v'><x:a/></m>", &expect![[r#"<x:a xmlns:x="u"/>"#]]);
        check("<m xmlns:x='u'><x:a><!-- --></x:a></m>", &expect![[r#"<x:a xmlns:x="u"><!-- --></x:a>"#]]);
    }
}
