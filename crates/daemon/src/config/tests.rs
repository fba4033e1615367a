//! Files, what they mean, and what is said of bad ones.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn faults(text: &str, expect: &Expect) {
    expect.assert_eq(&Config::parse(text, true).unwrap_err().to_string().replace("; line", "\nline"));
}

#[test]
fn what_is_shown_says_the_same_again() {
    for system in [true, false] {
        let mut config = Config::default_for(system);
        assert_eq!(Config::parse("", system).unwrap(), config);
        config.socket.path = Some("/run/a \"b\"".into());
        config.socket.read_only_path = Some("/run/ro".into());
        config.allow.write = vec![Who::User("1000".into()), Who::Group("ops".into()), Who::Everybody];
        config.log = Log { level: "warn,daemon=trace".into(), format: Format::Json };
        config.limits.clients = 7;
        config.lint = rules::Allowed::named(["SEV003"]).unwrap();
        for explain in [true, false] {
            assert_eq!(Config::parse(&config.show(explain), system).unwrap(), config);
        }
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    faults(
        "[socket]\nmode = 660\ngroup = 'ops'\n\n[limits]\nclients = 0\nclient = 1\n[allow]\nread = ['@']\n\
         write = 'root'\n[lint]\nallow = ['NONE1']\n[log]\nlevel = 'loud'\n[tls]\nport = 1\n",
        &expect![[r#"
            line 2: socket.mode: a mode in quotes, such as "0660", is wanted, not an integer
            line 6: limits.clients: 0 is not between 1 and 100000
            line 7: [limits] has no key `client`, only clients, clients_per_user, handshake_seconds
            line 9: allow.read: "@" is no user or group
            line 10: allow.write: a list, such as ["root", "@libvirt"], is wanted, not a string
            line 12: lint.allow: there is no rule `NONE1`; `sevirt explain --list` lists them
            line 14: log.level: "loud" is none of off, error, warn, info, debug, trace
            line 15: there is no section [tls], only [socket], [allow], [limits], [keepalive], [forward], [lint], [log], [isolation]"#]],
    );
    faults(
        "mode = '0600'\n",
        &expect![
            "line 1: `mode` is not a section; keys stand below [socket], [allow], [limits], [keepalive], [forward], [lint], [log], [isolation]"
        ],
    );
    faults("[socket]\nmode = \n", &expect!["line 2: string values must be quoted, expected literal string"]);
}

#[test]
fn keys_of_a_section_stand_together() {
    let mut seen: Vec<&str> = Vec::new();
    for key in KEYS {
        if seen.last() != Some(&key.section) {
            assert!(!seen.contains(&key.section), "{key:?} stands apart from its section");
            seen.push(key.section);
        }
    }
}

#[test]
fn the_page_shows_the_defaults() {
    let page = include_str!("../../../../docs/daemon.md");
    let shown = Config::default_for(true).show(true);
    assert!(page.contains(&shown), "docs/daemon.md should hold:\n{shown}");
}
