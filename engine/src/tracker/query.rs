//! Questions that change nothing durable, answered at once.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Bound;

use super::registry::{Command, File, Group};
use super::swarm::Key;
use super::{Outbox, Tracker, login};
use crate::id::{Key as AccountKey, LinkId};
use crate::limits::{INBOX_MAX, ROWS_PER_PAGE};
use crate::name::{FileName, GroupName, UserName};
use crate::refusal::Refusal;
use crate::time::Time;
use crate::wire::list::List;
use crate::wire::tracker::{
    Address, Answer, FileRow, GroupRow, GroupStanding, MemberRow, Notice, Page, PeerInfo, Request,
    TrackerMessage,
};

impl Tracker {
    /// Answers a request that is no change, or a change without a session, from the registry as it is here.
    pub(super) fn reply(
        &mut self,
        now: Time,
        (link, seq): (LinkId, u64),
        request: Request,
        outbox: &mut Outbox,
    ) {
        let Some(client) = self.sessions.get(link) else { return };
        match (request, client.user.clone()) {
            (Request::Ticket { group, known }, Some(user)) => {
                self.issue(now, (link, seq), (group, known), user, outbox);
            }
            (request, user) => {
                let begins = matches!(request, Request::Login { .. });
                let answer = self.query(now, link, user.as_ref(), request);
                let began = begins && answer.is_ok();
                self.answer(link, seq, answer, outbox);
                if began {
                    self.tell_signers_to(link, outbox);
                }
            }
        }
    }

    /// Answers a request that is no change.
    fn query(
        &mut self,
        now: Time,
        link: LinkId,
        user: Option<&UserName>,
        request: Request,
    ) -> Result<Answer, Refusal> {
        match (request, user) {
            (Request::GetSalt { user }, _) => {
                Ok(Answer::Salt(login::salt(&self.seed, &self.registry, &user)))
            }
            (Request::Login { user, key }, _) => self.log_in(now, link, user, &key),
            (Request::Logout, _) => {
                self.drop_session(link);
                Ok(Answer::Done)
            }
            (_, None) => Err(Refusal::LogInFirst),
            (Request::Groups { after }, Some(user)) => Ok(self.groups(user, after.as_ref())),
            (Request::Members { group, after }, Some(user)) => self.members(user, &group, after.as_ref()),
            (Request::JoinRequests { group, after }, Some(user)) => {
                let requests = &self.registry.group_for_admin(&group, user)?.requests;
                Ok(Answer::JoinRequests(page(requests.range(beyond(after.as_ref())).cloned())))
            }
            (Request::Files { group, after }, Some(user)) => {
                let files = &self.registry.group_for(&group, user)?.files;
                let rows =
                    files.range(beyond(after.as_ref())).map(|(name, file)| self.file_row(&group, name, file));
                Ok(Answer::Files(page(rows)))
            }
            (Request::File { group, name }, Some(user)) => self.file(link, user, group, name),
            (Request::CreateUser { .. } | Request::Change(_) | Request::Ticket { .. }, Some(_)) => {
                unreachable!("changes go through the log, and tickets are signed first")
            }
        }
    }

    /// Ends the session on a link, and what it had a part in.
    pub(super) fn drop_session(&mut self, link: LinkId) {
        if self.sessions.get(link).is_some_and(|client| client.user.is_some()) {
            self.cluster.mark(link, None);
        }
        self.sessions.set_user(link, None);
        for key in self.swarms.leave_all(link) {
            self.cluster.mark(link, Some(&key));
        }
    }

    fn log_in(
        &mut self,
        now: Time,
        link: LinkId,
        user: UserName,
        key: &AccountKey,
    ) -> Result<Answer, Refusal> {
        let Some(client) = self.sessions.get(link) else { return Err(Refusal::SessionEnded) };
        let (device, from) = (client.device, client.from);
        self.tries.check(now, &user, from)?;
        if let Err(refusal) = login::open(&self.registry, &device, &user, key) {
            self.tries.failed(now, &user, from);
            // What is not known here may be known elsewhere: the client asks there.
            return Err(if self.is_warned(link) { Refusal::NoMajority } else { refusal });
        }
        self.tries.succeeded(&user, from);
        self.drop_session(link);
        self.sessions.set_user(link, Some(user.clone()));
        self.cluster.mark(link, None);
        if !self.registry.is_bound(&device) {
            self.propose_quietly(&Command::Bind { device });
        }
        Ok(Answer::LoggedIn { inbox: self.take_inbox(user) })
    }

