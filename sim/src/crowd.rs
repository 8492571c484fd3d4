//! A crowd that is there from the start: its accounts and its group stand in the tracker's store as if they had been made before, and
//! everybody logs in at once. What takes a person a minute each is done for 100,000 of them in seconds.

use engine::id::{DeviceId, Salt};
use engine::name::GroupName;
use engine::peer::command::{Command, Reply};
use engine::tracker::login;
use engine::tracker::registry::{Command as Change, Lock, Origin, Registry};
use engine::wire::codec;
use engine::wire::tracker::Change as GroupChange;

use crate::jobs::derive_key;
use crate::network::NodeId;
use crate::node::Kind;
use crate::prose::{group, user};
use crate::world::{TRACKER, World};

impl World {
    /// Lets these clients have accounts of these names, be members of a group that the first of them owns, and be logged in.
    ///
    /// # Panics
    /// If the tracker knows anybody already, or if there are more clients than a group may have members.
    pub fn found(&mut self, group_name: &str, people: &[(NodeId, String)]) {
        let devices: Vec<DeviceId> = people.iter().map(|(client, _)| self.device(*client)).collect();
        let registry = registry(&group(group_name), people, &devices);
        assert!(self.registry().is_some_and(|registry| registry.user_count() == 0), "the tracker is new");
        self.kill_tracker();
        let tracker_device = self.nodes[TRACKER.0].device;
        let Kind::Tracker(tracker) = &mut self.nodes[TRACKER.0].kind else { unreachable!("it is the first") };
        let config = engine::tracker::Config::alone(self.seed.child(0), tracker_device);
        let store = engine::tracker::Tracker::restored(&config, &codec::encode(&registry));
        tracker.store = store.expect("it is a registry");
        self.restart_tracker();
        let logins: Vec<_> =
            people.iter().map(|(client, name)| (*client, self.begin_login(*client, name))).collect();
        for (client, id) in logins {
            self.until("a login", |world| world.answer(client, id).is_some());
            assert!(
                matches!(self.take_answer(client, id), Some(Ok(Reply::LoggedIn { .. }))),
                "the key opens the account"
            );
        }
    }

    fn begin_login(&mut self, client: NodeId, name: &str) -> engine::id::CommandId {
        let password = self.password(&password_of(name));
        self.command(client, Command::Login { user: user(name), password })
    }
}

/// The password that belongs to a name here.
pub(crate) fn password_of(name: &str) -> String {
    format!("{name}'s password")
}

/// A registry that has applied what makes the accounts and the group.
fn registry(group: &GroupName, people: &[(NodeId, String)], devices: &[DeviceId]) -> Registry {
    let mut registry = Registry::default();
    let mut apply = |command: Change| {
        let applied = registry.apply(registry.applied() + 1, &command);
        assert_eq!(applied.answer, Ok(()), "nothing stands in the way of {command:?}");
    };
    let Some(((_, owner), owner_device)) = people.first().zip(devices.first()) else { return registry };
    let owner = user(owner);
    for (seq, ((_, name), device)) in (2..).zip(people.iter().zip(devices)) {
        let member = user(name);
        let salt = Salt([0; 16]);
        let verifier = login::verifier(&member, &derive_key(&password_of(name), &salt));
        let origin = |seq| Origin { device: *device, seq };
        let by_owner = Origin { device: *owner_device, seq };
        apply(Change::CreateUser { origin: origin(0), user: member.clone(), lock: Lock { salt, verifier } });
        if member == owner {
            let change = GroupChange::CreateGroup { group: group.clone() };
            apply(Change::Change { origin: by_owner, user: member, change });
            continue;
        }
        let change = GroupChange::JoinGroup { group: group.clone() };
        apply(Change::Change { origin: origin(1), user: member.clone(), change });
        let accept = GroupChange::Accept { group: group.clone(), user: member.clone() };
        apply(Change::Change { origin: by_owner, user: owner.clone(), change: accept });
        apply(Change::ClearInbox { user: member, upto: u64::MAX });
    }
    registry
}
