//! Logging in: what opens an account, and how fast somebody may guess.
//!
//! To a device that never logged in, an unknown user and a wrong password look alike, and an account that does not exist has
//! a salt like any other: nobody learns from here which users exist. A device that has an account learned more from it, so it gets the
//! exact answer.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use sha2::{Digest, Sha256};

use super::registry::{Lock, Registry};
use crate::id::{DeviceId, Key, Salt};
use crate::limits::{LOGIN_TRIES_FREE, LOGIN_TRIES_REMEMBERED, LOGIN_WAIT_MAX};
use crate::name::UserName;
use crate::refusal::Refusal;
use crate::seed::Seed;
use crate::time::{Span, Time};

/// What is stored of a key: SHA-256 over a label, the user and the key.
#[must_use]
pub fn verifier(user: &UserName, key: &Key) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"group-sharing account key\0");
    hasher.update((user.as_str().len() as u64).to_le_bytes());
    hasher.update(user.as_str().as_bytes());
    hasher.update(key.0);
    hasher.finalize().into()
}

/// The salt that is told for `user`: the account's own, or a lasting invention.
pub(super) fn salt(seed: &Seed, registry: &Registry, user: &UserName) -> Salt {
    if let Some(account) = registry.account(user) {
        return account.lock.salt;
    }
    let mut salt = [0; 16];
    salt.copy_from_slice(&blake3::keyed_hash(&seed.0, user.as_str().as_bytes()).as_bytes()[..16]);
    Salt(salt)
}

/// Whether `key` opens the account of `user`, and otherwise what `device` is told.
pub(super) fn open(
    registry: &Registry,
    device: &DeviceId,
    user: &UserName,
    key: &Key,
) -> Result<(), Refusal> {
    let account = registry.account(user);
    // Both sides are hashed, so the time of this comparison tells nothing of the key.
    let opens = |lock: &Lock| lock.verifier == verifier(user, key);
    match account {
        Some(account) if opens(&account.lock) => Ok(()),
        _ if !registry.is_bound(device) => Err(Refusal::LoginFailed),
        Some(_) => Err(Refusal::WrongPassword(user.clone())),
        None => Err(Refusal::NoSuchUser(user.clone())),
    }
}

/// Failed logins, by user and network. After [`LOGIN_TRIES_FREE`] of them each costs a wait, which doubles.
#[derive(Debug, Default)]
pub(super) struct Tries(BTreeMap<(UserName, IpAddr), Failed>);

#[derive(Debug, Default)]
struct Failed {
    count: u32,
    until: Time,
}

impl Tries {
    /// Whether a try is looked at now.
    pub(super) fn check(&self, now: Time, user: &UserName, from: IpAddr) -> Result<(), Refusal> {
        match self.0.get(&(user.clone(), network(from))) {
            Some(failed) if failed.until > now => {
                Err(Refusal::TooManyTries { wait_secs: failed.until.since(now).secs_rounded_up() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn failed(&mut self, now: Time, user: &UserName, from: IpAddr) {
        let key = (user.clone(), network(from));
        if self.0.len() >= LOGIN_TRIES_REMEMBERED && !self.0.contains_key(&key) {
            self.0.retain(|_, failed| failed.until > now);
            if self.0.len() >= LOGIN_TRIES_REMEMBERED {
                self.0.pop_first();
            }
        }
        let failed = self.0.entry(key).or_default();
        failed.count += 1;
        if let Some(doublings) = failed.count.checked_sub(LOGIN_TRIES_FREE) {
            failed.until = now + (Span::from_secs(1) * (1 << doublings.min(6))).min(LOGIN_WAIT_MAX);
        }
    }

    pub(super) fn succeeded(&mut self, user: &UserName, from: IpAddr) {
        self.0.remove(&(user.clone(), network(from)));
    }
}

/// The network that an address is counted by: /24 for IPv4, /64 for IPv6.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(v4) => IpAddr::from((v4.to_bits() & 0xffff_ff00).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((v6.to_bits() & (u128::MAX << 64)).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn five_tries_are_free_then_each_costs_twice_the_last_up_to_a_minute() {
        let mut tries = Tries::default();
        let user = UserName::new("alice").unwrap();
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut now = Time(0);
        for _ in 0..LOGIN_TRIES_FREE - 1 {
            tries.failed(now, &user, from);
            assert_eq!(tries.check(now, &user, from), Ok(()));
        }
        for wait_secs in [1, 2, 4, 8, 16, 32, 60, 60] {
            tries.failed(now, &user, from);
            assert_eq!(tries.check(now, &user, from), Err(Refusal::TooManyTries { wait_secs }));
            now += Span::from_secs(wait_secs);
            assert_eq!(tries.check(now, &user, from), Ok(()));
        }
        tries.failed(now, &user, from);
        let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(tries.check(now, &user, elsewhere), Ok(()));
        tries.succeeded(&user, from);
        assert_eq!(tries.check(now, &user, from), Ok(()));
    }
}
