//! Frames: how a stream of bytes falls into messages and pieces.
//!
//! A frame is a head of 4 bytes, little endian: the kind in the highest byte, the length of the body in the other three; then the
//! body. The body of a message frame is one encoded message. The body of a data frame is a [`DataHead`] of 12 bytes and
//! at most [`CHUNK_LEN_MAX`](crate::limits::CHUNK_LEN_MAX) bytes of a piece.

use alloc::vec::Vec;

use crate::id::FileId;
use crate::limits::FRAME_LEN_MAX;
use crate::violation::Violation;

/// Bytes of a frame's head.
pub const HEAD_LEN: usize = 4;

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An encoded message.
    Message,
    /// Part of a piece.
    Data,
}

/// The head of a frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the body is.
    pub kind: Kind,
    /// Bytes in the body.
    pub len: usize,
}

impl Head {
    /// The head's bytes.
    ///
    /// # Panics
    /// If the body is longer than a frame's: the sender's mistake, so ours.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most FRAME_LEN_MAX")]
    pub fn encode(self) -> [u8; HEAD_LEN] {
        assert!(self.len <= FRAME_LEN_MAX, "a frame has at most {FRAME_LEN_MAX} bytes, not {}", self.len);
        let kind: u32 = match self.kind {
            Kind::Message => 1,
            Kind::Data => 2,
        };
        (kind << 24 | self.len as u32).to_le_bytes()
    }

    /// Reads a head.
    ///
    /// # Errors
    /// An unknown kind, or a body that is too long, or a data frame too short or too long for its piece.
    pub fn decode(bytes: [u8; HEAD_LEN]) -> Result<Head, Violation> {
        let word = u32::from_le_bytes(bytes);
        let len = (word & 0x00ff_ffff) as usize;
        let kind = match word >> 24 {
            1 => Kind::Message,
            2 => Kind::Data,
            _ => return Err(Violation::FrameKind),
        };
        match kind {
            _ if len > FRAME_LEN_MAX => Err(Violation::FrameTooLong),
            Kind::Data if len <= DataHead::LEN => Err(Violation::Malformed),
            _ => Ok(Head { kind, len }),
        }
    }
}

/// What stands before the bytes of a piece in a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHead {
    /// The file, in the numbers of the peer that asked for the piece.
    pub file: FileId,
    /// The piece.
    pub piece: u32,
    /// Where in the piece these bytes begin. A piece is sent from its first byte to its last.
    pub offset: u32,
}

impl DataHead {
    /// Bytes of a data head.
    pub const LEN: usize = 12;

    /// The head's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; DataHead::LEN] {
        let mut bytes = [0; DataHead::LEN];
        bytes[..4].copy_from_slice(&self.file.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.piece.to_le_bytes());
        bytes[8..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    /// Reads a data head.
    #[must_use]
    pub fn decode(bytes: [u8; DataHead::LEN]) -> DataHead {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        DataHead { file: FileId(word(0)), piece: word(4), offset: word(8) }
    }
}

/// A frame that carries `message`, head and body.
#[must_use]
pub fn message(message: &impl bincode::Encode) -> Vec<u8> {
    let mut frame = Vec::from([0; HEAD_LEN]);
    frame.extend(super::codec::encode(message));
    let head = Head { kind: Kind::Message, len: frame.len() - HEAD_LEN };
    frame[..HEAD_LEN].copy_from_slice(&head.encode());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CHUNK_LEN_MAX;
    use proptest::prelude::*;

    #[test]
    fn a_head_beyond_the_limits_is_refused() {
        let head = |kind: u32, len: u32| Head::decode((kind << 24 | len).to_le_bytes());
        assert_eq!(head(0, 4), Err(Violation::FrameKind));
        assert_eq!(head(3, 4), Err(Violation::FrameKind));
        assert_eq!(head(1, 65_549), Err(Violation::FrameTooLong));
        assert_eq!(head(2, 65_549), Err(Violation::FrameTooLong));
        assert_eq!(head(2, 12), Err(Violation::Malformed));
        assert!(head(2, 13).is_ok() && head(1, 0).is_ok());
    }

    proptest! {
        #[test]
        fn heads_survive_the_wire(len in 13usize..=CHUNK_LEN_MAX, file: u32, piece: u32, offset: u32) {
            for kind in [Kind::Message, Kind::Data] {
                prop_assert_eq!(Head::decode(Head { kind, len }.encode()), Ok(Head { kind, len }));
            }
            let data = DataHead { file: FileId(file), piece, offset };
            prop_assert_eq!(DataHead::decode(data.encode()), data);
        }
    }
}
