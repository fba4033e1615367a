//! The world ends after any step of the writer: each file is the old one or the new one, and what is run next mends all.

use super::*;

const FILES: &[(&str, &str)] = &[
    ("/etc/default/grub", "GRUB_CMDLINE_LINUX='quiet'\n"),
    ("/etc/kernel/cmdline", "root=/dev/sda1 mem_encrypt=off"),
    ("/boot/grub/x", ""),
];
const PATHS: [&str; 3] = ["/etc/default/grub", "/etc/kernel/cmdline", "/etc/modprobe.d/sevirt.conf"];

fn contents(tree: &Tree) -> Vec<Option<String>> {
    PATHS.iter().map(|path| fs::read_to_string(tree.root().path(path)).ok()).collect()
}

fn leftovers(tree: &Tree) -> Vec<String> {
    tree.snapshot().into_keys().filter(|name| name.contains("sevirt-new")).collect()
}

/// A crash on the way from one state to the other; `None` when the steps sufficed.
fn crash(tree: &Tree, direction: Direction, steps: usize) -> Option<()> {
    let root = tree.root();
    let plan = match direction {
        Direction::Enable => enable(&root, Technology::Sev),
        Direction::Disable => disable(&root),
    };
    plan.unwrap().apply_by(&root, direction, &Disk::failing_after(steps)).err().map(|_| ())
}

#[test]
fn a_crash_leaves_old_or_new_and_the_next_run_recovers() {
    let untouched = Tree::new(FILES);
    let old = contents(&untouched);
    untouched.enable(Technology::Sev);
    let new = contents(&untouched);
    let each_is_old_or_new = |tree: &Tree| {
        for ((now, old), new) in contents(tree).iter().zip(&old).zip(&new) {
            assert!(now == old || now == new, "half a file: {now:?}");
        }
    };
    let mut crashes = 0;
    for direction in [Direction::Enable, Direction::Disable] {
        for steps in 0.. {
            let trees = [Tree::new(FILES), Tree::new(FILES)];
            let mut went_through = false;
            for (tree, then) in trees.iter().zip([Direction::Enable, Direction::Disable]) {
                if direction == Direction::Disable {
                    tree.enable(Technology::Sev);
                }
                went_through = crash(tree, direction, steps).is_none();
                each_is_old_or_new(tree);
                match then {
                    Direction::Enable => {
                        tree.enable(Technology::Sev);
                        assert_eq!(contents(tree), new, "after {steps} steps of {direction:?}");
                        tree.disable();
                    }
                    Direction::Disable => {
                        tree.disable();
                    }
                }
                assert_eq!(contents(tree), old, "after {steps} steps of {direction:?}, then {then:?}");
                assert_eq!(leftovers(tree), [""; 0], "after {steps} steps of {direction:?}, then {then:?}");
                crashes += usize::from(!went_through);
            }
            if went_through {
                break;
            }
        }
    }
    assert!(crashes > 100, "only {crashes} crashes");
}
