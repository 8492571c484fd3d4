//! The names that this person has seen, for the prompt and for completion.
//!
//! Invariant: bounded, whatever the network lists: at most [`NAMES_MAX`] names of a kind in a group, [`GROUPS_MAX`] groups with details.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::peer::command::{Command, News, Reply};
use engine::wire::tracker::{GroupStanding, Notice};

/// Names of one kind that are remembered of one group, and groups: 10,000 x about 50 bytes.
const NAMES_MAX: usize = 10_000;

/// Groups whose files and members are remembered: 32 x 2 x 10,000 x about 50 bytes = 32 MB at worst.
const GROUPS_MAX: usize = 32;

/// Listings that one login fetches to know names: two a group.
const GROUPS_AT_LOGIN: usize = 8;

/// What is known; cheap to clone, shared between the side that listens and the side that types.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    user: Option<String>,
    groups: BTreeMap<String, bool>,
    files: BTreeMap<String, BTreeSet<String>>,
    users: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// Who is logged in here.
    pub(crate) fn user(&self) -> Option<String> {
        self.known().user.clone()
    }

    /// The groups.
    pub(crate) fn groups(&self) -> Vec<String> {
        self.known().groups.keys().cloned().collect()
    }

    /// The files of a group.
    pub(crate) fn files(&self, group: &str) -> Vec<String> {
        self.known().files.get(group).into_iter().flatten().cloned().collect()
    }

    /// The users seen in a group.
    pub(crate) fn users(&self, group: &str) -> Vec<String> {
        self.known().users.get(group).into_iter().flatten().cloned().collect()
    }

    /// Takes the names from an answer.
    pub(crate) fn learn(&self, command: &Command, reply: &Reply) {
        let mut known = self.known();
        match (command, reply) {
            (Command::Login { user, .. }, Reply::LoggedIn { .. }) => known.user = Some(user.to_string()),
            (Command::Logout { .. }, Reply::Done) => *known = Known::default(),
            (_, Reply::WhoAmI { user, .. }) => known.user = Some(user.to_string()),
            (_, Reply::Groups(rows)) => {
                let row = |row: &engine::wire::tracker::GroupRow| {
                    (row.group.to_string(), matches!(row.standing, GroupStanding::In(_)))
                };
                known.groups = rows.iter().take(NAMES_MAX).map(row).collect();
            }
            (Command::ListFiles { group }, Reply::Files(rows)) => {
                keep(&mut known.files, group.as_str(), rows.iter().map(|row| row.name.to_string()));
            }
            (Command::ListMembers { group }, Reply::Members(rows)) => {
                keep(&mut known.users, group.as_str(), rows.iter().map(|row| row.user.to_string()));
            }
            (Command::ListRequests { group }, Reply::JoinRequests(users)) => {
                for user in users.iter().take(NAMES_MAX) {
                    known.meet(group.as_str(), user.as_str());
                }
            }
            _ => {}
        }
    }

    /// Takes the names from news.
    pub(crate) fn hear(&self, news: &News) {
        let mut known = self.known();
        match news {
            News::SessionLost(_) => known.user = None,
            News::Notice(Notice::JoinRequested { group, user }) => {
                known.meet(group.as_str(), user.as_str());
            }
            _ => {}
        }
    }

    /// The listings to fetch after a login, now that the groups are known.
    pub(crate) fn own_groups(&self) -> Vec<String> {
        let known = self.known();
        let own = known.groups.iter().filter(|(_, member)| **member).map(|(group, _)| group.clone());
        own.take(GROUPS_AT_LOGIN).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is complete in itself, so a panic elsewhere leaves nothing half-done here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn meet(&mut self, group: &str, user: &str) {
        if self.users.contains_key(group) || self.users.len() < GROUPS_MAX {
            let users = self.users.entry(group.to_owned()).or_default();
            if users.len() < NAMES_MAX {
                users.insert(user.to_owned());
            }
        }
    }
}

/// Replaces what is known of a group.
fn keep(known: &mut BTreeMap<String, BTreeSet<String>>, group: &str, names: impl Iterator<Item = String>) {
    if known.len() >= GROUPS_MAX && !known.contains_key(group) {
        known.pop_first();
    }
    known.insert(group.to_owned(), names.take(NAMES_MAX).collect());
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::{content, file, group, user};
    use super::*;
    use engine::id::Password;
    use engine::name::GroupName;
    use engine::peer::command::Leaving;
    use engine::wire::tracker::FileRow;

    #[test]
    fn the_prompt_follows_the_session() {
        let names = Names::default();
        assert_eq!(names.user(), None);
        let login = Command::Login { user: user("ann"), password: Password(1) };
        names.learn(&login, &Reply::LoggedIn { shares: 0, partial: 0 });
        assert_eq!(names.user().as_deref(), Some("ann"));
        names.hear(&News::SessionLost("elsewhere".into()));
        assert_eq!(names.user(), None);
        names.learn(&login, &Reply::LoggedIn { shares: 0, partial: 0 });
        names.learn(&Command::Logout { when: Leaving::Now }, &Reply::Done);
        assert_eq!(names.user(), None);
    }

    #[test]
    fn names_come_from_listings_and_notices_and_are_bounded() {
        let names = Names::default();
        let rows =
            vec![FileRow { name: file(), content: content(1), seeders: 0, leechers: 0, available: true }];
        for number in 0..2 * GROUPS_MAX {
            let group = GroupName::new(&format!("g{number:03}")).unwrap();
            names.learn(&Command::ListFiles { group: group.clone() }, &Reply::Files(rows.clone()));
            names.hear(&News::Notice(Notice::JoinRequested { group, user: user("bob") }));
        }
        assert_eq!(names.known().files.len(), GROUPS_MAX);
        assert_eq!(names.known().users.len(), GROUPS_MAX);
        assert_eq!(names.files("g063"), ["a b.txt"]);
        assert_eq!(names.users("g000"), ["bob"]);
        assert_eq!(names.files(group().as_str()), Vec::<String>::new());
    }
}
