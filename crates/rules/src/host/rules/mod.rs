//! The rules about hosts, one file each. To add one: its file, a line here, a line in `table.rs`, a fixture in
//! `test_data/`; the tests of the table say what is still missing.

pub(crate) mod processor_without_sev;
