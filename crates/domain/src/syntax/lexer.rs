//! Text to tokens. The tokens of a well-formed text cover every byte of it, in order, without gaps.

use super::{Fault, cursor::Cursor, declaration, decode, tag};
use crate::span::Span;

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) span: Span,
    pub(crate) kind: TokenKind,
}

#[derive(Debug)]
pub(crate) enum TokenKind {
    ByteOrderMark,
    Declaration,
    Instruction,
    Comment,
    Text,
    CData { content: Span },
    StartTag(tag::StartTag),
    EndTag { name: Span },
}

/// Yields tokens until the text ends or a fault was found.
#[derive(Debug)]
pub(crate) struct Lexer<'t> {
    cursor: Cursor<'t>,
    failed: bool,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { cursor: Cursor { text, at: 0 }, failed: false }
    }

    fn token(&mut self) -> Result<TokenKind, Fault> {
        let open = self.cursor.at;
        if open == 0 && self.cursor.eat("\u{feff}") {
            return Ok(TokenKind::ByteOrderMark);
        }
        if !self.cursor.eat("<") {
            return self.text();
        }
        if self.cursor.eat("/") {
            return tag::end(&mut self.cursor).map(|name| TokenKind::EndTag { name });
        }
        if self.cursor.eat("?") {
            return self.instruction(open);
        }
        if self.cursor.eat("!") {
            return self.exclamation(open);
        }
        tag::start(&mut self.cursor).map(TokenKind::StartTag)
    }

    fn text(&mut self) -> Result<TokenKind, Fault> {
        let start = self.cursor.at;
        let rest = self.cursor.rest();
        let text = rest.get(..rest.find('<').unwrap_or(rest.len())).unwrap_or_default();
        self.cursor.at += text.len();
        if text.bytes().all(|byte| !matches!(byte, b']' | b'&')) {
            return Ok(TokenKind::Text);
        }
        if let Some(offset) = text.find("]]>") {
            let at = start + offset;
            return Err(Fault::new(at, at + 3, "`]]>` is not allowed in text: write `]]&gt;`"));
        }
        decode::check_references(text, start)?;
        Ok(TokenKind::Text)
    }

    fn instruction(&mut self, open: usize) -> Result<TokenKind, Fault> {
        let first = open == 0 || (open == 3 && self.cursor.text.starts_with('\u{feff}'));
        let rest = self.cursor.rest();
        let declares =
            rest.strip_prefix("xml").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n', '?']));
        if first && declares {
            self.cursor.at += "xml".len();
            declaration::declaration(&mut self.cursor)?;
            return Ok(TokenKind::Declaration);
        }
        declaration::instruction(&mut self.cursor, open)?;
        Ok(TokenKind::Instruction)
    }

    fn exclamation(&mut self, open: usize) -> Result<TokenKind, Fault> {
        if self.cursor.eat("--") {
            let Some(content) = self.cursor.skip_past("--") else {
                return Err(Fault::new(open, open + 4, "the comment is not closed by `-->`"));
            };
            return if self.cursor.eat(">") {
                Ok(TokenKind::Comment)
            } else {
                Err(Fault::new(content.end, content.end + 2, "`--` is not allowed inside a comment"))
            };
        }
        if self.cursor.eat("[CDATA[") {
            return match self.cursor.skip_past("]]>") {
                Some(content) => Ok(TokenKind::CData { content }),
                None => Err(Fault::new(open, self.cursor.at, "the CDATA section is not closed by `]]>`")),
            };
        }
        if self.cursor.eat("DOCTYPE") {
            let rest = self.cursor.rest();
            let end = self.cursor.at + rest.find(['>', '[', '\n']).unwrap_or(rest.len());
            return Err(Fault::new(
                open,
                end,
                "a document type declaration is refused: a domain needs none, and its entities could exhaust memory",
            ));
        }
        Err(Fault::new(open, self.cursor.at, "`<!` starts neither a comment nor a CDATA section"))
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<Token, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.cursor.at;
        if self.failed || start >= self.cursor.text.len() {
            return None;
        }
        let token = self.token();
        self.failed = token.is_err();
        Some(token.map(|kind| Token { span: Span::new(start, self.cursor.at), kind }))
    }
}
