//! The registry: accounts, groups and the catalogue, which every tracker keeps and none may lose.
//!
//! It changes only by [`Registry::apply`], one logged command after the other. Applying reads no clock and no randomness, so
//! trackers that applied the same commands hold the same registry. [`Registry::check_change`] says beforehand, without changing anything,
//! whether a change would be refused; `apply` asks it again, since others may have come in between.

mod devices;
mod groups;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Bound;

use bincode::{Decode, Encode};

use crate::id::{DeviceId, Salt};
use crate::limits::{INBOX_MAX, USERS_MAX};
use crate::name::{GroupName, UserName};
use crate::refusal::{Refusal, Table};
use crate::wire::codec;
use crate::wire::tracker::{Change, Notice};

pub use devices::Devices;
pub use groups::{File, Group, Member};

/// One command of the log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// A new account.
    CreateUser {
        /// Who asks, with the number of the request: a retry is not a second account.
        origin: Origin,
        /// Its name.
        user: UserName,
        /// How it opens.
        lock: Lock,
    },
    /// A change that a user asks for.
    Change {
        /// Who asks, with the number of the request: a retry is not a second change.
        origin: Origin,
        /// As whom.
        user: UserName,
        /// What.
        change: Change,
    },
    /// A device has logged in: from now on its failed logins are answered exactly.
    Bind {
        /// The device.
        device: DeviceId,
    },
    /// A user was told the news up to this index.
    ClearInbox {
        /// The user.
        user: UserName,
        /// Log index of the last that was told.
        upto: u64,
    },
    /// Somebody knows a list of removals of this epoch, which is of a later log than this one: an old copy of it was restored. From now
    /// on epochs are higher than that.
    Overtake {
        /// The group.
        group: GroupName,
        /// The epoch that somebody knows.
        epoch: u64,
    },
}

impl Command {
    /// Who asked for it, if somebody did.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        match self {
            Command::CreateUser { origin, .. } | Command::Change { origin, .. } => Some(origin),
            Command::Bind { .. } | Command::ClearInbox { .. } | Command::Overtake { .. } => None,
        }
    }
}

/// Who asked for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Origin {
    /// The device.
    pub device: DeviceId,
    /// The number of its request.
    pub seq: u64,
}

/// What opens an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lock {
    /// The salt with which the key is derived from the password.
    pub salt: Salt,
    /// SHA-256 over a label, the user and the key: a stolen registry opens nothing.
    pub verifier: [u8; 32],
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    /// How it opens.
    pub lock: Lock,
    /// The groups it is a member of.
    pub groups: BTreeSet<GroupName>,
    /// News that the user was not told yet, with the log index at which it arose.
    pub inbox: Vec<(u64, Notice)>,
}

/// What applying a command brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the one who asked is told.
    pub answer: Result<(), Refusal>,
    /// Who else is concerned.
    pub effects: Vec<Effect>,
}

/// Something that others must hear of once a command is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A user has news.
    Tell(UserName, Notice),
    /// A user is no longer a member of a group.
    Expelled(GroupName, UserName),
    /// The list of those who were removed from a group has a new epoch.
    Renewed(GroupName),
    /// A file is no longer listed, or its group is gone.
    Unlisted(GroupName, crate::name::FileName),
}

/// Accounts, groups and the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Registry {
    applied: u64,
    /// How far the epochs of groups are ahead of the log.
    leap: u64,
    users: BTreeMap<UserName, Account>,
    groups: BTreeMap<GroupName, Group>,
    devices: Devices,
}

impl Registry {
    /// Log index of the last command applied.
    #[must_use]
    pub const fn applied(&self) -> u64 {
        self.applied
    }

    /// The epoch of what happens to a group now: higher than any before, in this log or in one that is known to have been lost.
    const fn epoch(&self) -> u64 {
        self.applied.saturating_add(self.leap)
    }

    /// A hash of all of it.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let digest = blake3::hash(&codec::encode(self));
        digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The account of `user`.
    #[must_use]
    pub fn account(&self, user: &UserName) -> Option<&Account> {
        self.users.get(user)
    }

