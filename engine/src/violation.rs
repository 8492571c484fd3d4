//! What a remote did wrong. The link ends; the reason is logged.

use core::fmt;

/// A breach of the protocol by the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame longer than the limit.
    FrameTooLong,
    /// A frame of no known kind.
    FrameKind,
    /// A message that does not decode, or leaves bytes over.
    Malformed,
    /// A frame that took longer than the limit.
    FrameTooSlow,
    /// The handshake named another protocol or version.
    WrongProtocol,
    /// A message that only the other role may send.
    WrongRole,
    /// A message about a file that was not opened on this link.
    UnknownFile,
    /// The same file opened twice on a link.
    FileOpenedTwice,
    /// More files than a link may have.
    TooManyFiles,
    /// A piece number beyond the end of the file.
    NoSuchPiece,
    /// Piece data that was not asked for, or of the wrong length.
    UnrequestedData,
    /// A request for a piece without a granted slot.
    NoSlot,
    /// A request for a piece that this peer never said it holds.
    NotHeld,
    /// An answer to a question that was not asked.
    UnaskedAnswer,
    /// More requests under way than allowed.
    TooManyRequests,
    /// It does not read what it asked for.
    NotReading,
    /// A granted slot that it neither used nor returned in time.
    SlotUnused,
    /// A list of hashes that does not match the catalogue.
    FalseHashes,
    /// Pieces that do not match their hashes, too often.
    BadPieces,
    /// A ticket that is not of its device, or that no tracker signed.
    FalseTicket,
    /// Said hello twice, or something else before hello.
    BadHello,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::FrameTooLong => "a frame was too long",
            Violation::FrameKind => "a frame was of no known kind",
            Violation::Malformed => "a message was malformed",
            Violation::FrameTooSlow => "a frame took too long",
            Violation::WrongProtocol => "it speaks another protocol or version",
            Violation::WrongRole => "it sent a message that is not for its role",
            Violation::UnknownFile => "it named a file that was not opened",
            Violation::FileOpenedTwice => "it opened a file twice",
            Violation::TooManyFiles => "it opened too many files",
            Violation::NoSuchPiece => "it named a piece beyond the end of the file",
            Violation::UnrequestedData => "it sent data that was not asked for",
            Violation::NoSlot => "it asked for a piece without a slot",
            Violation::NotHeld => "it asked for a piece that is not held here",
            Violation::UnaskedAnswer => "it answered what was not asked",
            Violation::TooManyRequests => "it asked for too much at once",
            Violation::NotReading => "it does not read what it asked for",
            Violation::SlotUnused => "it neither used nor returned an upload slot",
            Violation::FalseHashes => "its piece hashes do not match the catalogue",
            Violation::BadPieces => "it sent bad pieces",
            Violation::FalseTicket => "its ticket is not its own",
            Violation::BadHello => "its greeting was out of order",
        })
    }
}