    /// What happened while a user was away, and who waits to join where the user may answer.
    fn take_inbox(&mut self, user: UserName) -> List<Notice, INBOX_MAX> {
        let Some(account) = self.registry.account(&user) else { return List::default() };
        let news = account.inbox.iter().map(|(_, notice)| notice.clone());
        let waiting = account.groups.iter().flat_map(|name| {
            let group = self.registry.group_for_admin(name, &user).ok();
            let requests = group.into_iter().flat_map(|group| group.requests.iter());
            requests.map(|asker| Notice::JoinRequested { group: name.clone(), user: asker.clone() })
        });
        let inbox = List::new(news.chain(waiting).take(INBOX_MAX).collect());
        if let Some(upto) = account.inbox.last().map(|(index, _)| *index) {
            self.propose_quietly(&Command::ClearInbox { user, upto });
        }
        inbox
    }

    fn groups(&self, user: &UserName, after: Option<&GroupName>) -> Answer {
        Answer::Groups(page(self.registry.groups_after(after).map(|(name, group)| GroupRow {
            group: name.clone(),
            members: count(group.members.len()),
            standing: standing(group, user),
        })))
    }

    fn members(
        &self,
        user: &UserName,
        group: &GroupName,
        after: Option<&UserName>,
    ) -> Result<Answer, Refusal> {
        let members = &self.registry.group_for(group, user)?.members;
        Ok(Answer::Members(page(members.range(beyond(after)).map(|(user, member)| MemberRow {
            user: user.clone(),
            role: member.role,
            online: self.is_online(user),
        }))))
    }

    fn is_online(&self, user: &UserName) -> bool {
        !self.sessions.of_user(user).is_empty() || !self.guests.of_user(user).is_empty()
    }

    fn file_row(&self, group: &GroupName, name: &FileName, file: &File) -> FileRow {
        let swarm = self.swarms.get(&(group.clone(), name.clone()));
        FileRow {
            name: name.clone(),
            content: file.content,
            seeders: swarm.map_or(0, super::swarm::Swarm::seeders),
            leechers: swarm.map_or(0, super::swarm::Swarm::leechers),
            available: file.content.size.pieces() == 0 || swarm.is_some_and(super::swarm::Swarm::available),
        }
    }

    fn file(
        &mut self,
        link: LinkId,
        user: &UserName,
        group: GroupName,
        name: FileName,
    ) -> Result<Answer, Refusal> {
        let Some(file) = self.registry.group_for(&group, user)?.files.get(&name) else {
            return Err(Refusal::NoSuchFile(group, name));
        };
        let row = Box::new(self.file_row(&group, &name, file));
        let sharers = file.first_sharers();
        Ok(Answer::File { row, sharers, peers: self.peers(link, &(group, name)) })
    }

    /// Peers of a file that can be of use to the one on `link`.
    fn peers(&mut self, link: LinkId, key: &Key) -> List<PeerInfo, { crate::limits::PEERS_PER_ANSWER }> {
        let Some(swarm) = self.swarms.get(key) else { return List::default() };
        let chosen = swarm.choose(link, &mut self.rng);
        List::new(
            chosen
                .into_iter()
                .filter_map(|peer| {
                    let held = peer.held;
                    if let Some(guest) = self.guests.get(peer.link) {
                        let (device, user, address) = (guest.device, guest.user.clone(), guest.listen);
                        return Some(PeerInfo { device, user, address, held });
                    }
                    let client = self.sessions.get(peer.link)?;
                    let (user, address) = (client.user.clone()?, Address(client.listen?));
                    Some(PeerInfo { device: client.device, user, address, held })
                })
                .collect(),
        )
    }

    pub(super) fn swarm_message(&mut self, link: LinkId, key: Key) -> TrackerMessage {
        let peers = self.peers(link, &key);
        let (seeders, leechers) = self.swarms.get(&key).map_or((0, 0), |swarm| swarm.others(link));
        let (group, name) = key;
        TrackerMessage::Swarm { group, name, peers, seeders, leechers }
    }
}

fn standing(group: &Group, user: &UserName) -> GroupStanding {
    match group.role(user) {
        Some(role) => GroupStanding::In(role),
        None if group.requests.contains(user) => GroupStanding::Pending,
        None => GroupStanding::Outside,
    }
}

/// The first rows of a listing, and whether there are more.
fn page<T>(mut rows: impl Iterator<Item = T>) -> Page<T> {
    let first: Vec<T> = rows.by_ref().take(ROWS_PER_PAGE).collect();
    Page { rows: List::new(first), more: rows.next().is_some() }
}

fn beyond<T>(after: Option<&T>) -> (Bound<&T>, Bound<&T>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
