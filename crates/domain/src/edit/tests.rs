//! What each edit does to the bytes, by example and for any document.

use super::*;
use crate::Document;
use expect_test::{Expect, expect};
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, edit: impl Fn(Element<'_>) -> Edit, expected: &Expect) {
    let document = Document::parse(text).unwrap();
    let edited = document.apply(&[edit(document.root())]).unwrap();
    expected.assert_eq(edited.text());
}

fn backend() -> NewElement {
    NewElement::new("backend").attribute("model", "random").text("/dev/urandom")
}

#[test]
fn attributes_are_replaced_in_their_quotes_added_and_removed() {
    let text = "<a  b=\"1\"\n   c='2' />";
    check(
        text,
        |root| Edit::set_attribute(root, "b", "it's \"<\""),
        &expect![[r#"
        <a  b="it's &quot;&lt;&quot;"
           c='2' />"#]],
    );
    check(
        text,
        |root| Edit::set_attribute(root, "d", "3"),
        &expect![[r#"
        <a  b="1"
           c='2' d='3' />"#]],
    );
    check("<a/>", |root| Edit::set_attribute(root, "d", "3"), &expect!["<a d='3'/>"]);
    check(
        text,
        |root| Edit::remove_attribute(root, "b").unwrap(),
        &expect![[r#"
        <a
           c='2' />"#]],
    );
    let document = Document::parse(text).unwrap();
    assert_eq!(Edit::remove_attribute(document.root(), "z"), None);
}

#[test]
fn text_replaces_content() {
    check("<a>old<b/></a>", |root| Edit::set_text(root, "1 < 2"), &expect!["<a>1 &lt; 2</a>"]);
    check("<a b='c' />", |root| Edit::set_text(root, "new"), &expect!["<a b='c'>new</a>"]);
}

#[test]
fn a_child_takes_its_siblings_indentation_and_line_end() {
    let text = "<a>\r\n\t<b/> <!-- about b -->\r\n</a>\r\n";
    check(
        text,
        |root| Edit::insert_child(root, &backend()),
        &expect![[
            "<a>\r\n\t<b/> <!-- about b -->\r\n\t<backend model='random'>/dev/urandom</backend>\r\n</a>\r\n"
        ]],
    );
}

#[test]
fn a_child_of_an_empty_element_gets_a_line_if_the_element_has_one() {
    let text = "<domain>\n    <devices>\n        <rng model='virtio'/>\n    </devices>\n</domain>\n";
    let rng = |root: Element<'_>| {
        let rng = root.child("devices").unwrap().child("rng").unwrap();
        Edit::insert_child(rng, &backend())
    };
    check(
        text,
        rng,
        &expect![[r#"
        <domain>
            <devices>
                <rng model='virtio'>
                    <backend model='random'>/dev/urandom</backend>
                </rng>
            </devices>
        </domain>
    "#]],
    );
    check(
        "<a><devices><rng/></devices></a>",
        rng,
        &expect!["<a><devices><rng><backend model='random'>/dev/urandom</backend></rng></devices></a>"],
    );
    check(
        "<a>\n  <devices>\n    <rng></rng>\n  </devices>\n</a>",
        rng,
        &expect![[r#"
        <a>
          <devices>
            <rng>
              <backend model='random'>/dev/urandom</backend>
            </rng>
          </devices>
        </a>"#]],
    );
}

#[test]
fn siblings_get_lines_of_their_own_and_name_keeps_its_line() {
    let text = "<domain>\n  <name>x</name> <!-- the name -->\n  <vcpu>1</vcpu>\n</domain>\n";
    let locked = NewElement::new("memoryBacking").child(NewElement::new("locked"));
    check(
        text,
        |root| Edit::insert_after(root.child("name").unwrap(), &locked),
        &expect![[r#"
        <domain>
          <name>x</name> <!-- the name -->
          <memoryBacking>
            <locked/>
          </memoryBacking>
          <vcpu>1</vcpu>
        </domain>
    "#]],
    );
    check(
        text,
        |root| Edit::insert_before(root.child("name").unwrap(), &locked),
        &expect![[r#"
        <domain>
          <memoryBacking>
            <locked/>
          </memoryBacking>
          <name>x</name> <!-- the name -->
          <vcpu>1</vcpu>
        </domain>
    "#]],
    );
}

#[test]
fn an_element_goes_with_its_line_only_if_it_is_alone_there() {
    let text = "<a>\n  <b>\n    <c/>\n  </b>\n  <d/><e/>\n</a>";
    check(
        text,
        |root| Edit::remove_element(root.child("b").unwrap()),
        &expect![[r#"
        <a>
          <d/><e/>
        </a>"#]],
    );
    check(
        text,
        |root| Edit::remove_element(root.child("d").unwrap()),
        &expect![[r#"
        <a>
          <b>
            <c/>
          </b>
          <e/>
        </a>"#]],
    );
}

#[test]
fn edits_at_one_place_keep_their_order_and_overlaps_are_refused() {
    let document = Document::parse("<a>\n  <b/>\n</a>").unwrap();
    let add = |name: &str| Edit::insert_child(document.root(), &NewElement::new(name));
    let edited = document.apply(&[add("x"), add("y")]).unwrap();
    assert_eq!(edited.text(), "<a>\n  <b/>\n  <x/>\n  <y/>\n</a>");
    let remove = Edit::remove_element(document.root().child("b").unwrap());
    assert!(matches!(document.apply(&[remove.clone(), remove]), Err(EditError::Overlap(..))));
    assert!(matches!(document.apply(&[Edit::insert(99, "x")]), Err(EditError::OutOfBounds(_))));
    assert!(matches!(document.apply(&[Edit::insert(3, "<")]), Err(EditError::IllFormed(_))));
}

/// Well-formed documents with the white space that people write.
fn tree() -> impl Strategy<Value = String> {
    let gap = prop::sample::select(vec!["", "\n", "\n  ", "\r\n\t", " ", " <!-- c -->\n ", "text", "&amp;"]);
    let tag = prop::sample::select(vec!["a", "b", "name", "é"]);
    let attributes = prop::sample::select(vec!["", " x='1'", "\n  x=\"é\" y='2'", " y='&lt;' "]);
    let leaf =
        (tag.clone(), attributes.clone()).prop_map(|(tag, attributes)| format!("<{tag}{attributes}/>"));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (tag.clone(), attributes.clone(), prop::collection::vec((gap.clone(), inner), 0..4), gap.clone())
            .prop_map(|(tag, attributes, children, last)| {
                let content: String =
                    children.iter().flat_map(|(gap, child)| [*gap, child.as_str()]).collect();
                format!("<{tag}{attributes}>{content}{last}</{tag}>")
            })
    })
    .prop_flat_map(|root| {
        prop::sample::select(vec!["", "\u{feff}", "<?xml version='1.0'?>\n"])
            .prop_map(move |prolog| format!("{prolog}{root}\n"))
    })
}

/// One of every kind of edit on an element that `choice` picks.
fn edit(document: &Document, kind: usize, choice: prop::sample::Index) -> Option<Edit> {
    let elements: Vec<_> = document.root().descendants().collect();
    let element = elements[choice.index(elements.len())];
    let new = NewElement::new("new").attribute("n", "<'&").child(NewElement::new("in").text("a<b"));
    Some(match kind {
        0 => Edit::set_attribute(element, "x", "a'b\"&\n"),
        1 => return Edit::remove_attribute(element, "x"),
        2 => Edit::set_text(element, "new & <text>"),
        3 => Edit::insert_child(element, &new),
        4 => Edit::insert_before(element, &new),
        5 => Edit::insert_after(element, &new),
        _ => {
            element.parent()?;
            Edit::remove_element(element)
        }
    })
}

/// PROPTEST_CASES may ask for more.
fn at_least(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(cases), ..config }
}

proptest! {
    #![proptest_config(at_least(2000))]

    #[test]
    fn only_the_named_bytes_change_and_undoing_restores_all(
        text in tree(), kind in 0..7_usize, choice in any::<prop::sample::Index>(),
    ) {
        let document = Document::parse(&text).unwrap();
        let Some(edit) = edit(&document, kind, choice) else { return Ok(()) };
        let edited = document.apply(std::slice::from_ref(&edit)).unwrap();
        let after = Span::new(edit.span.start, edit.span.start + edit.replacement.len());
        prop_assert_eq!(&edited.text()[..after.start], &text[..edit.span.start]);
        prop_assert_eq!(&edited.text()[after.end..], &text[edit.span.end..]);
        let undo = Edit::replace(after, edit.span.of(&text));
        let undone = edited.apply(&[undo]).unwrap();
        prop_assert_eq!(undone.text(), text.as_str());
    }

    #[test]
    fn an_edit_does_what_it_says(text in tree(), choice in any::<prop::sample::Index>()) {
        let document = Document::parse(&text).unwrap();
        let count = document.root().descendants().count();
        let index = choice.index(count);
        let element = document.root().descendants().nth(index).unwrap();
        let edited = document.apply(&[Edit::set_attribute(element, "x", "a'b\"&\n")]).unwrap();
        let same = edited.root().descendants().nth(index).unwrap();
        prop_assert_eq!(same.attribute("x").unwrap().value(), "a'b\"&\n");
        let edited = document.apply(&[Edit::insert_child(element, &NewElement::new("new"))]).unwrap();
        let same = edited.root().descendants().nth(index).unwrap();
        prop_assert_eq!(same.children().last().unwrap().name(), "new");
        prop_assert_eq!(edited.root().descendants().count(), count + 1);
    }
}
