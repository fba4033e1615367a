//! Boot configuration from an enemy: GRUB's defaults, its environment block, entries, modprobe's options and a kernel's
//! command line. A plain function: the fuzzer calls it, and so do the tests of `host`.

use host::boot::{bls, command_line, grub, modprobe, shell, value};

/// Panics where something that holds for every text does not hold for this one.
pub(crate) fn run(data: &[u8]) {
    let source = value::Source { path: "/etc/default/grub".into(), text: data.to_vec() };
    if let Ok(scripts) = value::Scripts::parse(vec![source]) {
        let value = grub::ordinary_entry(&scripts);
        assert_eq!(value.bytes.len(), value.origins.len());
        for (byte, origin) in value.bytes.iter().zip(&value.origins) {
            let Some(origin) = origin else { continue };
            assert_eq!(data[origin.span.clone()].last(), Some(byte), "a byte stands where it comes from");
        }
        for (_, word) in scripts.assignments(grub::EVERY_ENTRY) {
            let (shell::End::Quoted(end) | shell::End::Bare(end)) = word.end;
            assert!(word.span.start <= end && end <= word.span.end && word.span.end <= data.len());
        }
    }
    for span in grub::environment(data).into_values().chain(bls::values(data, "options")) {
        assert!(data.get(span).is_some());
    }
    for line in modprobe::options(data) {
        assert!(data.get(line.span.clone()).is_some());
        assert!(line.options.iter().all(|word| line.span.start <= word.start && word.end <= line.span.end));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        for parameter in command_line::parameters(text) {
            assert!(text.get(parameter.span).is_some_and(|word| !word.is_empty()));
        }
        let _ = bls::command_line(text, &[("kernelopts".to_owned(), text.chars().take(64).collect())].into());
    }
}
