//! Enough of the shell's grammar to know what a file of assignments assigns, with the place of every byte.
//!
//! `/etc/default/grub` is sourced by a shell, so it is read here as a shell reads it: single and double quotes,
//! backslashes, `$NAME`, `+=`, comments, joined lines, several assignments on one line. What can not be known without
//! running it (a command substitution, an assignment inside an `if`) is not guessed: it is said to be unknown.
//!
//! The reference is POSIX.1-2017 XCU chapter 2, with `+=` and `export NAME=VALUE` as bash has them.

use std::ops::Range;

/// A statement that matters to variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// From 1.
    pub line: usize,
    pub kind: StatementKind,
    /// Whether it may not be carried out: it stands inside an `if`, a function, behind `&&`, …
    pub conditional: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    Assignment {
        name: String,
        /// `+=`
        append: bool,
        word: Word,
    },
    Unset(String),
    /// A command that may assign anything: `.`, `eval`, …
    Anything,
}

/// A word as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub span: Range<usize>,
    pub pieces: Vec<Piece>,
    /// Where more can be added to its end.
    pub end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Before a closing quote.
    Quoted(usize),
    /// What is added here has to be quoted.
    Bare(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// One byte of the value, and the bytes that stand for it: two for an escaped one.
    Byte(u8, Range<usize>),
    Variable(String),
    /// What only running it can tell.
    Unknown,
}

/// Why a file is not a shell script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what} is not closed")]
pub struct ShellError {
    pub line: usize,
    what: &'static str,
}

/// The statements of a script.
pub fn parse(text: &[u8]) -> Result<Vec<Statement>, ShellError> {
    let mut reader = Reader { text, at: 0, counted: (0, 1), nest: Vec::new(), found: Vec::new() };
    reader.script()?;
    Ok(reader.found)
}

/// How deep substitutions may nest.
const DEEPEST: usize = 64;

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// An offset and its line, from which lines are counted on.
    counted: (usize, usize),
    /// The compound commands around this place.
    nest: Vec<Compound>,
    found: Vec<Statement>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compound {
    Subshell,
    Case,
    /// Closed by a word of its own.
    Other,
}

