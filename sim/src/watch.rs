//! What a run wants to know of the world: who was told what, which pieces are where, and how many bytes moved.
//!
//! The world calls this at the few places where such things happen; it never acts on the world.

use std::collections::{BTreeMap, BTreeSet};

use engine::bitfield::Bitfield;
use engine::id::CommandId;
use engine::name::FileName;
use engine::peer::command::News;
use engine::time::Time;

use crate::content::{Bytes, ContentId, Whole};
use crate::network::NodeId;

/// Something that a run acts on.
#[derive(Debug)]
pub(crate) enum Word {
    /// A command was answered.
    Answered(CommandId),
    /// A download is complete.
    Complete(String),
    /// A download failed, or the session was lost.
    Failed(String),
    /// The program ended by itself.
    Exited,
    /// It has sent as many different pieces as were waited for.
    Uploaded,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whether anybody takes the words away.
    pub(crate) listening: bool,
    words: Vec<(NodeId, Word)>,
    /// Bytes that left on uplinks, those of pieces that were cut off included.
    pub(crate) bytes_left: u64,
    /// The same, by node.
    pub(crate) bytes_left_by: Vec<u64>,
    /// Bytes of pieces that were stored.
    pub(crate) bytes_stored: u64,
    /// Pieces that were stored.
    pub(crate) pieces_stored: u64,
    /// Pairs of an honest client and one that breaks the rules that were connected.
    pub(crate) bad_pairs: BTreeSet<(NodeId, NodeId)>,
    /// Pieces that came to somebody driven by hand: how many, and when the last.
    pub(crate) taken: BTreeMap<NodeId, (u64, Time)>,
    /// How many live clients hold each piece.
    pub(crate) copies: BTreeMap<ContentId, Vec<u32>>,
    holdings: BTreeMap<(NodeId, ContentId), Holding>,
    counted: BTreeMap<NodeId, Counted>,
    /// Every piece that was sent, to compare the network model with another.
    #[cfg(test)]
    pub(crate) moved: Vec<Moved>,
    names: BTreeMap<String, Whole>,
}

/// A piece that was sent: who, to whom, how many bytes, since when, and when its last byte was in, latency excluded.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) len: u32,
    pub(crate) began: engine::time::Time,
    pub(crate) arrived: engine::time::Time,
}

/// What one client holds of a file.
#[derive(Debug)]
struct Holding {
    pieces: Bitfield,
    /// Whether others can have it.
    live: bool,
}

/// Different pieces that one client has sent.
#[derive(Debug)]
struct Counted {
    sent: BTreeSet<(ContentId, u32)>,
    wanted: usize,
}

impl Watch {
    /// What happened since it was asked last.
    pub(crate) fn take_words(&mut self) -> Vec<(NodeId, Word)> {
        std::mem::take(&mut self.words)
    }

    fn word(&mut self, node: NodeId, word: Word) {
        if self.listening {
            self.words.push((node, word));
        }
    }

    pub(crate) fn answered(&mut self, node: NodeId, id: CommandId) {
        self.word(node, Word::Answered(id));
    }

    pub(crate) fn told(&mut self, node: NodeId, news: &News) {
        match news {
            News::DownloadComplete { name, .. } => self.word(node, Word::Complete(name.as_str().to_owned())),
            News::DownloadFailed { name, .. } => self.word(node, Word::Failed(name.as_str().to_owned())),
            News::SessionLost(_) => self.word(node, Word::Failed(String::new())),
            _ => {}
        }
    }

    pub(crate) fn exited(&mut self, node: NodeId) {
        self.word(node, Word::Exited);
    }

    /// Bytes left on a node's uplink.
    pub(crate) fn left(&mut self, node: NodeId, bytes: u64) {
        self.bytes_left += bytes;
        if self.bytes_left_by.len() <= node.0 {
            self.bytes_left_by.resize(node.0 + 1, 0);
        }
        self.bytes_left_by[node.0] += bytes;
    }

    /// Waits until a client has sent so many different pieces.
    pub(crate) fn count_uploads(&mut self, node: NodeId, wanted: usize) {
        self.counted.insert(node, Counted { sent: BTreeSet::new(), wanted });
    }