    /// How many accounts there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// How many files are listed, over all groups.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.groups.values().map(|group| group.files.len()).sum()
    }

    /// The group of that name.
    ///
    /// # Errors
    /// `NoSuchGroup`.
    pub fn group(&self, group: &GroupName) -> Result<&Group, Refusal> {
        self.groups.get(group).ok_or_else(|| Refusal::NoSuchGroup(group.clone()))
    }

    /// The group of that name, for one of its members.
    ///
    /// # Errors
    /// `NoSuchGroup`, `NotMember`.
    pub fn group_for(&self, group: &GroupName, user: &UserName) -> Result<&Group, Refusal> {
        let found = self.group(group)?;
        if found.members.contains_key(user) { Ok(found) } else { Err(Refusal::NotMember(group.clone())) }
    }

    /// The groups after `after`, by name.
    pub fn groups_after(&self, after: Option<&GroupName>) -> impl Iterator<Item = (&GroupName, &Group)> {
        self.groups.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    /// Whether `device` has ever logged in, or made an account.
    #[must_use]
    pub fn is_bound(&self, device: &DeviceId) -> bool {
        self.devices.is_bound(device)
    }

    /// The answer that a change got already, if this is a retry.
    #[must_use]
    pub fn answered(&self, origin: &Origin) -> Option<Result<(), Refusal>> {
        self.devices.answered(origin)
    }

    /// Whether an account of that name could be made now.
    ///
    /// # Errors
    /// `UserExists`, `Full`.
    pub fn check_create_user(&self, user: &UserName) -> Result<(), Refusal> {
        if self.users.contains_key(user) {
            return Err(Refusal::UserExists(user.clone()));
        }
        if self.users.len() >= USERS_MAX {
            return Err(Refusal::Full(Table::Users));
        }
        Ok(())
    }

    /// Applies the command at `index` of the log.
    ///
    /// # Panics
    /// If `index` is not the next.
    pub fn apply(&mut self, index: u64, command: &Command) -> Applied {
        assert_eq!(index, self.applied + 1, "commands are applied in order");
        self.applied = index;
        match command {
            Command::CreateUser { origin, user, lock } => {
                self.once(origin, |registry| (registry.create_user(origin, user, *lock), vec![]))
            }
            Command::Change { origin, user, change } => {
                self.once(origin, |registry| registry.change(user, change))
            }
            Command::Bind { device } => {
                self.devices.bind(index, *device);
                Applied { answer: Ok(()), effects: vec![] }
            }
            Command::ClearInbox { user, upto } => {
                if let Some(account) = self.users.get_mut(user) {
                    account.inbox.retain(|(index, _)| index > upto);
                }
                Applied { answer: Ok(()), effects: vec![] }
            }
            Command::Overtake { group, epoch } => {
                Applied { answer: Ok(()), effects: self.overtake(group, *epoch) }
            }
        }
    }

    /// Notes that the entry at `index` of the log is no command.
    ///
    /// # Panics
    /// If `index` is not the next.
    pub fn skip(&mut self, index: u64) {
        assert_eq!(index, self.applied + 1, "entries are applied in order");
        self.applied = index;
    }

    /// Runs `change` unless the same request was applied before; either way its answer is that of the first time.
    fn once(
        &mut self,
        origin: &Origin,
        change: impl FnOnce(&mut Registry) -> (Result<(), Refusal>, Vec<Effect>),
    ) -> Applied {
        if let Some(answer) = self.devices.answered(origin) {
            return Applied { answer, effects: vec![] };
        }
        let (answer, effects) = change(self);
        for effect in &effects {
            self.remember_news(effect);
        }
        self.devices.note(self.applied, origin, answer.clone());
        Applied { answer, effects }
    }

    fn create_user(&mut self, origin: &Origin, user: &UserName, lock: Lock) -> Result<(), Refusal> {
        self.check_create_user(user)?;
        self.users.insert(user.clone(), Account { lock, groups: BTreeSet::new(), inbox: vec![] });
        self.devices.bind(self.applied, origin.device);
        Ok(())
    }

    fn change(&mut self, user: &UserName, change: &Change) -> (Result<(), Refusal>, Vec<Effect>) {
        match self.check_change(user, change) {
            Err(refusal) => (Err(refusal), vec![]),
            Ok(()) => {
                let mut effects = vec![];
                self.perform(user, change, &mut effects);
                (Ok(()), effects)
            }
        }
    }

    /// Keeps news for the next login. Requests to join are not kept: they stand in the group until they are answered.
    fn remember_news(&mut self, effect: &Effect) {
        let Effect::Tell(user, notice) = effect else { return };
        if matches!(notice, Notice::JoinRequested { .. }) {
            return;
        }
        if let Some(account) = self.users.get_mut(user) {
            if account.inbox.len() == INBOX_MAX {
                account.inbox.remove(0);
            }
            account.inbox.push((self.applied, notice.clone()));
        }
    }

    /// Asserts every invariant of the registry.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        for (name, group) in &self.groups {
            group.check();
            assert!(group.removals.epoch <= self.epoch(), "what happens to {name} next has a higher epoch");
            for user in group.members.keys() {
                let listed = self.users.get(user).is_some_and(|account| account.groups.contains(name));
                assert!(listed, "{user} is a member of {name}, so the account lists it");
            }
        }
        for (user, account) in &self.users {
            assert!(account.inbox.len() <= INBOX_MAX);
            for group in &account.groups {
                let member = self.groups.get(group).is_some_and(|group| group.members.contains_key(user));
                assert!(member, "the account of {user} lists {group}, so it is a member");
            }
        }
        self.devices.check();
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests;
