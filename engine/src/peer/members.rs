//! Whose devices are members' of a group, as far as the tracker has said; nothing of a group is said to others.

use alloc::vec::Vec;

use super::Peer;
use super::command::Failure;
use super::purpose::Purpose;
use super::turn::Turn;
use crate::id::{DeviceId, FileId, LinkId};
use crate::limits::{DEVICES_REMEMBERED_MAX, VOUCHES_PER_LINK};
use crate::name::{GroupName, UserName};
use crate::wire::tracker::Request;

impl Peer {
    /// Who is a member's device, as far as the tracker has said.
    pub(super) fn member(&self, group: &GroupName, device: &DeviceId) -> Option<&UserName> {
        self.members.get(group)?.get(device)
    }

    pub(super) fn note_member(&mut self, group: &GroupName, device: DeviceId, user: UserName) {
        let known: usize = self.members.values().map(crate::table::Table::len).sum();
        if known >= DEVICES_REMEMBERED_MAX {
            // Those with an open file stay; the rest are asked about again when they come.
            let linked = &self.links.by_device;
            self.members
                .values_mut()
                .for_each(|devices| devices.retain(|device, _| linked.contains_key(device)));
        }
        self.members.entry(group.clone()).or_default().insert(device, user);
    }

    pub(super) fn seek_voucher(
        &mut self,
        link: LinkId,
        device: DeviceId,
        (group, id): (GroupName, FileId),
        turn: &mut Turn<'_>,
    ) {
        let Some(there) = self.links.get_mut(link) else { return };
        if there.unvouched.len() >= VOUCHES_PER_LINK {
            return;
        }
        let asked = there.unvouched.iter().any(|(other, _)| *other == group);
        there.unvouched.push((group.clone(), id));
        if !asked {
            self.ask(Request::Vouch { group: group.clone(), device }, Purpose::Vouch { group, device }, turn);
        }
    }

    /// The tracker said whether a device is a member's.
    pub(super) fn vouched(
        &mut self,
        group: &GroupName,
        device: DeviceId,
        user: Option<UserName>,
        turn: &mut Turn<'_>,
    ) {
        let link = self.links.by_device.get(&device).copied();
        let there = link.and_then(|link| self.links.get_mut(link));
        let waiting = there.map(|there| core::mem::take(&mut there.unvouched)).unwrap_or_default();
        let (answered, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(other, _)| other == group);
        if let Some(there) = link.and_then(|link| self.links.get_mut(link)) {
            there.unvouched = rest;
        }
        let (Some(link), Some(user)) = (link, user) else { return };
        self.note_member(group, device, user);
        for (_, id) in answered {
            self.knock(link, id, turn);
        }
    }

    /// After a time without a tracker: are those we exchange pieces with still members?
    pub(super) fn vouch_afresh(&mut self, turn: &mut Turn<'_>) {
        let mut users: Vec<(GroupName, UserName)> = Vec::new();
        let linked = &self.links.by_device;
        for (group, devices) in &mut self.members {
            devices.retain(|device, _| linked.contains_key(device));
            users.extend(devices.values().map(|user| (group.clone(), user.clone())));
        }
        users.sort();
        users.dedup();
        for (group, user) in users {
            let request = Request::VouchAgain { group: group.clone(), user: user.clone() };
            self.ask(request, Purpose::VouchAgain { group, user }, turn);
        }
    }

    /// Somebody is no longer a member of a group: nothing more of it goes to their devices.
    pub(super) fn expelled(&mut self, group: &GroupName, user: &UserName, turn: &mut Turn<'_>) {
        if self.session.user.as_ref().is_some_and(|session| session.user == *user) {
            return self.expelled_ourselves(group, turn);
        }
        let Some(devices) = self.members.get_mut(group) else { return };
        let theirs: Vec<DeviceId> =
            devices.iter().filter(|(_, of)| *of == user).map(|(device, _)| *device).collect();
        devices.retain(|_, of| of != user);
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

    fn expelled_ourselves(&mut self, group: &GroupName, turn: &mut Turn<'_>) {
        self.members.remove(group);
        let files: Vec<FileId> =
            self.files.table.iter().filter(|(_, f)| f.key.0 == *group).map(|(id, _)| *id).collect();
        for id in files {
            self.end_or_fail(id, Failure::NotMember, turn);
        }
    }
}
