//! Small identifiers, each a type of its own, so that the wrong one does not compile.

use core::fmt;

use bincode::{Decode, Encode};

macro_rules! number {
    ($(#[$doc:meta])* $type:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $type(pub $inner);
    };
}

number! {
    /// An open connection, numbered by the shell; never used again after its `LinkDown`.
    LinkId(u64)
}
number! {
    /// An attempt to connect, numbered by the engine; answered once, by `LinkUp` or `DialFailed`.
    DialId(u32)
}
number! {
    /// A job, numbered by the engine; answered exactly once by `Done`.
    JobId(u32)
}
number! {
    /// A command of the person at this client, numbered by the shell; answered exactly once by `Answer`.
    CommandId(u64)
}
number! {
    /// A buffer of one piece that the shell holds for the engine; the engine decides what is in it.
    Slot(u16)
}
number! {
    /// A password that the shell holds, so that it never passes through the engine or its logs.
    Password(u32)
}

/// A file that this peer shares or fetches, numbered by its engine. On a link each side uses its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FileId(pub u32);

macro_rules! bytes {
    ($(#[$doc:meta])* $type:ident[$len:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $type(pub [u8; $len]);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("..")
            }
        }
    };
}

bytes! {
    /// The identity of a device (a client's data folder): 32 bytes.
    DeviceId[32]
}
bytes! {
    /// A SHA-1 digest, of one piece: 20 bytes.
    Sha1[20]
}
bytes! {
    /// A BLAKE3 digest: 32 bytes.
    Blake3[32]
}
bytes! {
    /// The BLAKE3 chaining value of one piece inside its file: 32 bytes. It becomes a digest only when merged to the root.
    ChainingValue[32]
}
bytes! {
    /// The salt of a password: 16 random bytes.
    Salt[16]
}

/// A key derived from a password: it opens the account, so it is never printed.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}
