//! Who may do what: the allow list, as numbers, and how many clients a user may have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rpc::Rights;

use super::accounts::{self, Kind};
use crate::config::{Config, Who};
use crate::locked;
use crate::service::Peer;

/// Which socket a client came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Full,
    ReadOnly,
}

/// The allow list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// A session's daemon serves this user, and nobody else.
    session: Option<u32>,
    write: People,
    read: People,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct People {
    everybody: bool,
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Policy {
    /// The list by numbers, and the names that nobody has here.
    pub(crate) fn of(config: &Config, session: Option<u32>) -> (Self, Vec<String>) {
        let mut unknown = Vec::new();
        let mut people = |list: &[Who]| {
            let mut people = People::default();
            for who in list {
                let (kind, name, numbers) = match who {
                    Who::Everybody => {
                        people.everybody = true;
                        continue;
                    }
                    Who::User(name) => (Kind::User, name, &mut people.users),
                    Who::Group(name) => (Kind::Group, name, &mut people.groups),
                };
                match accounts::number(kind, name) {
                    Some(number) => numbers.push(number),
                    None => unknown.push(who.to_string()),
                }
            }
            people
        };
        let (write, read) = (people(&config.allow.write), people(&config.allow.read));
        (Self { session, write, read }, unknown)
    }

    /// What a client may do that came by `door`. `groups` are those beside its first.
    pub(crate) fn rights(&self, door: Door, peer: Peer, groups: &[u32]) -> Rights {
        if let Some(own) = self.session {
            return match door {
                _ if peer.uid != own => Rights::None,
                Door::Full => Rights::Full,
                Door::ReadOnly => Rights::Read,
            };
        }
        match door {
            Door::Full if self.write.has(peer, groups) => Rights::Full,
            // Whoever may write may read.
            Door::ReadOnly if self.read.has(peer, groups) || self.write.has(peer, groups) => Rights::Read,
            Door::Full | Door::ReadOnly => Rights::None,
        }
    }
}

impl People {
    fn has(&self, peer: Peer, groups: &[u32]) -> bool {
        self.everybody
            || self.users.contains(&peer.uid)
            || self.groups.contains(&peer.gid)
            || groups.iter().any(|group| self.groups.contains(group))
    }
}

/// How many clients there are, by user.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Mutex<BTreeMap<u32, usize>>,
    /// The memory that clients hold who may only read, in bytes.
    held: AtomicUsize,
}

/// The place of one client. It is given back when the client's last call has ended.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    uid: u32,
    held: AtomicUsize,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("{0} clients are connected, which is the most (limits.clients)")]
    All(usize),
    #[error("this user has {0} clients connected, which is the most (limits.clients_per_user)")]
    User(usize),
}

/// How much memory all clients together may hold who may only read: everybody can be one of them, many times.
const HELD_BY_ALL: usize = 64 << 20;
/// How much each of them may hold however much the others do.
const HELD_BY_EACH: usize = 64 << 10;

/// Root can connect to a daemon that others have filled.
const KEPT_FOR_ROOT: usize = 16;

impl Places {
    pub(crate) fn take(self: &Arc<Self>, uid: u32, all: usize, of_user: usize) -> Result<Place, NoPlace> {
        let mut taken = locked(&self.taken);
        let most = if uid == 0 { all.saturating_add(KEPT_FOR_ROOT) } else { all };
        if taken.values().sum::<usize>() >= most {
            return Err(NoPlace::All(most));
        }
        let own = taken.entry(uid).or_default();
        if uid != 0 && *own >= of_user {
            return Err(NoPlace::User(of_user));
        }
        *own += 1;
        Ok(Place { places: Arc::clone(self), uid, held: AtomicUsize::new(0) })
    }
}

