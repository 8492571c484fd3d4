//! Leaving only when others hold what is shared here, and ending the program.

use alloc::vec::Vec;

use super::Peer;
use super::alarm::Alarm;
use super::command::{News, Reply};
use super::file::File;
use super::io::Action;
use super::turn::Turn;
use crate::id::{CommandId, LinkId};
use crate::limits::LAST_SENDS;
use crate::time::Time;
use crate::wire::peer::PeerMessage;

/// A person who wants to leave when there are enough copies elsewhere.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) id: CommandId,
    /// Full copies wanted of each file; none: nobody online still fetches one.
    pub(super) copies: Option<u32>,
    pub(super) quit: bool,
    pub(super) since: Time,
    /// What the person was told last: files not there yet, peers that fetch.
    pub(super) told: Option<(usize, u32)>,
}

/// A person who wants to leave now, as soon as the pieces that are being sent have left: half a piece is of use to nobody.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastSends {
    id: CommandId,
    /// When it leaves in any case.
    until: Time,
}

impl Departure {
    /// Whether the tracker has said, since the person wanted to leave, that there are enough copies of `file`.
    fn is_satisfied(&self, file: &File) -> bool {
        match (file.swarm, self.copies) {
            (Some((_, _, when)), _) if when <= self.since => false,
            (Some((_, leechers, _)), None) => leechers == 0,
            (Some((seeders, _, _)), Some(copies)) => seeders >= copies,
            (None, _) => false,
        }
    }
}

impl Peer {
    /// Asks the tracker how many copies there are of each file shared here.
    pub(super) fn ask_about_copies(&mut self, turn: &mut Turn<'_>) {
        let shared: Vec<_> =
            self.files.table.iter().filter(|(_, file)| file.is_complete()).map(|(id, _)| *id).collect();
        self.announce(&shared, true, turn);
        self.consider_leaving(turn);
    }

    /// Leaves if there are enough copies; otherwise tells the person how many are missing, when that has changed.
    pub(super) fn consider_leaving(&mut self, turn: &mut Turn<'_>) {
        let Some(departure) = &mut self.departure else { return };
        let missing: Vec<_> = self
            .files
            .table
            .values()
            .filter(|file| file.is_complete() && !departure.is_satisfied(file))
            .collect();
        if missing.is_empty() {
            let (id, quit) = (departure.id, departure.quit);
            self.departure = None;
            return if quit { self.quit(id, turn) } else { self.log_out(id, turn) };
        }
        let known = missing.iter().all(|file| file.swarm.is_some_and(|(_, _, when)| when > departure.since));
        let state = (
            missing.len(),
            missing.iter().filter_map(|file| file.swarm).map(|(_, leechers, _)| leechers).sum(),
        );
        if known && departure.told != Some(state) {
            departure.told = Some(state);
            turn.tell(News::Replicating { files: state.0, leechers: state.1 });
        }
    }

    /// Leaves when what is being sent has left; at once if nothing is, or if the person says so a second time.
    pub(super) fn quit(&mut self, id: CommandId, turn: &mut Turn<'_>) {
        let earlier = self.last_sends.take();
        if earlier.is_none() && self.uploads.is_sending() {
            self.last_sends = Some(LastSends { id, until: turn.now + LAST_SENDS });
            return;
        }
        self.end_session(turn);
        self.leave_tracker(turn);
        self.exiting = true;
        for id in earlier.map(|earlier| earlier.id).into_iter().chain([id]) {
            self.reply(id, Ok(Reply::Done), turn);
        }
        self.exit_when_idle(turn);
    }

    /// Whether nothing more is sent from here, because the person wants to leave; leaves when what was being sent has left.
    pub(super) fn is_quitting(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(LastSends { id, until }) = self.last_sends else { return false };
        if turn.now >= until || !self.uploads.is_sending() {
            self.quit(id, turn);
        } else {
            self.alarms.set(Alarm::Sweep, until);
        }
        true
    }

    /// The person does not want to leave after all.
    pub(super) fn stay(&mut self, id: CommandId) {
        self.departure.take_if(|departure| departure.id == id);
        self.last_sends.take_if(|last| last.id == id);
    }

    /// Takes leave of a peer and ends the link.
    pub(super) fn say_bye(&mut self, link: LinkId, turn: &mut Turn<'_>) {
        self.send(link, PeerMessage::Bye, turn);
        self.drop_link(link, turn);
        turn.act(Action::Close { link, violation: None });
    }

    /// Lets the program end once nothing is under way on the disk.
    pub(super) fn exit_when_idle(&mut self, turn: &mut Turn<'_>) {
        if self.exiting && self.jobs.is_empty() {
            turn.act(Action::Exit);
        }
    }
}
