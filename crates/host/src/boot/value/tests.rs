//! What is read from a script is what a shell makes of it.

use std::process::Command;

use proptest::prelude::*;

use super::*;

fn scripts(text: &str) -> Scripts {
    Scripts::parse(vec![Source { path: "/etc/default/grub".into(), text: text.as_bytes().to_vec() }]).unwrap()
}

/// What the shell says that `X` holds after the script ran.
fn by_shell(text: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("script");
    std::fs::write(&file, text).unwrap();
    let program = format!(". {}; printf %s \"$X\"", file.display());
    let output = Command::new("bash").args(["--posix", "-c", &program]).env_clear().output().unwrap();
    output.stdout
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let scripts = scripts(text);
    let value = scripts.value("X").cloned().unwrap_or_default();
    assert_eq!(value.text(), expected, "{text:?}");
    assert_eq!(value.doubt, None, "{text:?}");
    assert_eq!(String::from_utf8_lossy(&by_shell(text)), expected, "the shell reads {text:?}");
}

#[test]
fn scripts_are_read_as_a_shell_reads_them() {
    check("X=\"quiet splash\" # comment\n", "quiet splash");
    check("X='a b'\"c d\"e\\ f\\\ng", "a bc de fg");
    check("A=1; B=two X=\"$A ${B}\"\n", "1 two");
    check("X=a\nX+=' b'\n", "a b");
    check("X=a\r\n", "a\r");
    check("X='a'\r\n", "a\r");
    check("export X=a Y=b\nunset Y\n", "a");
    check("X=\"a\\\"b\\\\c\\$d\\e\\\nf\"", "a\"b\\c$d\\ef");
    check("X=\"don't\" Y='\"'", "don't");
    check("#X=no\nX=a#b\n", "a#b");
    check("X=a true\nX=b\nX=c true\n", "b");
    check("X=b\nf() { Y=c; }\n", "b");
    check("X=$ Y=1", "$");
    check("X=a\nX=\n", "");
}

#[test]
fn what_only_running_it_can_tell_is_doubted() {
    for text in [
        "X=\"$(echo a)\"\n",
        "X=`echo \"b c\"`\n",
        "X=a\nif true; then\n  X=b\nfi\n",
        "true && X=b\n",
        "X=a\nf() { X=b; }\n",
        "X=a\n. /etc/os-release\n",
        "X=${Y:-a}\n",
        "X=a\ncase 1 in\n1) X=b ;;\nesac\n",
        "X=a\nfor i in 1 2; do X=$i; done\n",
        "X=a\ncat <<EOF\nX=b\nEOF\n",
        "Y=$(date)\nX=$Y\n",
    ] {
        let doubt = scripts(text).value("X").and_then(|value| value.doubt.clone());
        assert!(doubt.is_some(), "{text:?}");
    }
    check("if true; then Y=1; fi\nX=a\n", "a");
    check("Y=\"$(sed 's, rel.*$,,g' /dev/null)\"\nX=\"a b\"\n", "a b");
}

#[test]
fn what_is_not_closed_is_an_error_with_its_line() {
    for text in ["\nX='a\n", "\nX=\"a\n", "\nX=$(a\n", "\nX=`a\n", "\nX=\"${a\n"] {
        let source = Source { path: "/x".into(), text: text.as_bytes().to_vec() };
        let error = Scripts::parse(vec![source]).unwrap_err();
        assert_eq!(error.source.line, 2, "{text:?}: {}", error.source);
    }
}

#[test]
fn variables_that_double_each_other_are_cut_short() {
    let mut text = "X=aaaaaaaaaaaaaaaa\n".to_owned();
    for _ in 0..64 {
        text.push_str("X=$X$X\n");
    }
    let scripts = scripts(&text);
    assert!(scripts.value("X").unwrap().bytes.len() <= MOST_BYTES);
}

/// Lines that people write into such files.
fn line() -> impl Strategy<Value = String> {
    let word = "[ab=.,]{0,4}";
    let piece = prop_oneof![
        word.prop_map(|word: String| word),
        "[ab '$]{0,4}".prop_map(|text: String| format!("\"{}\"", text.replace('$', "\\$"))),
        "[ab \"$\\\\]{0,4}".prop_map(|text: String| format!("'{text}'")),
        "[ab $'\"]".prop_map(|text: String| format!("\\{text}")),
        Just("$Y".to_owned()),
        Just("${Y}".to_owned()),
        Just("\"a $Y \\\n b\"".to_owned()),
    ];
    let value = proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
    let assignment = ("[XY]", prop_oneof![Just("="), Just("+=")], value.clone());
    prop_oneof![
        4 => assignment.prop_map(|(name, sign, value)| format!("{name}{sign}{value}")),
        1 => (value.clone(), value).prop_map(|(one, other)| format!("X={one} Y={other}")),
        1 => Just("# X='".to_owned()),
        1 => Just("  X=a # Y=\"".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_such_script_is_read_as_the_shell_reads_it(
        lines in proptest::collection::vec((line(), prop_oneof![Just("\n"), Just("; "), Just("\r\n")]), 0..6)
    ) {
        let text: String = lines.iter().map(|(line, end)| {
            // After a comment everything up to the line feed is comment.
            let end = if line.contains('#') && *end == "; " { "\n" } else { end };
            format!("{line}{end}")
        }).collect();
        let read = scripts(&text);
        let value = read.value("X").cloned().unwrap_or_default();
        let expected = by_shell(&text);
        prop_assert_eq!(value.text(), String::from_utf8_lossy(&expected), "{:?}", text);
    }

    #[test]
    fn nothing_makes_the_reader_fall_over(text in "[XY=+'\"\\\\$(){}`;&|<>#\n\r a]{0,60}") {
        let source = Source { path: "/x".into(), text: text.into_bytes() };
        if let Ok(scripts) = Scripts::parse(vec![source]) {
            for (_, word) in scripts.assignments("X") {
                let inside = |end: usize| word.span.contains(&end) || end == word.span.end;
                let (shell::End::Quoted(at) | shell::End::Bare(at)) = word.end;
                prop_assert!(inside(at));
            }
        }
    }
}
