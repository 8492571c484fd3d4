//! Why a download is as fast as it is: what is missing, and who could give it.

use alloc::vec::Vec;

use super::Peer;
use super::command::DownloadRow;
use super::file::{File, Key, Neighbour};
use super::link::Link;
use super::turn::Turn;
use crate::id::DeviceId;
use crate::name::UserName;
use crate::piece::PIECE_LEN;
use crate::refusal::Refusal;
use crate::time::Time;

/// Pieces that are named one by one, of those that nobody connected holds.
const ABSENT_NAMED: usize = 8;

/// Why a download is as fast as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// How it stands.
    pub row: DownloadRow,
    /// Whether the hashes of its pieces are known; nothing can be fetched before.
    pub hashes_known: bool,
    /// Pieces that somebody owes.
    pub under_way: u32,
    /// Of the missing pieces that somebody connected holds, one that fewest hold.
    pub rarest: Option<Rarest>,
    /// The first of the missing pieces that nobody connected holds, ascending; `row.unreachable` counts them all.
    pub absent: Vec<u32>,
    /// Who takes part in it and is connected, fastest first.
    pub peers: Vec<PeerRow>,
}

/// A piece that few hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rarest {
    /// Its number, counted from 0.
    pub piece: u32,
    /// How many of those connected hold it.
    pub holders: u32,
}

/// A peer, as one who fetches sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its device.
    pub device: DeviceId,
    /// Its user, if known.
    pub user: Option<UserName>,
    /// Pieces that it holds.
    pub held: u32,
    /// Pieces that it holds and that are missing here.
    pub useful: u32,
    /// Bytes a second that it gives us while it does, if it was ever measured.
    pub rate: Option<u64>,
    /// Pieces that it owes.
    pub owed: u32,
    /// What it does for us.
    pub state: PeerState,
}

/// What a peer does for somebody who fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// It owes pieces.
    Sends,
    /// It was asked for a slot, and has not given one yet.
    Queued,
    /// Its queue is full; it says when there is a place.
    Busy,
    /// It let us wait for too long, and is not asked for a while.
    Rests,
    /// It holds nothing that is missing here.
    NothingUseful,
    /// All that it has for us is under way from others.
    UnderWay,
    /// It could be asked.
    Free,
}

impl Peer {
    /// Why a download is as fast as it is.
    ///
    /// # Errors
    /// If nothing of that name was ever fetched in this session.
    pub(super) fn explain(&mut self, key: &Key, turn: &Turn<'_>) -> Result<Explanation, Refusal> {
        let not_fetched = || Refusal::NotDownloading(key.0.clone(), key.1.clone());
        let rows = self.download_rows(turn);
        let is_it = |row: &DownloadRow| row.group == key.0 && row.name == key.1;
        let row = rows.into_iter().find(is_it).ok_or_else(not_fetched)?;
        let (_, file) = self.files.find(key).ok_or_else(not_fetched)?;
        let peer = |(link, neighbour): (_, &Neighbour)| {
            let link = self.links.get(link)?;
            let user = self.member(&key.0, &link.device).map(|member| member.user.clone());
            Some(peer_row(link, neighbour, user, turn.now))
        };
        let mut peers: Vec<PeerRow> =
            file.neighbours.iter().map(|(id, n)| (*id, n)).filter_map(peer).collect();
        peers.sort_by_key(|peer| (core::cmp::Reverse(peer.rate), peer.device));
        let under_way = file.download().map_or(0, |download| download.flights.len());
        let absent = holders_of_missing(file).filter(|rarest| rarest.holders == 0);
        Ok(Explanation {
            row,
            hashes_known: file.hashes.is_some(),
            under_way: u32::try_from(under_way).unwrap_or(u32::MAX),
            rarest: holders_of_missing(file).filter(|it| it.holders > 0).min_by_key(|it| it.holders),
            absent: absent.map(|it| it.piece).take(ABSENT_NAMED).collect(),
            peers,
        })
    }
}

/// Each missing piece, ascending.
fn holders_of_missing(file: &File) -> impl Iterator<Item = Rarest> {
    let missing = move |download| {
        (0..file.held.len()).filter(|piece| !file.held.has(*piece)).map(move |piece| (download, piece))
    };
    file.download().into_iter().flat_map(missing).map(|(download, piece): (&super::file::Download, u32)| {
        Rarest { piece, holders: download.picker.availability(piece) }
    })
}

fn peer_row(link: &Link, neighbour: &Neighbour, user: Option<UserName>, now: Time) -> PeerRow {
    let state = if neighbour.requests > 0 {
        PeerState::Sends
    } else if neighbour.asks > 0 {
        PeerState::Queued
    } else if neighbour.useful == 0 {
        PeerState::NothingUseful
    } else if link.rests_until > now {
        PeerState::Rests
    } else if neighbour.busy {
        PeerState::Busy
    } else if neighbour.fruitless {
        PeerState::UnderWay
    } else {
        PeerState::Free
    };
    let rate = link.piece_time.get().and_then(|time| (u64::from(PIECE_LEN) * 1_000_000).checked_div(time.0));
    PeerRow {
        device: link.device,
        user,
        held: neighbour.have.count(),
        useful: neighbour.useful,
        rate,
        owed: u32::try_from(neighbour.requests).unwrap_or(u32::MAX),
        state,
    }
}
