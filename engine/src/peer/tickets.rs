//! Tickets of our own and of others, and the lists of those who ceased to be members.
//!
//! On a link both sides show their tickets of a group before anything else of it is said: who wants something shows first, and only to
//! a device that a tracker named; the other answers when it has verified what it saw. A stranger hears nothing.
//!
//! Invariants: what a ticket says counts only while its signature was found good, its time has not passed, its device is the one on
//! the link, and no list we know of revokes it; a higher epoch's list replaces a lower one's, never the other way round.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Peer;
use super::alarm::Alarm;
use super::io::{Outcome, Work};
use super::jobs::Job;
use super::members::Member;
use super::purpose::Purpose;
use super::turn::Turn;
use crate::id::{DeviceId, FileId, LinkId};
use crate::limits::{SIGNERS_MAX, VOUCHES_PER_LINK};
use crate::name::GroupName;
use crate::refusal::Refusal;
use crate::table::Table;
use crate::ticket::{Clock, Expulsions, Membership, RENEWAL, Signed, Ticket, UnixTime};
use crate::time::{Span, Time};
use crate::violation::Violation;
use crate::wire::peer::PeerMessage;
use crate::wire::tracker::{Answer, Request};

/// What this peer has in its hands.
#[derive(Debug)]
pub(super) struct Papers {
    clock: Clock,
    /// Keys of trackers.
    signers: BTreeSet<DeviceId>,
    /// Our tickets, with the time at which each came.
    own: Table<GroupName, (Ticket, Time)>,
    /// Groups of which a ticket is asked for.
    asked: BTreeSet<GroupName>,
    /// The latest list of each group that we have a ticket of.
    expulsions: Table<GroupName, Signed<Expulsions>>,
}

impl Papers {
    pub(super) fn new(signers: &[DeviceId]) -> Papers {
        Papers {
            clock: Clock::default(),
            signers: signers.iter().take(SIGNERS_MAX).copied().collect(),
            own: Table::default(),
            asked: BTreeSet::new(),
            expulsions: Table::default(),
        }
    }

    /// What is signed with this key counts from now on.
    pub(super) fn trust(&mut self, tracker: DeviceId) {
        if self.signers.len() < SIGNERS_MAX {
            self.signers.insert(tracker);
        }
    }

    /// Forgets everything that belongs to a session.
    pub(super) fn forget(&mut self) {
        self.own.clear();
        self.asked.clear();
        self.expulsions.clear();
    }

    pub(super) fn drop_own(&mut self, group: &GroupName) {
        self.own.remove(group);
        self.expulsions.remove(group);
    }

    /// Whether we have a ticket of a group that is still good.
    pub(super) fn admit_to(&self, group: &GroupName, now: Time) -> bool {
        self.own.get(group).is_some_and(|(ticket, _)| ticket.body.is_current(self.clock.unix(now)))
    }

    fn revoke(&self, group: &GroupName, user: &crate::name::UserName, epoch: u64) -> bool {
        self.expulsions.get(group).is_some_and(|known| known.body.removals.revoke(user, epoch))
    }
}

impl Peer {
    pub(super) fn set_clock(&mut self, unix: UnixTime, turn: &mut Turn<'_>) {
        self.papers.clock = Clock::new(unix, turn.now);
        self.look_over_tickets(turn);
    }

    /// Asks for tickets of the groups of these files, where there is none.
    pub(super) fn seek_tickets(&mut self, ids: &[FileId], turn: &mut Turn<'_>) {
        let mut groups: Vec<GroupName> = Vec::new();
        for file in ids.iter().filter_map(|id| self.files.get(*id)).filter(|file| file.is_active()) {
            if !self.papers.own.contains_key(&file.key.0) && groups.last() != Some(&file.key.0) {
                groups.push(file.key.0.clone());
            }
        }
        for group in groups {
            self.seek_ticket(group, turn);
        }
    }

