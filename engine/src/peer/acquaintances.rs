//! What is known while no tracker answers: files that one has listed, and members that one has named.
//!
//! With both, a download begins without a tracker, for as long as tickets last. When one answers again it is asked as always whether
//! the file is still listed.
//!
//! Invariants: nothing is known longer than a session lasts, nor of a group that the person is no longer in; a ticket is shown only
//! to devices that a tracker has named.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;

use super::Peer;
use super::file::Key;
use super::turn::Turn;
use crate::id::{DeviceId, FileId};
use crate::limits::LISTED_REMEMBERED_MAX;
use crate::name::{FileName, GroupName};
use crate::piece::Content;
use crate::table::Table;
use crate::wire::tracker::{Answer, PeerInfo};

/// What trackers have said in this session.
#[derive(Debug, Default)]
pub(super) struct Acquaintances {
    files: Table<GroupName, Table<FileName, Content>>,
    /// Where members of a group listen: the last that were named, as many as a download seeks neighbours.
    devices: Table<GroupName, Table<DeviceId, SocketAddr>>,
}

impl Acquaintances {
    pub(super) fn forget(&mut self) {
        *self = Acquaintances::default();
    }

    pub(super) fn forget_group(&mut self, group: &GroupName) {
        self.files.remove(group);
        self.devices.remove(group);
    }

    /// A file is no longer listed.
    pub(super) fn forget_file(&mut self, key: &Key) {
        if let Some(files) = self.files.get_mut(&key.0) {
            files.remove(&key.1);
        }
    }

    /// A tracker lists files of a group. When there is no more room, those listed last stay.
    pub(super) fn note_listed(&mut self, group: &GroupName, answer: &Answer) {
        let rows = match answer {
            Answer::Files(page) => &page.rows[..],
            Answer::File { row, .. } => core::slice::from_ref(&**row),
            _ => return,
        };
        let known: usize = self.files.values().map(Table::len).sum();
        if known + rows.len() > LISTED_REMEMBERED_MAX {
            self.files.clear();
        }
        let files = self.files.or_default(group.clone());
        for row in rows {
            files.insert(row.name.clone(), row.content);
        }
    }

    /// A tracker names members of a group. When there is no more room, those named last stay.
    pub(super) fn note_named(&mut self, group: &GroupName, peers: &[PeerInfo], wanted: usize) {
        if peers.is_empty() {
            return;
        }
        let known = self.devices.or_default(group.clone());
        if known.len() + peers.len() > wanted {
            known.clear();
        }
        for peer in peers.iter().take(wanted) {
            known.insert(peer.device, peer.address.0);
        }
    }
}

impl Peer {
    /// What a tracker has said to be in a file, if that is enough to fetch it without one.
    pub(super) fn listed_before(&self, key: &Key, turn: &Turn<'_>) -> Option<Content> {
        let content = self.acquaintances.files.get(&key.0)?.get(&key.1)?;
        self.papers.admit_to(&key.0, turn.now).then_some(*content)
    }

    /// Without a tracker that names peers of a file, those that were named for others of its group may take part in it, too.
    pub(super) fn ask_acquaintances(&mut self, id: FileId, turn: &mut Turn<'_>) {
        let Some(group) = self.files.get(id).map(|file| file.key.0.clone()) else { return };
        let named = self.acquaintances.devices.get(&group).into_iter().flat_map(Table::iter);
        let linked = self.links.table.values().filter(|there| self.member(&group, &there.device).is_some());
        let linked = linked.map(|there| (there.device, there.from));
        let known: BTreeMap<DeviceId, SocketAddr> =
            named.map(|(device, address)| (*device, *address)).chain(linked).collect();
        for (device, address) in known {
            if device != self.config.device {
                self.note_candidate(id, device, address, turn.now);
            }
        }
        self.dial_peers_of(&[id], turn);
    }
}
