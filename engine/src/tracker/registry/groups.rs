//! Groups: who may do what in them, and what each change does.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::{Effect, Registry};
use crate::limits::{
    FILES_PER_GROUP, GROUPS_MAX, JOIN_REQUESTS_PER_GROUP, MEMBERS_PER_GROUP, NAMES_IN_REFUSAL_MAX,
};
use crate::name::{FileName, GroupName, UserName};
use crate::piece::Content;
use crate::refusal::{Refusal, Table};
use crate::ticket::Removals;
use crate::wire::list::List;
use crate::wire::tracker::{Change, Notice, Role};

/// A group. It has at least one member, and exactly one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Group {
    /// Its members.
    pub members: BTreeMap<UserName, Member>,
    /// Who asks to join; none is a member.
    pub requests: BTreeSet<UserName>,
    /// What it lists.
    pub files: BTreeMap<FileName, File>,
    /// Who ceased to be a member.
    pub removals: Removals,
}

/// A member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// As what.
    pub role: Role,
    /// Log index at which membership began: the lower, the longer.
    pub since: u64,
}

/// A file that a group lists.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct File {
    /// What is in it.
    pub content: Content,
    /// Who shared it, with the log index at which they did.
    pub sharers: BTreeMap<UserName, u64>,
}

impl File {
    /// Some of those who shared it, the first first.
    #[must_use]
    pub fn first_sharers(&self) -> List<UserName, NAMES_IN_REFUSAL_MAX> {
        let mut sharers: Vec<_> = self.sharers.iter().collect();
        sharers.sort_by_key(|(_, since)| **since);
        List::new(sharers.into_iter().take(NAMES_IN_REFUSAL_MAX).map(|(user, _)| user.clone()).collect())
    }
}

impl Group {
    /// What `user` is in the group, if a member.
    #[must_use]
    pub fn role(&self, user: &UserName) -> Option<Role> {
        self.members.get(user).map(|member| member.role)
    }

    /// Those who may answer requests to join.
    pub fn admins(&self) -> impl Iterator<Item = &UserName> {
        self.members.iter().filter(|(_, member)| member.role != Role::Member).map(|(user, _)| user)
    }

    /// Whether `user` may answer requests and remove members and files.
    #[must_use]
    pub fn is_admin(&self, user: &UserName) -> bool {
        matches!(self.role(user), Some(Role::Owner | Role::Admin))
    }

    /// Who becomes owner when the owner is gone: the longest-standing admin, else the longest-standing member.
    fn heir(&self) -> Option<UserName> {
        self.members
            .iter()
            .min_by_key(|(_, member)| (member.role, member.since))
            .map(|(user, _)| user.clone())
    }

    pub(super) fn check(&self) {
        let owners = self.members.values().filter(|member| member.role == Role::Owner).count();
        assert_eq!(owners, 1, "a group has exactly one owner");
        assert!(self.requests.iter().all(|user| !self.members.contains_key(user)), "no member asks to join");
        assert!(self.files.values().all(|file| !file.sharers.is_empty()), "somebody shared each file");
    }
}

