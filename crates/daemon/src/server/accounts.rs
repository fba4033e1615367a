//! Names of users and groups → numbers: by the files, and by `getent` for those that come from elsewhere.

use std::process::{Command, Stdio};

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

/// The number of a user or group; a name that is a number is that number.
pub(super) fn number(kind: Kind, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let (file, database) = match kind {
        Kind::User => ("/etc/passwd", "passwd"),
        Kind::Group => ("/etc/group", "group"),
    };
    let listed = std::fs::read_to_string(file).ok().and_then(|text| find(&text, name));
    listed.or_else(|| {
        let asked = Command::new("getent").args([database, "--", name]).stdin(Stdio::null()).output().ok()?;
        find(&String::from_utf8_lossy(&asked.stdout), name)
    })
}

/// In passwd(5) and group(5) alike: the name, a password, the number.
fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        fields.next().filter(|found| *found == name)?;
        fields.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(number(Kind::User, "root"), Some(0));
        assert_eq!(number(Kind::Group, "root"), Some(0));
        assert_eq!(number(Kind::User, "1234"), Some(1234));
        assert_eq!(number(Kind::User, "no such user"), None);
        assert_eq!(find("kvm:x:104:\nops:x:7:ann,bob\n", "ops"), Some(7));
        assert_eq!(find("opsx:x:7:\n", "ops"), None);
    }
}