    fn seek_ticket(&mut self, group: GroupName, turn: &mut Turn<'_>) {
        if self.papers.asked.insert(group.clone()) {
            let known = self.papers.expulsions.get(&group).map_or(0, |known| known.body.removals.epoch);
            self.ask(Request::Ticket { group: group.clone(), known }, Purpose::Ticket { group }, turn);
        }
    }

    /// On a new link to a tracker: new tickets, and with them what happened meanwhile.
    pub(super) fn renew_tickets(&mut self, turn: &mut Turn<'_>) {
        for group in self.papers.own.keys().cloned().collect::<Vec<_>>() {
            self.seek_ticket(group, turn);
        }
    }

    /// The tracker gave us a ticket, or did not.
    pub(super) fn ticket_came(
        &mut self,
        group: &GroupName,
        answer: Result<Answer, Refusal>,
        turn: &mut Turn<'_>,
    ) {
        self.papers.asked.remove(group);
        match answer {
            Ok(Answer::Ticket { ticket, expulsions }) => {
                self.papers.own.insert(group.clone(), (*ticket, turn.now));
                self.alarms.set(Alarm::Tickets, turn.now + RENEWAL);
                self.learn(*expulsions, None, turn);
                let links: Vec<LinkId> = self
                    .links
                    .table
                    .iter()
                    .filter(|(_, there)| {
                        there.has_seen(group).is_some()
                            || there.waiting.iter().any(|(other, _)| other == group)
                            || self.member(group, &there.device).is_some()
                    })
                    .map(|(link, _)| *link)
                    .collect();
                for link in links {
                    self.show(link, group, turn);
                }
            }
            Err(Refusal::NotMember(_) | Refusal::NoSuchGroup(_)) => self.expelled_ourselves(group, turn),
            // Without a tracker the old one serves on; the next link to one brings another.
            Ok(_) | Err(_) => {}
        }
    }

    /// Shows our ticket of a group on a link.
    fn show(&mut self, link: LinkId, group: &GroupName, turn: &mut Turn<'_>) {
        let Some((ticket, _)) = self.papers.own.get(group) else { return };
        let ticket = Box::new(ticket.clone());
        if let Some(there) = self.links.get_mut(link) {
            if there.has_seen(group).is_none() {
                there.shown.push((group.clone(), false));
            }
            self.send(link, PeerMessage::Show(ticket), turn);
        }
    }

    /// Whether both sides have shown each other that they are members.
    pub(super) fn have_met(&self, link: LinkId, group: &GroupName, device: &DeviceId) -> bool {
        let seen = self.links.get(link).and_then(|there| there.has_seen(group));
        seen == Some(true) && self.member(group, device).is_some()
    }

    /// Shows our ticket to somebody with whom a file is to be opened, which waits for theirs.
    pub(super) fn introduce(&mut self, link: LinkId, (group, id): (GroupName, FileId), turn: &mut Turn<'_>) {
        let Some(there) = self.links.get_mut(link) else { return };
        if there.waiting.len() >= VOUCHES_PER_LINK || there.waiting.contains(&(group.clone(), id)) {
            return;
        }
        there.waiting.push((group.clone(), id));
        there.idle_since = None;
        if there.has_seen(&group).is_some() {
            return;
        }
        if self.papers.own.contains_key(&group) {
            self.show(link, &group, turn);
        } else {
            self.seek_ticket(group, turn);
        }
    }

    /// Opens what waited, if both sides have met now.
    fn met(&mut self, link: LinkId, group: &GroupName, turn: &mut Turn<'_>) {
        let Some(device) = self.links.get(link).map(|there| there.device) else { return };
        if !self.have_met(link, group, &device) {
            return;
        }
        let Some(there) = self.links.get_mut(link) else { return };
        let (ready, rest): (Vec<_>, Vec<_>) =
            core::mem::take(&mut there.waiting).into_iter().partition(|(other, _)| other == group);
        there.waiting = rest;
        for (_, id) in ready {
            self.knock(link, id, turn);
        }
    }