impl Registry {
    /// Whether `change` by `user` would be made now.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check_change(&self, user: &UserName, change: &Change) -> Result<(), Refusal> {
        match change {
            Change::CreateGroup { group } => self.check_create_group(group),
            Change::JoinGroup { group } => self.check_join(user, group),
            Change::Accept { group, user: asker } => {
                self.check_answer(user, group, asker)?;
                let full = self.group(group)?.members.len() >= MEMBERS_PER_GROUP;
                if full { Err(Refusal::Full(Table::Members)) } else { Ok(()) }
            }
            Change::Reject { group, user: asker } => self.check_answer(user, group, asker),
            Change::Leave { group } => self.group_for(group, user).map(|_| ()),
            Change::MakeAdmin { group, user: member } => self.check_make_admin(user, group, member),
            Change::RemoveMember { group, user: member } => self.check_remove(user, group, member),
            Change::AddFile { group, name, content } => self.check_add_file(user, group, name, content),
            Change::RemoveFile { group, name } => self.check_remove_file(user, group, name),
        }
    }

    fn check_create_group(&self, group: &GroupName) -> Result<(), Refusal> {
        if self.groups.contains_key(group) {
            return Err(Refusal::GroupExists(group.clone()));
        }
        if self.groups.len() >= GROUPS_MAX {
            return Err(Refusal::Full(Table::Groups));
        }
        Ok(())
    }

    fn check_join(&self, user: &UserName, group: &GroupName) -> Result<(), Refusal> {
        let found = self.group(group)?;
        if found.members.contains_key(user) {
            return Err(Refusal::AlreadyMember(group.clone()));
        }
        if found.requests.contains(user) {
            return Err(Refusal::AlreadyPending(group.clone()));
        }
        if found.requests.len() >= JOIN_REQUESTS_PER_GROUP {
            return Err(Refusal::Full(Table::JoinRequests));
        }
        Ok(())
    }

    /// The group, if `user` is its owner or an admin.
    ///
    /// # Errors
    /// `NoSuchGroup`, `NotMember`, `NotAdmin`.
    pub fn group_for_admin(&self, group: &GroupName, user: &UserName) -> Result<&Group, Refusal> {
        let found = self.group_for(group, user)?;
        if found.is_admin(user) { Ok(found) } else { Err(Refusal::NotAdmin(group.clone())) }
    }

    fn check_answer(&self, user: &UserName, group: &GroupName, asker: &UserName) -> Result<(), Refusal> {
        let found = self.group_for_admin(group, user)?;
        if found.requests.contains(asker) {
            Ok(())
        } else {
            Err(Refusal::NoSuchRequest(group.clone(), asker.clone()))
        }
    }

    fn check_make_admin(&self, user: &UserName, group: &GroupName, member: &UserName) -> Result<(), Refusal> {
        let found = self.group_for(group, user)?;
        if found.role(user) != Some(Role::Owner) {
            return Err(Refusal::NotOwner(group.clone()));
        }
        match found.role(member) {
            None => Err(Refusal::NoSuchMember(group.clone(), member.clone())),
            Some(Role::Member) => Ok(()),
            Some(_) => Err(Refusal::AlreadyAdmin(group.clone(), member.clone())),
        }
    }

    fn check_remove(&self, user: &UserName, group: &GroupName, member: &UserName) -> Result<(), Refusal> {
        let found = self.group_for_admin(group, user)?;
        let Some(theirs) = found.role(member) else {
            return Err(Refusal::NoSuchMember(group.clone(), member.clone()));
        };
        if member == user {
            return Err(Refusal::LeaveInstead(group.clone()));
        }
        // `Role` orders from the highest: only somebody strictly higher may remove.
        if found.role(user) < Some(theirs) {
            Ok(())
        } else {
            Err(Refusal::OutranksYou(group.clone(), member.clone()))
        }
    }

    fn check_add_file(
        &self,
        user: &UserName,
        group: &GroupName,
        name: &FileName,
        content: &Content,
    ) -> Result<(), Refusal> {
        let found = self.group_for(group, user)?;
        match found.files.get(name) {
            Some(file) if file.content == *content => Ok(()),
            Some(file) => Err(Refusal::FileDiffers {
                group: group.clone(),
                name: name.clone(),
                sharers: file.first_sharers(),
            }),
            None if found.files.len() >= FILES_PER_GROUP => Err(Refusal::Full(Table::Files)),
            None => Ok(()),
        }
    }

    fn check_remove_file(&self, user: &UserName, group: &GroupName, name: &FileName) -> Result<(), Refusal> {
        let found = self.group_for(group, user)?;
        let Some(file) = found.files.get(name) else {
            return Err(Refusal::NoSuchFile(group.clone(), name.clone()));
        };
        if found.is_admin(user) || file.sharers.contains_key(user) {
            Ok(())
        } else {
            Err(Refusal::NotSharer(group.clone(), name.clone()))
        }
    }

    /// Makes a change that was checked.
    pub(super) fn perform(&mut self, user: &UserName, change: &Change, effects: &mut Vec<Effect>) {
        match change {
            Change::CreateGroup { group } => self.admit(group, user, Role::Owner),
            Change::JoinGroup { group } => self.request(group, user, effects),
            Change::Accept { group, user: asker } => {
                self.admit(group, asker, Role::Member);
                effects.push(Effect::Tell(asker.clone(), Notice::Accepted { group: group.clone() }));
            }
            Change::Reject { group, user: asker } => {
                if let Some(found) = self.groups.get_mut(group) {
                    found.requests.remove(asker);
                }
                effects.push(Effect::Tell(asker.clone(), Notice::Rejected { group: group.clone() }));
            }
            Change::Leave { group } => self.expel(group, user, effects),
            Change::MakeAdmin { group, user: member } => {
                if let Some(found) =
                    self.groups.get_mut(group).and_then(|group| group.members.get_mut(member))
                {
                    found.role = Role::Admin;
                }
                effects.push(Effect::Tell(member.clone(), Notice::MadeAdmin { group: group.clone() }));
            }
            Change::RemoveMember { group, user: member } => {
                self.expel(group, member, effects);
                effects.push(Effect::Tell(member.clone(), Notice::Removed { group: group.clone() }));
            }
            Change::AddFile { group, name, content } => self.add_file(group, user, name, *content),
            Change::RemoveFile { group, name } => {
                if let Some(found) = self.groups.get_mut(group) {
                    found.files.remove(name);
                }
                effects.push(Effect::Unlisted(group.clone(), name.clone()));
            }
        }
    }

    fn admit(&mut self, group: &GroupName, user: &UserName, role: Role) {
        let (since, epoch) = (self.applied, self.epoch());
        let new = || Group { removals: Removals::of_new_group(epoch), ..Group::default() };
        let found = self.groups.entry(group.clone()).or_insert_with(new);
        found.requests.remove(user);
        found.members.insert(user.clone(), Member { role, since });
        if let Some(account) = self.users.get_mut(user) {
            account.groups.insert(group.clone());
        }
    }

    fn request(&mut self, group: &GroupName, user: &UserName, effects: &mut Vec<Effect>) {
        let Some(found) = self.groups.get_mut(group) else { return };
        found.requests.insert(user.clone());
        let notice = Notice::JoinRequested { group: group.clone(), user: user.clone() };
        effects.extend(found.admins().map(|admin| Effect::Tell(admin.clone(), notice.clone())));
    }

    fn add_file(&mut self, group: &GroupName, user: &UserName, name: &FileName, content: Content) {
        let since = self.applied;
        let Some(found) = self.groups.get_mut(group) else { return };
        let file =
            found.files.entry(name.clone()).or_insert_with(|| File { content, sharers: BTreeMap::new() });
        file.sharers.entry(user.clone()).or_insert(since);
    }

    /// Ends a membership; if it was the owner's, the heir inherits; if it was the last, the group ends.
    fn expel(&mut self, group: &GroupName, user: &UserName, effects: &mut Vec<Effect>) {
        let epoch = self.epoch();
        let Some(found) = self.groups.get_mut(group) else { return };
        found.members.remove(user);
        found.removals.add(user, epoch);
        if let Some(account) = self.users.get_mut(user) {
            account.groups.remove(group);
        }
        effects.push(Effect::Expelled(group.clone(), user.clone()));
        let Some(heir) = found.heir() else {
            return self.end_group(group, effects);
        };
        // While the owner is there, the heir is the owner.
        if let Some(member) = found.members.get_mut(&heir).filter(|member| member.role != Role::Owner) {
            member.role = Role::Owner;
            effects.push(Effect::Tell(heir, Notice::MadeOwner { group: group.clone() }));
        }
    }

    /// Makes the epochs of all groups higher than one that somebody knows of a group, and has that group's list told anew: to peers a
    /// list of a lower epoch than the one they know is old news, and so are tickets.
    pub(super) fn overtake(&mut self, group: &GroupName, known: u64) -> Vec<Effect> {
        if !self.groups.get(group).is_some_and(|found| found.removals.is_behind(known)) {
            return Vec::new();
        }
        self.leap = self.leap.max(known.saturating_sub(self.applied) + 1);
        let epoch = self.epoch();
        if let Some(found) = self.groups.get_mut(group) {
            found.removals.epoch = epoch;
        }
        alloc::vec![Effect::Renewed(group.clone())]
    }

    fn end_group(&mut self, group: &GroupName, effects: &mut Vec<Effect>) {
        let Some(ended) = self.groups.remove(group) else { return };
        effects.extend(ended.files.into_keys().map(|name| Effect::Unlisted(group.clone(), name)));
        effects.extend(
            ended
                .requests
                .into_iter()
                .map(|user| Effect::Tell(user, Notice::Rejected { group: group.clone() })),
        );
    }
}
