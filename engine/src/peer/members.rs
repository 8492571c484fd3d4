//! Whose devices are members' of a group, by the tickets that they have shown; nothing of a group is said to others.

use alloc::vec::Vec;

use super::Peer;
use super::command::Failure;
use super::turn::Turn;
use crate::id::{DeviceId, FileId};
use crate::limits::DEVICES_REMEMBERED_MAX;
use crate::name::{GroupName, UserName};
use crate::ticket::UnixTime;

/// What a ticket said of a device.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) user: UserName,
    pub(super) epoch: u64,
    pub(super) until: UnixTime,
}

impl Peer {
    /// Whose device it is, if it has shown to be a member's.
    pub(super) fn member(&self, group: &GroupName, device: &DeviceId) -> Option<&Member> {
        self.members.get(group)?.get(device)
    }

    pub(super) fn note_member(&mut self, group: &GroupName, device: DeviceId, member: Member) {
        let known: usize = self.members.values().map(crate::table::Table::len).sum();
        if known >= DEVICES_REMEMBERED_MAX {
            // Those with a link stay; the rest show their tickets again when they come.
            let linked = &self.links.by_device;
            self.members
                .values_mut()
                .for_each(|devices| devices.retain(|device, _| linked.contains_key(device)));
        }
        self.members.or_default(group.clone()).insert(device, member);
    }

    /// Somebody is no longer a member of a group: nothing more of it goes to their devices.
    pub(super) fn expelled(&mut self, group: &GroupName, user: &UserName, turn: &mut Turn<'_>) {
        if self.session.user.as_ref().is_some_and(|session| session.user == *user) {
            return self.expelled_ourselves(group, turn);
        }
        self.drop_members(group, |member| member.user == *user, turn);
    }

    /// Ends what there is of a group with those devices that are no longer a member's.
    pub(super) fn drop_members(
        &mut self,
        group: &GroupName,
        gone: impl Fn(&Member) -> bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(devices) = self.members.get_mut(group) else { return };
        let theirs: Vec<DeviceId> =
            devices.iter().filter(|(_, member)| gone(member)).map(|(device, _)| *device).collect();
        devices.retain(|_, member| !gone(member));
        for device in theirs {
            let link = self.links.by_device.get(&device).copied();
            let files: Vec<FileId> =
                self.files.active().filter(|(_, file)| file.key.0 == *group).map(|(id, _)| id).collect();
            for id in files {
                if let Some(file) = self.files.get_mut(id) {
                    file.candidates.remove(&device);
                }
                if let Some(link) = link {
                    self.close_on(link, id, turn);
                }
            }
        }
    }

    pub(super) fn expelled_ourselves(&mut self, group: &GroupName, turn: &mut Turn<'_>) {
        self.members.remove(group);
        self.papers.drop_own(group);
        self.acquaintances.forget_group(group);
        let files: Vec<FileId> =
            self.files.table.iter().filter(|(_, f)| f.key.0 == *group).map(|(id, _)| *id).collect();
        for id in files {
            self.end_or_fail(id, Failure::NotMember, turn);
        }
    }
}
