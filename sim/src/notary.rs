//! Signatures, as good as real ones here: who does not have the key's node sign cannot make one, since nobody else runs this.

use engine::id::DeviceId;
use engine::ticket::{Signature, UnixTime};
use engine::time::{Span, Time};

/// How long it takes to sign or to verify: Ed25519 on one core.
pub(crate) const TOOK: Span = Span(60);

/// The wall clock when the world begins.
const BEGAN: u64 = 1_800_000_000;

/// What every wall clock shows.
pub(crate) fn wall(now: Time) -> UnixTime {
    UnixTime(BEGAN + now.0 / 1_000_000)
}

/// The signature of a statement by a node's key.
pub(crate) fn sign(signer: DeviceId, statement: &[u8]) -> Signature {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&signer.0);
    hasher.update(statement);
    let mut signature = Signature([0; 64]);
    hasher.finalize_xof().fill(&mut signature.0);
    signature
}
