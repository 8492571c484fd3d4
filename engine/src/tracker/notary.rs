//! What the tracker signs: tickets for those who ask, and who ceased to be a member of a group, for everybody in it.
//!
//! Invariant: what is signed was true when the job began; whoever was removed meanwhile is in a later statement, of a higher epoch.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::io::{Action, Work};
use super::registry::Command;
use super::{Outbox, Tracker};
use crate::id::{DeviceId, JobId, LinkId};
use crate::name::{GroupName, UserName};
use crate::refusal::Refusal;
use crate::ticket::{Clock, Expulsions, LIFETIME, Membership, Signature, Signed, UnixTime};
use crate::time::Time;
use crate::wire::tracker::{Answer, TrackerMessage};

/// Jobs of the notary are numbered from here; those of the log are below.
pub(super) const FIRST_JOB: u32 = 1 << 31;

/// What is being signed. As much as clients have asked for, each a bounded number of times, and removals under way.
#[derive(Debug, Default)]
pub(super) struct Notary {
    pub(super) clock: Clock,
    under_way: BTreeMap<JobId, Deed>,
    jobs_ever: u32,
}

#[derive(Debug)]
enum Deed {
    /// A ticket for a request on a link.
    Ticket { asker: (LinkId, u64), membership: Box<Membership>, expulsions: Box<Expulsions> },
    /// For all members that are online.
    Expulsions(Box<Expulsions>),
}

impl Notary {
    fn start(&mut self, deed: Deed, statements: Vec<Box<[u8]>>, outbox: &mut Outbox) {
        let job = JobId(FIRST_JOB | self.jobs_ever);
        self.jobs_ever = self.jobs_ever.wrapping_add(1) % FIRST_JOB;
        let twin = self.under_way.insert(job, deed);
        assert!(twin.is_none(), "two thousand million jobs are not under way at once");
        outbox.push(Action::Start { job, work: Work::Sign(statements) });
    }
}

impl Tracker {
    /// Begins to sign a ticket for a client that asks for one. If it knows a later list of the group than there is here, an old copy of the
    /// log was restored, and those who know that list hold good what it says: the group's list must be a later one.
    pub(super) fn issue(
        &mut self,
        now: Time,
        asker: (LinkId, u64),
        (group, known): (GroupName, u64),
        user: UserName,
        outbox: &mut Outbox,
    ) {
        let (link, seq) = asker;
        let Some(device) = self.sessions.get(link).map(|client| client.device) else { return };
        let removals = match self.registry.group_for(&group, &user) {
            Ok(found) => found.removals.clone(),
            Err(refusal) => return self.answer(link, seq, Err(refusal), outbox),
        };
        if removals.is_behind(known) {
            self.propose_quietly(&Command::Overtake { group: group.clone(), epoch: known });
        }
        let from = self.notary.clock.unix(now);
        let until = UnixTime(from.0.saturating_add(LIFETIME.secs_rounded_up()));
        let membership =
            Membership { group: group.clone(), user, device, epoch: removals.epoch, from, until };
        let expulsions = Expulsions { group, removals };
        let statements = vec![membership.layout(), expulsions.layout()];
        let deed = Deed::Ticket { asker, membership: Box::new(membership), expulsions: Box::new(expulsions) };
        self.notary.start(deed, statements, outbox);
    }

    /// Begins to sign who ceased to be a member, for all who still are.
    pub(super) fn publish(&mut self, group: GroupName, outbox: &mut Outbox) {
        let Ok(found) = self.registry.group(&group) else { return };
        let expulsions = Expulsions { removals: found.removals.clone(), group };
        let statements = vec![expulsions.layout()];
        self.notary.start(Deed::Expulsions(Box::new(expulsions)), statements, outbox);
    }

    /// Sends what was signed.
    pub(super) fn signed(
        &mut self,
        job: JobId,
        signer: DeviceId,
        signatures: &[Signature],
        outbox: &mut Outbox,
    ) {
        let deed = self.notary.under_way.remove(&job).expect("a job ends once, after it was started");
        match (deed, signatures) {
            (Deed::Ticket { asker: (link, seq), membership, expulsions }, &[first, second]) => {
                let ticket = Box::new(Signed { body: *membership, signer, signature: first });
                let expulsions = Box::new(Signed { body: *expulsions, signer, signature: second });
                // The link may have ended, or begun another session, since.
                let user = self.sessions.get(link).and_then(|client| client.user.as_ref());
                let answer = match user {
                    Some(user) if *user == ticket.body.user => Ok(Answer::Ticket { ticket, expulsions }),
                    _ => Err(Refusal::SessionEnded),
                };
                self.answer(link, seq, answer, outbox);
            }
            (Deed::Expulsions(expulsions), &[signature]) => {
                let Ok(group) = self.registry.group(&expulsions.group) else { return };
                let members: Vec<UserName> = group.members.keys().cloned().collect();
                let signed = Signed { body: *expulsions, signer, signature };
                for link in
                    members.iter().flat_map(|member| self.sessions.of_user(member)).collect::<Vec<_>>()
                {
                    self.send(link, TrackerMessage::Expulsions(Box::new(signed.clone())), outbox);
                }
            }
            _ => unreachable!("each statement is signed once"),
        }
    }
}