    /// A piece came in.
    pub(crate) fn delivered(&mut self, from: NodeId, bytes: &Bytes) {
        let Some(counted) = self.counted.get_mut(&from) else { return };
        counted.sent.insert((bytes.content, bytes.piece));
        if counted.sent.len() >= counted.wanted {
            self.counted.remove(&from);
            self.word(from, Word::Uploaded);
        }
    }

    /// A piece came to somebody driven by hand.
    pub(crate) fn taken(&mut self, by: NodeId, now: Time) {
        let (count, last) = self.taken.entry(by).or_default();
        (*count, *last) = (*count + 1, now);
    }

    /// From now on the copies of this content are counted.
    pub(crate) fn follow(&mut self, name: &str, whole: &Whole) {
        self.names.insert(name.to_owned(), *whole);
        self.copies.insert(whole.content, vec![0; whole.size.pieces() as usize]);
    }

    /// What is shared under a name.
    pub(crate) fn expected(&self, name: &FileName) -> Option<Whole> {
        self.names.get(name.as_str()).copied()
    }

    /// A verified piece was stored, by a client that others can count on or not.
    pub(crate) fn stored(&mut self, node: NodeId, bytes: &Bytes, live: bool) {
        self.bytes_stored += u64::from(bytes.len);
        self.pieces_stored += 1;
        let Some(copies) = self.copies.get_mut(&bytes.content) else { return };
        let len = u32::try_from(copies.len()).unwrap_or(u32::MAX);
        let fresh = || Holding { pieces: Bitfield::new(len), live };
        let holding = self.holdings.entry((node, bytes.content)).or_insert_with(fresh);
        if holding.pieces.insert(bytes.piece) && holding.live {
            copies[bytes.piece as usize] += 1;
        }
    }

    /// A client holds exactly these pieces of a content, and others can have them or not.
    pub(crate) fn holds(&mut self, node: NodeId, content: ContentId, pieces: Bitfield, live: bool) {
        let Some(copies) = self.copies.get_mut(&content) else { return };
        let mut count = |holding: &Holding, sign: i32| {
            for piece in holding.pieces.iter().filter(|_| holding.live) {
                let here = &mut copies[piece as usize];
                *here = here.saturating_add_signed(sign);
            }
        };
        if let Some(before) = self.holdings.remove(&(node, content)) {
            count(&before, -1);
        }
        let now = Holding { pieces, live };
        count(&now, 1);
        self.holdings.insert((node, content), now);
    }

    /// A client is gone: nobody can have what it holds.
    pub(crate) fn gone(&mut self, node: NodeId) {
        let contents: Vec<ContentId> = self.copies.keys().copied().collect();
        for content in contents {
            if let Some(holding) = self.holdings.remove(&(node, content)) {
                for piece in holding.pieces.iter().filter(|_| holding.live) {
                    if let Some(copies) = self.copies.get_mut(&content) {
                        copies[piece as usize] -= 1;
                    }
                }
            }
        }
    }

    /// How many pieces of a content a client holds.
    pub(crate) fn held(&self, node: NodeId, content: ContentId) -> u32 {
        self.holdings.get(&(node, content)).map_or(0, |holding| holding.pieces.count())
    }

    /// Whether a client holds every piece of a content that any live client holds.
    pub(crate) fn has_what_there_is(&self, node: NodeId, content: ContentId) -> bool {
        let holding = self.holdings.get(&(node, content));
        let holds = |piece| holding.is_some_and(|holding| holding.pieces.has(piece));
        let copies = self.copies.get(&content).into_iter().flatten();
        copies.zip(0..).all(|(copies, piece)| *copies == 0 || holds(piece))
    }

    /// Pieces of a content that no live client holds.
    pub(crate) fn lost(&self, content: ContentId) -> Vec<u32> {
        let copies = self.copies.get(&content).into_iter().flatten();
        copies.zip(0..).filter(|(copies, _)| **copies == 0).map(|(_, piece)| piece).collect()
    }
}
