//! The recorded command lines: words as a shell sees them, on lines that a backslash continues.

/// Splits a command line into words. Quotes are single; inside them nothing is special.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let quoted = word.get_or_insert_default();
                quoted.extend(characters.by_ref().take_while(|c| *c != '\''));
            }
            '\\' => match characters.next() {
                Some('\n') | None => {}
                Some(other) => word.get_or_insert_default().push(other),
            },
            ' ' | '\n' => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[test]
fn quotes_and_continued_lines_are_read() {
    let text = "A=b \\\n/bin/x \\\n-object '{\"a b\":1}' \\\n-append 'it'\\''s'\n";
    assert_eq!(split(text), ["A=b", "/bin/x", "-object", "{\"a b\":1}", "-append", "it's"]);
}
