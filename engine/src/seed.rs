//! Randomness as a tree of seeds: one seed for a machine, an independent stream for each purpose.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Where all randomness of a machine comes from: 32 bytes, secret in the node, chosen in the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Seed(pub [u8; 32]);

/// What a stream of random numbers is for. Drawing more of one never changes another.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Which piece, among equals.
    Pieces = 1,
    /// Which peer, among equals.
    Peers = 2,
    /// Salts of passwords.
    Salts = 3,
    /// Which peers a tracker names.
    Swarm = 4,
    /// When to try again.
    Backoff = 5,
    /// How long a tracker waits for its leader.
    Patience = 6,
}

/// Random numbers for choices among equals, which nobody gains by guessing: 16 bytes of state, where a cipher's stream has 300.
pub type Choice = rand::rngs::Xoshiro128PlusPlus;

impl Seed {
    /// The small stream for `purpose`.
    #[must_use]
    pub fn choice(&self, purpose: Purpose) -> Choice {
        Choice::from_rng(&mut self.stream(purpose))
    }

    /// The stream for `purpose`.
    #[must_use]
    pub fn stream(&self, purpose: Purpose) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.0);
        rng.set_stream(purpose as u64);
        rng
    }

    /// A seed of its own for the `index`th child, as the simulator needs for its peers.
    #[must_use]
    pub fn child(&self, index: u64) -> Seed {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&index.to_le_bytes());
        Seed(*hasher.finalize().as_bytes())
    }
}