    /// A peer shows a ticket. One that is expired, revoked, of an unknown tracker or of a group with which we have nothing to do is passed
    /// over in silence: it may be honest.
    pub(super) fn ticket_shown(&mut self, link: LinkId, ticket: Ticket, turn: &mut Turn<'_>) {
        let Some(there) = self.links.get(link) else { return };
        if ticket.body.device != there.device {
            return self.violation(link, Violation::FalseTicket, turn);
        }
        if there.verifying >= VOUCHES_PER_LINK {
            return self.violation(link, Violation::TooManyRequests, turn);
        }
        let group = &ticket.body.group;
        let of_use = self.papers.own.contains_key(group) || self.is_active_in(group);
        if !of_use || !self.is_good(&ticket.body, turn.now) || !self.papers.signers.contains(&ticket.signer) {
            return;
        }
        if let Some(there) = self.links.get_mut(link) {
            there.verifying += 1;
        }
        let Signed { body, signer, signature } = ticket;
        let work = Work::Verify { signer, statement: body.layout(), signature: Box::new(signature) };
        self.jobs.start(Job::Ticket { link, membership: Box::new(body) }, work, turn);
    }

    fn is_active_in(&self, group: &GroupName) -> bool {
        self.files.active().any(|(_, file)| file.key.0 == *group)
    }

    /// Whether a membership counts, if it was signed.
    fn is_good(&self, membership: &Membership, now: Time) -> bool {
        let Membership { group, user, epoch, .. } = membership;
        membership.is_current(self.papers.clock.unix(now)) && !self.papers.revoke(group, user, *epoch)
    }

    /// Whether a verified statement of a peer holds; one that is not signed ends the link.
    fn verified(&mut self, link: LinkId, outcome: &Outcome, turn: &mut Turn<'_>) -> bool {
        let Some(there) = self.links.get_mut(link) else { return false };
        there.verifying -= 1;
        if *outcome == Outcome::Verified(true) {
            return true;
        }
        self.violation(link, Violation::FalseTicket, turn);
        false
    }

    /// A ticket that a peer has shown was verified.
    pub(super) fn ticket_verified(
        &mut self,
        link: LinkId,
        membership: Membership,
        outcome: &Outcome,
        turn: &mut Turn<'_>,
    ) {
        if !self.verified(link, outcome, turn) || !self.is_good(&membership, turn.now) {
            return;
        }
        let Membership { group, user, device, epoch, until, .. } = membership;
        self.note_member(&group, device, Member { user, epoch, until });
        let left = until.0.saturating_sub(self.papers.clock.unix(turn.now).0);
        self.alarms.set(Alarm::Tickets, turn.now + Span::from_secs(left));
        self.send(link, PeerMessage::Seen { group: group.clone() }, turn);
        if !self.papers.own.contains_key(&group) {
            // Shown when it comes.
            self.seek_ticket(group.clone(), turn);
        } else if self.links.get(link).is_some_and(|there| there.has_seen(&group).is_none()) {
            self.show(link, &group, turn);
        }
        self.hand_on(link, &group, epoch, turn);
        self.met(link, &group, turn);
    }

    /// A peer has seen that we are a member.
    pub(super) fn ticket_seen(&mut self, link: LinkId, group: &GroupName, turn: &mut Turn<'_>) {
        let shown = self.links.get_mut(link).map_or(&mut [][..], |there| &mut there.shown);
        let Some((_, seen)) = shown.iter_mut().find(|(other, _)| other == group) else {
            return self.violation(link, Violation::UnaskedAnswer, turn);
        };
        *seen = true;
        self.met(link, group, turn);
    }

    /// Tells a member whose ticket is of an earlier epoch than the list that we know.
    fn hand_on(&mut self, link: LinkId, group: &GroupName, epoch: u64, turn: &mut Turn<'_>) {
        let Some(known) = self.papers.expulsions.get(group) else { return };
        if known.body.removals.epoch > epoch {
            let expulsions = Box::new(known.clone());
            self.send(link, PeerMessage::Expulsions(expulsions), turn);
        }
    }

