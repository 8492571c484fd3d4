//! Tickets and lists of the removed, as they come from strangers: what was not signed as it stands never counts.

use std::sync::LazyLock;

use engine::limits::FRAME_LEN_MAX;
use engine::name::UserName;
use engine::ticket::{Expulsions, Removals, Signed, Ticket, UnixTime};
use engine::wire::codec;
use node::identity::{Identity, verify};

use crate::seeds;

/// Whose signature counts.
static TRACKER: LazyLock<Identity> = LazyLock::new(|| Identity::from_seed([7; 32]));

/// What it has signed.
static TICKET: LazyLock<Ticket> = LazyLock::new(|| {
    let ticket = *seeds::ticket();
    let signature = TRACKER.sign(&ticket.body.layout());
    Signed { signer: TRACKER.device(), signature, ..ticket }
});
static EXPULSIONS: LazyLock<Signed<Expulsions>> = LazyLock::new(|| {
    let expulsions = *seeds::expulsions();
    let signature = TRACKER.sign(&expulsions.body.layout());
    Signed { signer: TRACKER.device(), signature, ..expulsions }
});

/// Takes `data` for a ticket and for a list, as it is, and as what is to be changed in one that was signed.
pub fn ticket(data: &[u8]) {
    let body = &data[..data.len().min(FRAME_LEN_MAX)];
    try_ticket(body);
    try_expulsions(body);
    try_ticket(&changed(codec::encode(&*TICKET), body));
    try_expulsions(&changed(codec::encode(&*EXPULSIONS), body));
}

/// Bytes with some of them changed: each change is two bytes of where, and one of what. The rest is put behind.
fn changed(mut bytes: Vec<u8>, changes: &[u8]) -> Vec<u8> {
    let chunks = changes.chunks_exact(3);
    let rest = chunks.remainder();
    for change in chunks {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    bytes.extend(rest);
    bytes
}

fn try_ticket(bytes: &[u8]) {
    let Ok(ticket) = codec::decode::<Ticket>(bytes) else { return };
    let Signed { body, signer, signature } = &ticket;
    let layout = body.layout();
    let good = *signer == TRACKER.device() && verify(*signer, &layout, signature);
    assert_eq!(good, ticket == *TICKET, "only what was signed counts: {ticket:?}");
    assert_eq!(layout == TICKET.body.layout(), *body == TICKET.body, "one statement, one layout: {body:?}");
    let current = |at| body.is_current(UnixTime(at));
    assert!(!current(body.until.0) && !current(u64::MAX), "nothing is good for ever: {body:?}");
}

fn try_expulsions(bytes: &[u8]) {
    let Ok(expulsions) = codec::decode::<Signed<Expulsions>>(bytes) else { return };
    let Signed { body, signer, signature } = &expulsions;
    let layout = body.layout();
    let good = *signer == TRACKER.device() && verify(*signer, &layout, signature);
    assert_eq!(good, expulsions == *EXPULSIONS, "only what was signed counts: {expulsions:?}");
    assert_eq!(layout == EXPULSIONS.body.layout(), *body == EXPULSIONS.body, "one layout: {body:?}");
    grow(body.removals.clone());
}

/// Whoever is removed next is out, and whoever was out before stays out.
fn grow(mut removals: Removals) {
    let before = removals.clone();
    let (next, epoch) = (UserName::new("next").expect("a name"), removals.epoch.saturating_add(1));
    removals.add(&next, epoch);
    assert!(epoch == 0 || removals.revoke(&next, epoch - 1), "who is removed is out: {removals:?}");
    if let Some((user, at)) = before.removed.first().filter(|(user, at)| *user != next && *at > 0) {
        assert!(removals.revoke(user, at - 1), "who was out stays out: {before:?}");
    }
}
