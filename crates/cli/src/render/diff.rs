//! What a fix changes, as a unified diff.

use similar::TextDiff;

/// The diff between two versions of a file; empty where they are the same.
pub(crate) fn unified(name: &str, old: &str, new: &str) -> String {
    let name = name.trim_start_matches('/');
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{name}"), &format!("b/{name}"))
        .to_string()
}
