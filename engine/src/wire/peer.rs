//! What peers say to each other. Each side names a file by its own number; the number in a message is the sender's.

use alloc::boxed::Box;

use bincode::{Decode, Encode};

use super::few::Few;
use super::list::{List, SharedList};
use crate::id::{Blake3, FileId, Sha1};
use crate::limits::{BITS_BYTES_PER_MESSAGE, HASHES_PER_MESSAGE, HAVES_PER_MESSAGE};
use crate::name::{FileName, GroupName};
use crate::ticket::{Expulsions, Signed, Ticket};

/// A message from one peer to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum PeerMessage {
    /// "I take part in this file; do you?" Answered by an `Open` or a `Decline`.
    Open(Box<Open>),
    /// "I do not": unknown, or you are no member. The two are never told apart. Names the file in the *recipient's* number.
    Decline {
        /// The file, in the recipient's number.
        file: FileId,
    },
    /// "I no longer take part in this file."
    Close {
        /// The file.
        file: FileId,
    },
    /// Part of the bit map of what the sender holds, after an `Open` that named neither none nor all.
    Bits {
        /// The file.
        file: FileId,
        /// The byte of the bit map at which `bytes` begin.
        from: u32,
        /// Piece 8 x from + i is bit i % 8 of byte i / 8.
        bytes: List<u8, BITS_BYTES_PER_MESSAGE>,
    },
    /// The sender holds these pieces now, too.
    Have {
        /// The file.
        file: FileId,
        /// The pieces.
        pieces: Few<u32, HAVES_PER_MESSAGE>,
    },
    /// The sender holds every piece now.
    Whole {
        /// The file.
        file: FileId,
    },
    /// "Tell me the hashes from this piece on." Answered by `Hashes`.
    GetHashes {
        /// The file.
        file: FileId,
        /// The first piece wanted.
        from: u32,
    },
    /// The hashes of consecutive pieces.
    Hashes {
        /// The file.
        file: FileId,
        /// The first piece.
        from: u32,
        /// As many as one message holds, or up to the end.
        list: SharedList<Sha1, HASHES_PER_MESSAGE>,
    },
    /// "Give me an upload slot." Answered exactly once, by `Grant`, `Busy` or `Withdrawn`; before that, perhaps, by `Queued`.
    Ask {
        /// The file.
        file: FileId,
    },
    /// "You wait for a slot": a `Grant` will follow.
    Queued {
        /// The file.
        file: FileId,
        /// Slots granted or waited for at the sender.
        queue: u16,
    },
    /// "My queue is full": one `Free` will follow when there is a place for you.
    Busy {
        /// The file.
        file: FileId,
        /// Slots granted or waited for at the sender.
        queue: u16,
    },
    /// "There is a place for you in my queue, which I keep." To one that was told `Busy`; answered by `Ask` or `Pass`.
    Free {
        /// The file.
        file: FileId,
        /// Slots granted or waited for at the sender.
        queue: u16,
    },
    /// "I need no place in your queue at present."
    Pass {
        /// The file.
        file: FileId,
    },
    /// "You have a slot: which piece?" Answered by `Request` or `Return`.
    Grant {
        /// The file.
        file: FileId,
        /// Slots granted or waited for at the sender.
        queue: u16,
        /// Of the pieces that the recipient lacks, one that the sender, who holds all, sent least: a hint among equally rare ones.
        hint: Option<u32>,
    },
    /// "I no longer wait for the slot I asked for." Answered by `Withdrawn`, unless a `Grant` crossed it.
    Withdraw {
        /// The file.
        file: FileId,
    },
    /// "You no longer wait."
    Withdrawn {
        /// The file.
        file: FileId,
    },
    /// "I have no use for the slot."
    Return {
        /// The file.
        file: FileId,
    },
    /// "This piece." Answered by its data, or by `Cancelled`.
    Request {
        /// The file.
        file: FileId,
        /// The piece.
        piece: u32,
    },
    /// "I have it from elsewhere." Answered by `Cancelled`, behind whatever of the data had left.
    Cancel {
        /// The file.
        file: FileId,
        /// The piece.
        piece: u32,
    },
    /// "No more of this piece will come": it was cancelled, or cannot be read.
    Cancelled {
        /// The file.
        file: FileId,
        /// The piece.
        piece: u32,
    },
    /// "Are you there?"
    Ping,
    /// "I am."
    Pong,
    /// "I go." Nothing follows; a link that ends without it was cut.
    Bye,
    /// "I am a member." Answered by `Seen`, and by a `Show` if none came before; not at all if it is not believed.
    Show(Box<Ticket>),
    /// "I have seen that you are a member of this group."
    Seen {
        /// The group.
        group: GroupName,
    },
    /// "These are no longer members." To members only.
    Expulsions(Box<Signed<Expulsions>>),
}

/// The opening of a file on a link.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Open {
    /// The number by which the sender names the file from now on.
    pub file: FileId,
    /// The group in which it is shared.
    pub group: GroupName,
    /// Its name there.
    pub name: FileName,
    /// The root of its piece hashes: two files of one name are two files.
    pub hashes: Blake3,
    /// How many pieces the sender holds; if neither none nor all, `Bits` follow.
    pub count: u32,
}
