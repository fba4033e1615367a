//! The table of meant differences: which lines of which answers may differ, and why.
//!
//! A row excuses a line that only one of the two daemons has printed. `docs/libvirt-differences.md` is made of the table.

use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};

use super::answers::Answer;

/// More rows than that would be another interface.
const MOST_ROWS: usize = 40;

pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    wanted: Wanted,
    command: Regex,
    pattern: Regex,
    used: bool,
}

/// A row as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Which run must use it: `lab`, of all scripts on the simulated platform, or `native`, of what is typed outside. It
    /// excuses lines in both.
    #[serde(rename = "where")]
    place: String,
    /// Matches the whole command.
    command: String,
    /// Matches the whole line that differs: `-` and libvirtd's words, or `+` and sevirt's.
    pattern: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    difference: Vec<Wanted>,
}

impl Table {
    pub(crate) fn load() -> Self {
        let path = Path::new(super::DATA).join("differences.toml");
        Self::parse(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|why| panic!("{why}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.difference.len() > MOST_ROWS {
            return Err(format!("{} rows: at most {MOST_ROWS}", file.difference.len()));
        }
        let whole =
            |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string());
        let rows = file.difference.into_iter().map(|wanted| {
            if wanted.reason.is_empty() || !["native", "lab"].contains(&wanted.place.as_str()) {
                return Err(format!("no reason, or an unknown place: {wanted:?}"));
            }
            Ok(Row {
                command: whole(&wanted.command)?,
                pattern: whole(&wanted.pattern)?,
                wanted,
                used: false,
            })
        });
        Ok(Self { rows: rows.collect::<Result<_, String>>()? })
    }

    /// What differs and is in no row.
    pub(crate) fn compare(&mut self, theirs: &[Answer], ours: &[Answer]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut ours = ours.iter().peekable();
        for answer in theirs {
            while let Some(more) = ours.next_if(|other| other.line < answer.line) {
                faults.push(format!("sevirt alone: {more}"));
            }
            match ours.next_if(|other| other.line == answer.line) {
                Some(other) => faults.extend(self.difference(answer, other)),
                None => faults.push(format!("libvirtd alone: {answer}")),
            }
        }
        faults.extend(ours.map(|more| format!("sevirt alone: {more}")));
        faults
    }

    fn difference(&mut self, theirs: &Answer, ours: &Answer) -> Option<String> {
        let with_exit = |answer: &Answer| format!("{}exit {}\n", answer.output, answer.exit);
        let (theirs_text, ours_text) = (with_exit(theirs), with_exit(ours));
        let diff = TextDiff::from_lines(&theirs_text, &ours_text);
        let mut unexplained = String::new();
        for change in diff.iter_all_changes() {
            let sign = match change.tag() {
                ChangeTag::Equal => continue,
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line = format!("{sign}{}", change.value().trim_end_matches('\n'));
            if !self.excuses(&theirs.command, &line) {
                unexplained.push_str(&format!("  {line}\n"));
            }
        }
        (!unexplained.is_empty()).then(|| format!("line {}: {}\n{unexplained}", theirs.line, theirs.command))
    }

    fn excuses(&mut self, command: &str, line: &str) -> bool {
        let mut found = false;
        for row in &mut self.rows {
            if row.command.is_match(command) && row.pattern.is_match(line) {
                row.used = true;
                found = true;
            }
        }
        found
    }

    /// Rows that were to be used in `place` and were not.
    pub(crate) fn unused(&self, place: &str) -> Vec<String> {
        let unused = self.rows.iter().filter(|row| !row.used && row.wanted.place == place);
        unused.map(|row| format!("unused row: {:?}", row.wanted)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: u32, output: &str, exit: i32) -> Answer {
        Answer { line, command: format!("virsh {line}"), output: output.to_owned(), exit }
    }

    fn table() -> Table {
        Table::parse(
            "[[difference]]\nwhere='native'\ncommand='virsh 1'\npattern='[+]more.*'\nreason='it knows more'\n\
             [[difference]]\nwhere='native'\ncommand='virsh 2'\npattern='-x'\nreason='never'\n",
        )
        .unwrap()
    }

    #[test]
    fn a_row_excuses_its_line_in_its_command_and_no_other() {
        let mut table = table();
        let ours = [answer(1, "a\nmore of it\n", 0), answer(2, "a\nmore of it\n", 0), answer(3, "b\n", 1)];
        let theirs = [answer(1, "a\n", 0), answer(2, "a\n", 0), answer(3, "b\n", 0)];
        let faults = table.compare(&theirs, &ours);
        assert_eq!(faults, ["line 2: virsh 2\n  +more of it\n", "line 3: virsh 3\n  -exit 0\n  +exit 1\n"]);
        assert_eq!(table.unused("native").len(), 1);
        assert!(table.unused("lab").is_empty());
    }

    #[test]
    fn an_answer_that_only_one_gives_is_a_fault() {
        let faults = table().compare(&[answer(1, "", 0)], &[answer(2, "", 0)]);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn the_table_is_short_and_gives_reasons() {
        let row = "[[difference]]\nwhere='lab'\ncommand='a'\npattern='b'\nreason='c'\n";
        assert!(Table::parse(&row.repeat(MOST_ROWS)).is_ok());
        for (text, why) in
            [(row.repeat(MOST_ROWS + 1), "at most 40"), (row.replace("'c'", "''"), "no reason")]
        {
            let said = Table::parse(&text).err().unwrap_or_default();
            assert!(said.contains(why), "{said}");
        }
    }
}
