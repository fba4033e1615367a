//! Start tags, empty-element tags and end tags (XML 1.0 §3.1).

use super::{Fault, MAX_ATTRIBUTES, cursor::Cursor, decode};
use crate::span::Span;

/// A start tag's parts.
#[derive(Debug)]
pub(crate) struct StartTag {
    pub(crate) name: Span,
    pub(crate) attributes: Vec<AttributeSpans>,
    /// `<name/>`: the element ends here.
    pub(crate) empty: bool,
}

/// Where an attribute's parts are; the value's span is without its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttributeSpans {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl AttributeSpans {
    /// From the name to the closing quote.
    pub(crate) fn span(self) -> Span {
        Span::new(self.name.start, self.value.end + 1)
    }
}

/// Reads a start tag; the cursor stands after its `<`.
pub(crate) fn start(cursor: &mut Cursor<'_>) -> Result<StartTag, Fault> {
    let open = cursor.at.saturating_sub(1);
    let name = cursor.qualified_name("an element's name after `<`")?;
    let mut attributes = Vec::new();
    loop {
        let spaced = cursor.skip_space();
        if cursor.eat(">") {
            return Ok(StartTag { name, attributes, empty: false });
        }
        if cursor.eat("/>") {
            return Ok(StartTag { name, attributes, empty: true });
        }
        if cursor.peek().is_none() || cursor.peek() == Some(b'<') {
            return Err(cursor
                .unexpected("expected `>` at the end of the tag")
                .label(Span::new(open, name.end), "the tag starts here"));
        }
        if !spaced {
            return Err(cursor.unexpected("expected white space, `>` or `/>`"));
        }
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(Fault::new(
                open,
                cursor.at,
                format!("the element has more than {MAX_ATTRIBUTES} attributes"),
            ));
        }
        attributes.push(attribute(cursor)?);
    }
}

/// Reads `name = "value"`, as the XML declaration uses it as well.
pub(crate) fn attribute(cursor: &mut Cursor<'_>) -> Result<AttributeSpans, Fault> {
    let name = cursor.qualified_name("an attribute's name")?;
    cursor.skip_space();
    if !cursor.eat("=") {
        return Err(cursor.unexpected("expected `=` after the attribute's name"));
    }
    cursor.skip_space();
    let open = cursor.at;
    let Some(quote) = cursor.peek().filter(|byte| matches!(byte, b'"' | b'\'')) else {
        return Err(cursor.unexpected("expected the attribute's value in quotes"));
    };
    cursor.at += 1;
    let Some(length) = cursor.rest().bytes().position(|byte| byte == quote) else {
        return Err(Fault::new(open, open + 1, "the attribute's value has no closing quote"));
    };
    let value = Span::new(cursor.at, cursor.at + length);
    cursor.at = value.end + 1;
    let text = value.of(cursor.text);
    if text.bytes().all(|byte| !matches!(byte, b'<' | b'&')) {
        return Ok(AttributeSpans { name, value });
    }
    if let Some(offset) = text.find('<') {
        let at = value.start + offset;
        return Err(Fault::new(at, at + 1, "`<` is not allowed in an attribute's value: write `&lt;`")
            .label(Span::new(open, open + 1), "the value starts here"));
    }
    decode::check_references(text, value.start)?;
    Ok(AttributeSpans { name, value })
}

/// Reads an end tag's name; the cursor stands after its `</`.
pub(crate) fn end(cursor: &mut Cursor<'_>) -> Result<Span, Fault> {
    let name = cursor.qualified_name("an element's name after `</`")?;
    cursor.skip_space();
    if cursor.eat(">") { Ok(name) } else { Err(cursor.unexpected("expected `>` at the end of the tag")) }
}