/// What follows a simple command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Command,
    /// `&&`, `||`, `|`
    Conditional,
    End,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn sees(&self, what: &[u8]) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(what))
    }

    fn line(&mut self, at: usize) -> usize {
        let (from, line) = if at < self.counted.0 { (0, 1) } else { self.counted };
        let passed = self.text.get(from..at).unwrap_or_default();
        self.counted = (at, line + passed.iter().filter(|byte| **byte == b'\n').count());
        self.counted.1
    }

    fn unclosed(&mut self, at: usize, what: &'static str) -> ShellError {
        ShellError { line: self.line(at), what }
    }

    /// Blanks and joined lines. A carriage return is no blank to a shell.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if self.sees(b"\\\n") => self.at += 2,
                _ => return,
            }
        }
    }

    fn script(&mut self) -> Result<(), ShellError> {
        let mut conditional = false;
        loop {
            match self.command(conditional)? {
                Next::Command => conditional = false,
                Next::Conditional => conditional = true,
                Next::End => return Ok(()),
            }
        }
    }

    /// One simple command, or what stands between two.
    fn command(&mut self, conditional: bool) -> Result<Next, ShellError> {
        let line = self.line(self.at);
        let mut assignments = Vec::new();
        let mut words: Vec<Vec<u8>> = Vec::new();
        let next = loop {
            self.skip_blanks();
            let Some(byte) = self.peek() else { break Next::End };
            match byte {
                b'\n' | b';' => {
                    self.at += 1;
                    break Next::Command;
                }
                b'&' | b'|' => {
                    let double = self.text.get(self.at + 1) == Some(&byte);
                    self.at += if double { 2 } else { 1 };
                    break if byte == b'&' && !double { Next::Command } else { Next::Conditional };
                }
                b'#' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                b'(' => {
                    self.at += 1;
                    self.skip_blanks();
                    if !words.is_empty() && self.peek() == Some(b')') {
                        // A function's definition; its body follows.
                        self.at += 1;
                    } else {
                        self.nest.push(Compound::Subshell);
                    }
                    break Next::Command;
                }
                b')' => {
                    self.at += 1;
                    // An assignment inside is the subshell's own.
                    self.conclude(line, std::mem::take(&mut assignments), &words, conditional);
                    words.clear();
                    self.nest.pop_if(|inner| *inner == Compound::Subshell);
                    break Next::Command;
                }
                b'<' if self.sees(b"<<") => {
                    // The rest may be a here-document or may not be: nothing after this is known.
                    self.found.push(Statement { line, kind: StatementKind::Anything, conditional: true });
                    self.at = self.text.len();
                }
                b'<' | b'>' => self.at += 1,
                _ => {
                    let begin = self.at;
                    let declares = matches!(
                        words.first().map(Vec::as_slice),
                        Some(b"export" | b"readonly" | b"declare" | b"typeset")
                    );
                    if let Some((name, append)) = self.assigned_name(words.is_empty() || declares) {
                        let word = self.word()?;
                        let kind = StatementKind::Assignment { name, append, word };
                        assignments.push(Statement { line: self.line(begin), kind, conditional });
                        continue;
                    }
                    let word = self.word()?;
                    let plain = plain(&word);
                    if words.is_empty() && assignments.is_empty() && self.reserved(&plain) {
                        continue;
                    }
                    words.push(plain);
                }
            }
        };
        self.conclude(line, assignments, &words, conditional);
        Ok(next)
    }

    /// Whether it is a reserved word, after which a command begins; the depth follows it.
    fn reserved(&mut self, word: &[u8]) -> bool {
        match word {
            b"if" | b"while" | b"until" | b"{" => self.nest.push(Compound::Other),
            // What follows these is no command, but harmless as one.
            b"for" | b"select" => {
                self.nest.push(Compound::Other);
                return false;
            }
            b"case" => {
                self.nest.push(Compound::Case);
                return false;
            }
            b"fi" | b"done" | b"}" => {
                self.nest.pop_if(|inner| *inner == Compound::Other);
            }
            b"esac" => {
                self.nest.pop_if(|inner| *inner == Compound::Case);
            }
            b"then" | b"else" | b"elif" | b"do" | b"!" => {}
            _ => return false,
        }
        true
    }

    fn conclude(&mut self, line: usize, assignments: Vec<Statement>, words: &[Vec<u8>], conditional: bool) {
        let conditional = conditional || !self.nest.is_empty();
        let mut push = |kind| self.found.push(Statement { line, kind, conditional });
        match words.first().map(Vec::as_slice) {
            None | Some(b"export" | b"readonly" | b"declare" | b"typeset") => {
                let all = assignments.into_iter();
                self.found
                    .extend(all.map(|one| Statement { conditional: one.conditional || conditional, ..one }));
            }
            Some(b"unset") => {
                for name in words.iter().skip(1) {
                    push(StatementKind::Unset(String::from_utf8_lossy(name).into_owned()));
                }
            }
            Some(b"." | b"source" | b"eval" | b"read" | b"local") => push(StatementKind::Anything),
            // Assignments before a command are for that command only.
            Some(_) => {}
        }
    }

    /// `NAME=` or `NAME+=`, if that stands here; the value is next then.
    fn assigned_name(&mut self, allowed: bool) -> Option<(String, bool)> {
        let rest = self.text.get(self.at..).filter(|_| allowed)?;
        let length = name_length(rest);
        let (name, rest) = rest.split_at_checked(length).filter(|_| length > 0)?;
        let (append, sign) = if rest.starts_with(b"+=") { (true, 2) } else { (false, 1) };
        if !append && !rest.starts_with(b"=") {
            return None;
        }
        self.at += length + sign;
        Some((String::from_utf8_lossy(name).into_owned(), append))
    }

    fn word(&mut self) -> Result<Word, ShellError> {
        let start = self.at;
        let mut pieces = Vec::new();
        let mut end = End::Bare(start);
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' => break,
                b'\\' if self.sees(b"\\\n") => {
                    self.at += 2;
                    continue;
                }
                b'\\' => {
                    let escaped = self.text.get(self.at + 1).copied();
                    let length = if escaped.is_some() { 2 } else { 1 };
                    pieces.push(Piece::Byte(escaped.unwrap_or(b'\\'), self.at..self.at + length));
                    self.at += length;
                }
                b'\'' => {
                    end = self.single_quoted(&mut pieces)?;
                    continue;
                }
                b'"' => {
                    end = self.double_quoted(&mut pieces)?;
                    continue;
                }
                b'$' if self.sees(b"$'") => self.ansi_quoted(&mut pieces)?,
                b'$' | b'`' => self.expansion(&mut pieces, 0)?,
                // It is part of the value, but stands where the line ends.
                b'\r' if self.sees(b"\r\n") => {
                    pieces.push(Piece::Byte(byte, self.at..self.at + 1));
                    self.at += 1;
                    break;
                }
                _ => {
                    pieces.push(Piece::Byte(byte, self.at..self.at + 1));
                    self.at += 1;
                }
            }
            end = End::Bare(self.at);
        }
        Ok(Word { span: start..self.at, pieces, end })
    }

    fn single_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<End, ShellError> {
        let open = self.at;
        loop {
            self.at += 1;
            match self.peek() {
                None => return Err(self.unclosed(open, "a single quote")),
                Some(b'\'') => break,
                Some(byte) => pieces.push(Piece::Byte(byte, self.at..self.at + 1)),
            }
        }
        self.at += 1;
        Ok(End::Quoted(self.at - 1))
    }

    fn double_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<End, ShellError> {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.unclosed(open, "a double quote")),
                Some(b'"') => break,
                Some(b'\\') => match self.text.get(self.at + 1) {
                    Some(b'\n') => self.at += 2,
                    Some(escaped @ (b'$' | b'`' | b'"' | b'\\')) => {
                        pieces.push(Piece::Byte(*escaped, self.at..self.at + 2));
                        self.at += 2;
                    }
                    _ => {
                        pieces.push(Piece::Byte(b'\\', self.at..self.at + 1));
                        self.at += 1;
                    }
                },
                Some(b'$' | b'`') => self.expansion(pieces, 0)?,
                Some(byte) => {
                    pieces.push(Piece::Byte(byte, self.at..self.at + 1));
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(End::Quoted(self.at - 1))
    }

    /// `$'…'`, which shells do not agree on.
    fn ansi_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<(), ShellError> {
        let open = self.at;
        self.at += 2;
        loop {
            match self.peek() {
                None => return Err(self.unclosed(open, "a single quote")),
                Some(b'\'') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        pieces.push(Piece::Unknown);
        Ok(())
    }

    /// What a `$` or a backquote begins.
    fn expansion(&mut self, pieces: &mut Vec<Piece>, depth: usize) -> Result<(), ShellError> {
        let open = self.at;
        if depth > DEEPEST {
            return Err(self.unclosed(open, "too deep a nest of substitutions"));
        }
        if self.peek() == Some(b'`') {
            loop {
                self.at += 1;
                match self.peek() {
                    None => return Err(self.unclosed(open, "a backquote")),
                    Some(b'`') => break,
                    Some(b'\\') => self.at += 1,
                    Some(_) => {}
                }
            }
            self.at += 1;
            pieces.push(Piece::Unknown);
            return Ok(());
        }
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        match rest.first() {
            Some(b'(') => self.nested(open, b')', depth)?,
            Some(b'{') => {
                let length = name_length(rest.get(1..).unwrap_or_default());
                if length > 0 && rest.get(length + 1) == Some(&b'}') {
                    let name = rest.get(1..=length).unwrap_or_default();
                    pieces.push(Piece::Variable(String::from_utf8_lossy(name).into_owned()));
                    self.at += length + 2;
                    return Ok(());
                }
                self.nested(open, b'}', depth)?;
            }
            Some(b'0'..=b'9' | b'?' | b'$' | b'!' | b'#' | b'@' | b'*' | b'-') => self.at += 1,
            _ => {
                let length = name_length(rest);
                if length == 0 {
                    pieces.push(Piece::Byte(b'$', open..open + 1));
                    return Ok(());
                }
                let name = rest.get(..length).unwrap_or_default();
                pieces.push(Piece::Variable(String::from_utf8_lossy(name).into_owned()));
                self.at += length;
                return Ok(());
            }
        }
        pieces.push(Piece::Unknown);
        Ok(())
    }

    /// Skips `(…)` or `{…}` with all that nests in it.
    fn nested(&mut self, open: usize, close: u8, depth: usize) -> Result<(), ShellError> {
        let what = "a substitution";
        let mut ignored = Vec::new();
        let mut inner = 0_usize;
        self.at += 1;
        loop {
            ignored.clear();
            match self.peek() {
                None => return Err(self.unclosed(open, what)),
                Some(byte) if byte == close && inner == 0 => break,
                Some(byte) if byte == close => {
                    inner -= 1;
                    self.at += 1;
                }
                Some(b'(') if close == b')' => {
                    inner += 1;
                    self.at += 1;
                }
                Some(b'\\') => self.at += 2,
                Some(b'\'') => {
                    self.single_quoted(&mut ignored)?;
                }
                Some(b'"') => {
                    self.nested_quotes(open, depth + 1)?;
                }
                Some(b'$' | b'`') => self.expansion(&mut ignored, depth + 1)?,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Double quotes inside a substitution.
    fn nested_quotes(&mut self, open: usize, depth: usize) -> Result<(), ShellError> {
        let mut ignored = Vec::new();
        self.at += 1;
        loop {
            ignored.clear();
            match self.peek() {
                None => return Err(self.unclosed(open, "a double quote")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(b'$' | b'`') => self.expansion(&mut ignored, depth + 1)?,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }
}

/// The value of a word without variables, as far as it is written.
fn plain(word: &Word) -> Vec<u8> {
    let byte = |piece: &Piece| match piece {
        Piece::Byte(byte, _) => Some(*byte),
        Piece::Variable(_) | Piece::Unknown => None,
    };
    word.pieces.iter().filter_map(byte).collect()
}

/// The length of the variable's name at the start of `text`.
fn name_length(text: &[u8]) -> usize {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    if text.first().is_some_and(u8::is_ascii_digit) { 0 } else { length }
}