impl Place {
    /// A client that may only read holds this much memory now. Says whether it may.
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        let before = self.held.swap(bytes, Ordering::AcqRel);
        let all = if bytes >= before {
            self.places.held.fetch_add(bytes - before, Ordering::AcqRel) + (bytes - before)
        } else {
            self.places.held.fetch_sub(before - bytes, Ordering::AcqRel) - (before - bytes)
        };
        bytes <= HELD_BY_EACH || all <= HELD_BY_ALL
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.holds(0);
        let mut taken = locked(&self.places.taken);
        if let Some(own) = taken.get_mut(&self.uid) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(write: &[&str], read: &[&str]) -> Policy {
        let who = |name: &&str| match name.strip_prefix('@') {
            Some(group) => Who::Group(group.to_owned()),
            None if **name == *"*" => Who::Everybody,
            None => Who::User((*name).to_owned()),
        };
        let mut config = Config::default_for(true);
        config.allow.write = write.iter().map(who).collect();
        config.allow.read = read.iter().map(who).collect();
        Policy::of(&config, None).0
    }

    #[track_caller]
    fn check(policy: &Policy, uid: u32, gid: u32, groups: &[u32], full: Rights, read_only: Rights) {
        let peer = Peer { uid, gid, pid: None };
        let rights = [Door::Full, Door::ReadOnly].map(|door| policy.rights(door, peer, groups));
        assert_eq!(rights, [full, read_only]);
    }

    #[test]
    fn the_allow_list() {
        let policy = policy(&["root", "@2000"], &["1000", "@3000"]);
        check(&policy, 0, 0, &[], Rights::Full, Rights::Read);
        check(&policy, 500, 2000, &[], Rights::Full, Rights::Read);
        check(&policy, 500, 500, &[7, 2000], Rights::Full, Rights::Read);
        check(&policy, 1000, 1000, &[], Rights::None, Rights::Read);
        check(&policy, 500, 500, &[3000], Rights::None, Rights::Read);
        // A user's number is not a group's.
        check(&policy, 2000, 1, &[1000], Rights::None, Rights::None);
    }

    #[test]
    fn everybody_and_nobody() {
        check(&policy(&["*"], &[]), 5, 5, &[], Rights::Full, Rights::Read);
        check(&policy(&[], &["*"]), 5, 5, &[], Rights::None, Rights::Read);
        check(&policy(&[], &[]), 0, 0, &[], Rights::None, Rights::None);
    }

    #[test]
    fn a_session_is_its_users_alone() {
        let (policy, _) = Policy::of(&Config::default_for(false), Some(1000));
        check(&policy, 1000, 1000, &[], Rights::Full, Rights::Read);
        check(&policy, 0, 0, &[], Rights::None, Rights::None);
    }

    #[test]
    fn names_that_nobody_has_are_told() {
        let mut config = Config::default_for(true);
        config.allow.write = vec![Who::User("root".into()), Who::Group("no such group".into())];
        assert_eq!(Policy::of(&config, None).1, ["@no such group"]);
    }

    #[test]
    fn what_readers_hold_is_bounded_together() {
        let places = Arc::new(Places::default());
        let [one, two] = [1, 2].map(|uid| places.take(uid, 9, 9).unwrap());
        assert!(one.holds(HELD_BY_ALL));
        assert!(two.holds(HELD_BY_EACH));
        assert!(!two.holds(HELD_BY_EACH + 1));
        drop(one);
        assert!(two.holds(HELD_BY_ALL));
        assert!(!two.holds(HELD_BY_ALL + 1));
        drop(two);
        assert_eq!(places.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let places = Arc::new(Places::default());
        let take = |uid| places.take(uid, 3, 2);
        let (one, _two) = (take(5).unwrap(), take(5).unwrap());
        assert_eq!(take(5).unwrap_err(), NoPlace::User(2));
        let _three = take(6).unwrap();
        assert_eq!(take(7).unwrap_err(), NoPlace::All(3));
        let _root = take(0).unwrap();
        drop(one);
        assert_eq!(take(5).unwrap_err(), NoPlace::All(3));
        drop(_root);
        take(5).unwrap();
    }
}
