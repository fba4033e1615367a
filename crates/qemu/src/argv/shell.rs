//! A command line as text that a shell takes, the environment first.

use std::ffi::OsString;

/// Writes the environment and the command line; `between` stands before each option: a space, or a line break that the
/// shell passes over.
pub(crate) fn to_text(environment: &[(&'static str, String)], argv: &[OsString], between: &str) -> String {
    let mut text = String::new();
    for (name, value) in environment {
        text.push_str(name);
        text.push('=');
        text.push_str(&quote(value));
        text.push_str(between);
    }
    for (position, word) in argv.iter().enumerate() {
        let word = word.to_string_lossy();
        if position > 0 {
            text.push_str(if is_option(&word) { between } else { " " });
        }
        text.push_str(&quote(&word));
    }
    text
}

/// Options begin with a dash and a letter; a value such as `-1` does not.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// A word in single quotes where the shell would see more in it than its letters.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%_-+=:,./[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_on_their_own_lines() {
        let argv =
            ["/bin/x", "-S", "-object", r#"{"a":1}"#, "-append", "it's", "-boot", "-1"].map(OsString::from);
        let text = |between| to_text(&[("HOME", "/a b".into())], &argv, between);
        let wanted =
            "HOME='/a b' \\\n/bin/x \\\n-S \\\n-object '{\"a\":1}' \\\n-append 'it'\\''s' \\\n-boot -1";
        assert_eq!(text(" \\\n"), wanted);
        assert_eq!(text(" "), wanted.replace("\\\n", ""));
    }
}
