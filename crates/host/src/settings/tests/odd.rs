//! Odd GRUB files: the shell says what was made of them, and disabling gives their bytes back.

use std::process::Command;

use proptest::prelude::*;

use super::*;

/// What the shell makes of both variables.
fn by_shell(tree: &Tree) -> String {
    let program =
        ". ./etc/default/grub; printf '%s %s' \"$GRUB_CMDLINE_LINUX\" \"$GRUB_CMDLINE_LINUX_DEFAULT\"";
    let output = Command::new("bash")
        .args(["--posix", "-c", program])
        .current_dir(tree.directory.path())
        .env_clear()
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Values as people and programs write them.
fn value() -> impl Strategy<Value = String> {
    let words = prop_oneof![
        Just("quiet"),
        Just("quiet splash"),
        Just(" ro  console=ttyS0,115200n8 "),
        Just("mem_encrypt=off"),
        Just("kvm_amd.sev=0 x"),
        Just("kvm-amd.sev=0"),
        Just("rd.luks=a\\b"),
        Just("kvm_amd.sev=1"),
        Just(""),
    ];
    prop_oneof![
        words.clone().prop_map(|words| format!("\"{words}\"")),
        words.clone().prop_map(|words| format!("'{words}'")),
        words.clone().prop_map(|words| format!("\"{words} $EXTRA\"")),
        words.clone().prop_map(|words| format!("'{words}'\" ${{EXTRA}}\"")),
        words.clone().prop_map(|words| format!("\"{words} \\\n  more\"")),
        words.prop_map(|words| words.trim().replace(' ', "\\ ")),
        Just("'dyndbg=\"file x.c +p\" a'".to_owned()),
        Just("\"kvm_amd.sev=$NUMBER\"".to_owned()),
    ]
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (prop_oneof![Just("="), Just("=\"\""), Just("+=' '")], value())
            .prop_map(|(sign, value)| format!("GRUB_CMDLINE_LINUX{sign}{value}")),
        2 => value().prop_map(|value| format!("GRUB_CMDLINE_LINUX_DEFAULT={value}")),
        1 => Just("EXTRA='kvm_amd.sev=0 z'".to_owned()),
        1 => Just("EXTRA=e NUMBER=0".to_owned()),
        1 => Just("# GRUB_CMDLINE_LINUX='no\"".to_owned()),
        1 => Just("GRUB_DISTRIBUTOR=$(echo \"a 'b' c\")".to_owned()),
        1 => Just("export GRUB_TIMEOUT=5 # \"".to_owned()),
        1 => Just("if true; then GRUB_TERMINAL='x'; fi".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn odd_files_are_enabled_once_and_come_back(
        lines in prop::collection::vec((line(), prop_oneof![8 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n")]), 0..7),
        no_final_newline: bool,
        technology in prop_oneof![Just(Technology::Sev), Just(Technology::SevSnp)],
    ) {
        let mut text: String = lines
            .iter()
            // A shell does not know the word `fi\r`.
            .map(|(line, end)| format!("{line}{}", if line.starts_with("if ") { "\n" } else { end }))
            .collect();
        if no_final_newline {
            text.truncate(text.trim_end().len());
        }
        let tree = Tree::new(&[("/etc/default/grub", &text)]);
        let before = tree.snapshot();
        let old = by_shell(&tree);
        match enable(&tree.root(), technology) {
            // A word that is put together from a variable's part may not be changeable.
            Err(error) => prop_assert!(matches!(error, SettingsError::NotEffective { .. }), "{error}: {text:?}"),
            Ok(plan) => {
                plan.apply(&tree.root(), Direction::Enable).unwrap();
                let new = by_shell(&tree);
                let has = |text: &str, wanted: &str| {
                    text.split_ascii_whitespace().filter(|word| word.replace('-', "_") == wanted).count()
                };
                for wish in wishes(technology) {
                    let word = wish.word();
                    let count = has(&new, &word);
                    // What stood there twice is there twice.
                    let most = has(&old, &word).max(has(&old, &word.replace("=1", "=0").replace("=on", "=off"))).max(1) + has(&old, &word);
                    prop_assert!(count >= 1 && count <= most, "{word} {count} times in {new:?} from {text:?}");
                }
                for word in old.split_ascii_whitespace() {
                    let was_wrong = ["mem_encrypt=off", "kvm_amd.sev=0", "kvm-amd.sev=0", "kvm_amd.sev="].contains(&word);
                    prop_assert!(was_wrong || has(&new, &word.replace('-', "_")) > 0, "{word} is lost in {new:?} from {text:?}");
                }
                let enabled = tree.snapshot();
                let again = enable(&tree.root(), technology).unwrap();
                prop_assert!(again.changes.is_empty(), "enabling twice changes {:?}", changed(&again));
                again.apply(&tree.root(), Direction::Enable).unwrap();
                prop_assert_eq!(&enabled, &tree.snapshot());
                tree.disable();
                prop_assert_eq!(&before, &tree.snapshot());
            }
        }
    }
}
