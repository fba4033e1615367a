//! Handles, spans and texts of the document.

use super::*;

const DOMAIN: &str = "\u{feff}<?xml version='1.0'?>\r\n<domain type='kvm' xmlns:q=\"urn:q\">\r\n  <!-- kept -->\r\n  <name>a&amp;b</name>\r\n  <q:x a='1\t2&#9;3'/>\r\n</domain>\r\n";

#[test]
fn handles_read_names_values_and_spans() {
    let document = Document::parse(DOMAIN).unwrap();
    let root = document.root();
    assert_eq!(document.text(), DOMAIN);
    assert_eq!(root.name(), "domain");
    assert_eq!(root.attribute("type").unwrap().span().of(DOMAIN), "type='kvm'");
    assert_eq!(root.attribute("type").unwrap().value_span().of(DOMAIN), "kvm");
    let name = root.child("name").unwrap();
    assert_eq!(name.text(), "a&b");
    assert_eq!(name.text_span().of(DOMAIN), "a&amp;b");
    assert_eq!(name.parent(), Some(root));
    let x = root.children().nth(1).unwrap();
    assert_eq!((x.name(), x.local_name()), ("q:x", "x"));
    assert_eq!(x.namespace().as_deref(), Some("urn:q"));
    assert_eq!(root.namespace(), None);
    assert_eq!(x.attribute("a").unwrap().value(), "1 2\t3");
    assert_eq!(x.text_span(), x.span());
    assert_eq!(document.position(x.span().start), Position { line: 5, column: 3 });
}

#[test]
fn text_joins_pieces_around_comments_and_sections() {
    let document = Document::parse("<a>one <!-- no -->&#x32;<b>not</b><![CDATA[ <3\r\n]]>\r</a>").unwrap();
    assert_eq!(document.root().text(), "one 2 <3\n\n");
    assert_eq!(
        document.root().text_span().of(document.text()),
        "one <!-- no -->&#x32;<b>not</b><![CDATA[ <3\r\n]]>"
    );
}

#[test]
fn descendants_come_in_document_order_and_stop_at_the_end() {
    let document = Document::parse("<a><b><c/>t</b><d/></a>").unwrap();
    let names = |element: Element<'_>| element.descendants().map(|e| e.name().to_owned()).collect::<String>();
    assert_eq!(names(document.root()), "abcd");
    assert_eq!(names(document.root().child("b").unwrap()), "bc");
}

#[test]
fn element_at_finds_the_innermost() {
    let text = "<a><b c='d'/></a>";
    let document = Document::parse(text).unwrap();
    let at = text.find("c=").unwrap();
    assert_eq!(document.element_at(Span::new(at, at + 1)).unwrap().name(), "b");
    assert_eq!(document.element_at(Span::new(0, 1)).unwrap().name(), "a");
    assert_eq!(document.element_at(Span::new(90, 91)), None);
}
