//! The command line of each case, as recorded in `test_data/NAME.args`; `UPDATE_EXPECT=1` records anew.

use std::fs;

use expect_test::expect_file;
use qemu::plan::Plan;

use crate::host;

#[test]
fn command_lines_are_those_recorded() {
    let caps = host::caps();
    for file in host::cases() {
        let domain = host::define(&fs::read_to_string(&file).unwrap(), &caps);
        let plan = Plan::new(&domain, &caps, &host::surroundings()).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        expect_file![host::data(&format!("{name}.args"))].assert_eq(&plan.to_shell());
    }
}