    /// A peer says who is no longer a member. Only a member is listened to, and only about what is new.
    pub(super) fn expulsions_told(&mut self, link: LinkId, told: Signed<Expulsions>, turn: &mut Turn<'_>) {
        let Some(there) = self.links.get(link) else { return };
        let (device, verifying) = (there.device, there.verifying);
        let group = &told.body.group;
        let unknown = !self.papers.own.contains_key(group) || self.member(group, &device).is_none();
        if unknown || !self.is_news(&told.body) || !self.papers.signers.contains(&told.signer) {
            return;
        }
        if verifying >= VOUCHES_PER_LINK {
            return self.violation(link, Violation::TooManyRequests, turn);
        }
        if let Some(there) = self.links.get_mut(link) {
            there.verifying += 1;
        }
        let (signer, statement) = (told.signer, told.body.layout());
        let work = Work::Verify { signer, statement, signature: Box::new(told.signature) };
        self.jobs.start(Job::Expulsions { link, expulsions: Box::new(told) }, work, turn);
    }

    pub(super) fn expulsions_verified(
        &mut self,
        link: LinkId,
        told: Signed<Expulsions>,
        outcome: &Outcome,
        turn: &mut Turn<'_>,
    ) {
        if self.verified(link, outcome, turn) {
            self.learn(told, Some(link), turn);
        }
    }

    fn is_news(&self, told: &Expulsions) -> bool {
        let known = self.papers.expulsions.get(&told.group).map(|known| known.body.removals.epoch);
        known.is_none_or(|epoch| epoch < told.removals.epoch)
    }

    /// Who ceased to be a member: nothing more goes to them, and the other members hear of it.
    pub(super) fn learn(&mut self, told: Signed<Expulsions>, from: Option<LinkId>, turn: &mut Turn<'_>) {
        let group = told.body.group.clone();
        let Some((own, _)) = self.papers.own.get(&group) else { return };
        if !self.is_news(&told.body) {
            return;
        }
        let ourselves = told.body.removals.revoke(&own.body.user, own.body.epoch);
        let removals = told.body.removals.clone();
        self.papers.expulsions.insert(group.clone(), told);
        if ourselves {
            return self.expelled_ourselves(&group, turn);
        }
        self.drop_members(&group, |member| removals.revoke(&member.user, member.epoch), turn);
        let devices = self.members.get(&group).into_iter().flat_map(Table::iter);
        let links: Vec<(LinkId, u64)> = devices
            .filter_map(|(device, member)| Some((*self.links.by_device.get(device)?, member.epoch)))
            .filter(|(link, _)| Some(*link) != from)
            .collect();
        for (link, epoch) in links {
            self.hand_on(link, &group, epoch, turn);
        }
    }

    /// Ends what there is with those whose tickets have expired, and asks for a new one where ours is old.
    pub(super) fn look_over_tickets(&mut self, turn: &mut Turn<'_>) {
        let unix = self.papers.clock.unix(turn.now);
        for group in self.members.keys().cloned().collect::<Vec<_>>() {
            self.drop_members(&group, |member| member.until <= unix, turn);
        }
        let old = |since: Time| turn.now.since(since) >= RENEWAL;
        let groups: Vec<GroupName> = self
            .papers
            .own
            .iter()
            .filter(|(_, (_, since))| old(*since))
            .map(|(group, _)| group.clone())
            .collect();
        for group in groups {
            self.seek_ticket(group, turn);
        }
        let expiries = self.members.values().flat_map(Table::values).map(|member| member.until.0 - unix.0);
        let next = expiries.min().map(Span::from_secs);
        let renewal = (!self.papers.own.is_empty()).then_some(RENEWAL);
        if let Some(next) = next.into_iter().chain(renewal).min() {
            self.alarms.set(Alarm::Tickets, turn.now + next);
        }
    }
}
