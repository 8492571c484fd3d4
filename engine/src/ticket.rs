//! Tickets: what a tracker signs, so that peers believe each other's membership without asking anybody.
//!
//! A [`Ticket`] says that a device belongs to a user who is a member of a group, at this epoch, from when to when. [`Expulsions`] say who
//! ceased to be a member since; each raises the group's epoch, and the highest epoch wins, whoever hands it on. What is signed has one
//! fixed layout, so that no two statements have the same bytes and no statement has two.
//!
//! The engine compares and decides; signatures are made and looked at by the shell, as jobs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use crate::id::DeviceId;
use crate::limits::{EPOCH_LEAP_MAX, REMOVED_MAX};
use crate::name::{GroupName, UserName};
use crate::time::{Span, Time};
use crate::wire::list::List;

/// How long a ticket is good: so long downloads go on with every tracker dead.
pub const LIFETIME: Span = Span::from_secs(24 * 60 * 60);

/// How old a ticket may be before a new one is asked for.
pub const RENEWAL: Span = Span::from_secs(60 * 60);

/// How far a clock may be behind the tracker's without a new ticket seeming to be from the future.
pub const SKEW_SECS: u64 = 5 * 60;

/// A time on the wall clock: seconds since 1970. It serves the expiry of tickets and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct UnixTime(pub u64);

/// What the wall clock shows, as the shell last said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    unix: UnixTime,
    at: Time,
}

impl Clock {
    pub(crate) const fn new(unix: UnixTime, at: Time) -> Clock {
        Clock { unix, at }
    }

    pub(crate) fn unix(&self, now: Time) -> UnixTime {
        UnixTime(self.unix.0.saturating_add(now.since(self.at).0 / 1_000_000))
    }
}

/// 64 bytes of an Ed25519 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

/// A statement, and a tracker's signature of its layout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Signed<T> {
    /// The statement.
    pub body: T,
    /// Whose signature it is.
    pub signer: DeviceId,
    /// The signature.
    pub signature: Signature,
}

/// A membership that a tracker vouches for.
pub type Ticket = Signed<Membership>;

/// A device belongs to a user, who is a member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Membership {
    /// The group.
    pub group: GroupName,
    /// The member.
    pub user: UserName,
    /// The device.
    pub device: DeviceId,
    /// The group's epoch when this was said.
    pub epoch: u64,
    /// When this was said.
    pub from: UnixTime,
    /// When it is no longer good.
    pub until: UnixTime,
}

impl Membership {
    /// What is signed.
    #[must_use]
    pub fn layout(&self) -> Box<[u8]> {
        let mut bytes = Vec::from(*b"group-sharing membership 1\0");
        for number in [self.epoch, self.from.0, self.until.0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.device.0);
        put_name(&mut bytes, self.group.as_str());
        put_name(&mut bytes, self.user.as_str());
        bytes.into()
    }

    /// Whether it is good at that time, as far as time goes.
    #[must_use]
    pub const fn is_current(&self, now: UnixTime) -> bool {
        self.from.0 <= now.0.saturating_add(SKEW_SECS) && now.0 < self.until.0
    }
}

/// Who ceased to be a member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Removals {
    /// The epoch: it grows with each.
    pub epoch: u64,
    /// Tickets of an epoch before this are good for nobody: the group did not exist, or somebody has dropped out of the list since.
    pub floor: u64,
    /// Users whose tickets of an epoch before the one that stands with them are not good.
    pub removed: List<(UserName, u64), REMOVED_MAX>,
}

impl Removals {
    /// Those of a group that begins.
    #[must_use]
    pub fn of_new_group(epoch: u64) -> Removals {
        Removals { epoch, floor: epoch, removed: List::default() }
    }

    /// Somebody ceases to be a member. If the list is full, the oldest drops out of it, and with it all tickets as old.
    pub fn add(&mut self, user: &UserName, epoch: u64) {
        let mut removed = core::mem::take(&mut self.removed).into_vec();
        removed.retain(|(other, _)| other != user);
        if removed.len() == REMOVED_MAX {
            self.floor = removed.remove(0).1;
        }
        removed.push((user.clone(), epoch));
        self.removed = List::new(removed);
        self.epoch = epoch;
    }

    /// Whether there is a later list, of that epoch. One who lies about it can make epochs leap, but so little that they never end.
    #[must_use]
    pub const fn is_behind(&self, known: u64) -> bool {
        self.epoch < known && known - self.epoch <= EPOCH_LEAP_MAX
    }

