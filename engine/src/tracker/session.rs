//! Links of clients and the sessions on them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::id::{DeviceId, LinkId};
use crate::limits::{LINK_CREDIT, REQUESTS_PER_LINK};
use crate::name::UserName;
use crate::time::Time;
use crate::violation::Violation;
use crate::wire::tracker::Address;

/// A client at the other end of a link.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) device: DeviceId,
    pub(super) from: IpAddr,
    /// Where it listens, once it said hello.
    pub(super) listen: Option<SocketAddr>,
    /// Whether it said that it is a tracker.
    pub(super) is_tracker: bool,
    /// Who is logged in.
    pub(super) user: Option<UserName>,
    /// Messages that may still be sent before the shell refunds some.
    credit: u32,
    /// Requests not answered yet.
    requests: usize,
    heard: Time,
}

/// All links of a tracker. A device has at most one: a new one replaces the old.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    links: BTreeMap<LinkId, Client>,
    by_device: BTreeMap<DeviceId, LinkId>,
    by_user: BTreeMap<UserName, BTreeSet<LinkId>>,
}

impl Sessions {
    pub(super) fn link_count(&self) -> usize {
        self.links.len()
    }

    pub(super) fn client_count(&self) -> usize {
        self.links.values().filter(|client| !client.is_tracker).count()
    }

    pub(super) fn session_count(&self) -> usize {
        self.by_user.values().map(BTreeSet::len).sum()
    }

    pub(super) fn get(&self, link: LinkId) -> Option<&Client> {
        self.links.get(&link)
    }

    /// Notes a new link; returns the one that it replaces.
    #[must_use]
    pub(super) fn open(&mut self, now: Time, link: LinkId, device: DeviceId, from: IpAddr) -> Option<LinkId> {
        let client = Client {
            device,
            from,
            listen: None,
            is_tracker: false,
            user: None,
            credit: LINK_CREDIT,
            requests: 0,
            heard: now,
        };
        let twin = self.links.insert(link, client);
        assert!(twin.is_none(), "a link comes up once");
        let old = self.by_device.get(&device).copied();
        if let Some(old) = old {
            self.close(old);
        }
        self.by_device.insert(device, link);
        old
    }

    pub(super) fn close(&mut self, link: LinkId) {
        self.set_user(link, None);
        if let Some(client) = self.links.remove(&link)
            && self.by_device.get(&client.device) == Some(&link)
        {
            self.by_device.remove(&client.device);
        }
    }

    /// The client, noted to be alive.
    pub(super) fn heard(&mut self, now: Time, link: LinkId) -> Option<&Client> {
        let client = self.links.get_mut(&link)?;
        client.heard = now;
        Some(client)
    }

    pub(super) fn silent_since(&self, time: Time) -> Vec<LinkId> {
        self.links.iter().filter(|(_, client)| client.heard <= time).map(|(link, _)| *link).collect()
    }

    /// Notes where a client listens; an unspecified address stands for the one it comes from.
    pub(super) fn greet(&mut self, link: LinkId, listen: Address) {
        if let Some(client) = self.links.get_mut(&link) {
            let mut listen = listen.0;
            if listen.ip().is_unspecified() {
                listen.set_ip(client.from.to_canonical());
            }
            client.listen = Some(listen);
        }
    }

    /// Notes that it is a tracker at the other end, or says so.
    pub(super) fn note_tracker(&mut self, link: LinkId) {
        if let Some(client) = self.links.get_mut(&link) {
            client.is_tracker = true;
        }
    }

    /// Begins or ends the session on a link.
    pub(super) fn set_user(&mut self, link: LinkId, user: Option<UserName>) {
        let Some(client) = self.links.get_mut(&link) else { return };
        if let Some(old) = core::mem::replace(&mut client.user, user.clone())
            && let Some(links) = self.by_user.get_mut(&old)
        {
            links.remove(&link);
            if links.is_empty() {
                self.by_user.remove(&old);
            }
        }
        if let Some(user) = user {
            self.by_user.entry(user).or_default().insert(link);
        }
    }

    /// Links with a session.
    pub(super) fn logged_in(&self) -> Vec<LinkId> {
        self.by_user.values().flatten().copied().collect()
    }

    pub(super) fn of_user(&self, user: &UserName) -> Vec<LinkId> {
        self.by_user.get(user).into_iter().flatten().copied().collect()
    }

    /// Takes the credit for one message; false if there is none left, none if there is no such link.
    pub(super) fn spend(&mut self, link: LinkId) -> Option<bool> {
        let client = self.links.get_mut(&link)?;
        let enough = client.credit > 0;
        client.credit -= u32::from(enough);
        Some(enough)
    }

    /// Whether a client has taken in most of what it was sent.
    pub(super) fn has_room(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|client| client.credit > LINK_CREDIT / 2)
    }

    pub(super) fn refund(&mut self, link: LinkId, messages: u32) {
        if let Some(client) = self.links.get_mut(&link) {
            client.credit += messages;
            assert!(client.credit <= LINK_CREDIT, "no more credit comes back than was spent");
        }
    }

    /// Counts a request.
    pub(super) fn begin(&mut self, link: LinkId) -> Result<(), Violation> {
        match self.links.get_mut(&link) {
            Some(client) if client.requests >= REQUESTS_PER_LINK => Err(Violation::TooManyRequests),
            Some(client) => {
                client.requests += 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Counts an answer.
    pub(super) fn end(&mut self, link: LinkId) {
        if let Some(client) = self.links.get_mut(&link) {
            client.requests -= 1;
        }
    }

    pub(super) fn check(&self) {
        assert_eq!(self.by_device.len(), self.links.len(), "one link a device");
        for (user, links) in &self.by_user {
            assert!(!links.is_empty());
            assert!(
                links.iter().all(|link| self
                    .links
                    .get(link)
                    .is_some_and(|client| client.user.as_ref() == Some(user)))
            );
        }
        for client in self.links.values() {
            assert!(client.credit <= LINK_CREDIT && client.requests <= REQUESTS_PER_LINK);
        }
    }
}