    /// Whether tickets of that user and epoch are no longer good.
    #[must_use]
    pub fn revoke(&self, user: &UserName, epoch: u64) -> bool {
        epoch < self.floor || self.removed.iter().any(|(removed, at)| removed == user && epoch < *at)
    }
}

/// The removals of a group, as a tracker signs them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Expulsions {
    /// The group.
    pub group: GroupName,
    /// Who, and at which epoch.
    pub removals: Removals,
}

impl Expulsions {
    /// What is signed.
    #[must_use]
    pub fn layout(&self) -> Box<[u8]> {
        let mut bytes = Vec::from(*b"group-sharing expulsions 1\0");
        let Removals { epoch, floor, removed } = &self.removals;
        bytes.extend(epoch.to_le_bytes());
        bytes.extend(floor.to_le_bytes());
        put_name(&mut bytes, self.group.as_str());
        bytes.extend((removed.len() as u64).to_le_bytes());
        for (user, epoch) in removed.iter() {
            put_name(&mut bytes, user.as_str());
            bytes.extend(epoch.to_le_bytes());
        }
        bytes.into()
    }
}

/// Length, then the name.
#[expect(clippy::cast_possible_truncation, reason = "a name has at most 255 bytes")]
fn put_name(bytes: &mut Vec<u8>, name: &str) {
    const { assert!(crate::limits::NAME_LEN_MAX <= u8::MAX as usize) };
    bytes.push(name.len() as u8);
    bytes.extend(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn membership() -> impl Strategy<Value = Membership> {
        let names = ("[a-c]{1,3}", "[a-c]{1,3}");
        (names, any::<[u8; 32]>(), 0u64..3, 0u64..3, 0u64..3).prop_map(
            |(names, device, epoch, from, until)| Membership {
                group: GroupName::new(&names.0).expect("a name"),
                user: UserName::new(&names.1).expect("a name"),
                device: DeviceId(device),
                epoch,
                from: UnixTime(from),
                until: UnixTime(until),
            },
        )
    }

    proptest! {
        #[test]
        fn two_statements_have_two_layouts(one in membership(), other in membership()) {
            let other = Membership { device: one.device, ..other };
            prop_assert_eq!(one == other, one.layout() == other.layout());
        }

        #[test]
        fn a_name_too_many_or_moved_changes_the_layout(
            one in prop::collection::vec(("[a-b]{1,2}", 0u64..3), 0..4),
            other in prop::collection::vec(("[a-b]{1,2}", 0u64..3), 0..4),
        ) {
            let of = |rows: &[(String, u64)]| Expulsions {
                group: GroupName::new("g").expect("a name"),
                removals: Removals {
                    removed: List::new(
                        rows.iter().map(|(name, at)| (UserName::new(name).expect("a name"), *at)).collect(),
                    ),
                    ..Removals::default()
                },
            };
            prop_assert_eq!(one == other, of(&one).layout() == of(&other).layout());
        }
    }

    #[test]
    fn a_ticket_is_good_from_its_time_to_its_end() {
        let user = UserName::new("ann").expect("a name");
        let group = GroupName::new("g").expect("a name");
        let (from, until) = (UnixTime(10_000), UnixTime(20_000));
        let membership = Membership { group, user, device: DeviceId([0; 32]), epoch: 1, from, until };
        let good = |secs| membership.is_current(UnixTime(secs));
        assert!(good(10_000) && good(10_000 - SKEW_SECS) && good(19_999));
        assert!(!good(20_000) && !good(9_999 - SKEW_SECS));
    }

    #[test]
    fn who_was_removed_and_let_in_again_needs_a_new_ticket() {
        let name = |name: &str| UserName::new(name).expect("a name");
        let mut removals = Removals::of_new_group(5);
        removals.add(&name("ann"), 9);
        assert!(removals.revoke(&name("ann"), 8) && !removals.revoke(&name("ann"), 9));
        assert!(!removals.revoke(&name("bob"), 5) && removals.revoke(&name("bob"), 4), "of an earlier group");
    }

    #[test]
    fn a_full_list_drops_the_oldest_and_all_tickets_as_old() {
        let name = |number: u64| UserName::new(&alloc::format!("user{number}")).expect("a name");
        let mut removals = Removals::of_new_group(1);
        for number in 0..=REMOVED_MAX as u64 {
            removals.add(&name(number), 10 + number);
        }
        assert_eq!((removals.removed.len(), removals.floor), (REMOVED_MAX, 10));
        assert!(
            removals.revoke(&name(0), 9)
                && removals.revoke(&name(999), 9)
                && !removals.revoke(&name(999), 10)
        );
    }
}
