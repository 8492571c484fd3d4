//! Names that were checked: of users, groups and files.
//!
//! A name is data. It is one path component that no terminal interprets: no separators, no control characters, no
//! characters that reorder text, not `.` or `..`, not empty, at most [`NAME_LEN_MAX`] bytes of UTF-8. A value of these types
//! has passed the check, wherever it came from: a person, the network, or a disk.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::limits::NAME_LEN_MAX;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It has no characters.
    Empty,
    /// It is longer than [`NAME_LEN_MAX`] bytes.
    TooLong,
    /// It is `.` or `..`.
    Dots,
    /// It contains `/`, `\` or another character that separates path components.
    Separator,
    /// It contains a control character, or one that reorders or hides text.
    Control,
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadName::Empty => f.write_str("a name has at least one character"),
            BadName::TooLong => write!(f, "a name has at most {NAME_LEN_MAX} bytes"),
            BadName::Dots => f.write_str("`.` and `..` are not names"),
            BadName::Separator => f.write_str("a name has no `/` and no `\\`"),
            BadName::Control => {
                f.write_str("a name has no control characters and none that reorder or hide text")
            }
        }
    }
}

impl core::error::Error for BadName {}

/// Checks that `text` can be a name.
///
/// # Errors
/// The first rule that `text` breaks.
pub fn check(text: &str) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(BadName::TooLong);
    }
    if text == "." || text == ".." {
        return Err(BadName::Dots);
    }
    if text.contains(['/', '\\']) {
        return Err(BadName::Separator);
    }
    if text.chars().any(is_unprintable) {
        return Err(BadName::Control);
    }
    Ok(())
}

/// Whether a terminal could take `c` for anything but a visible character in its place.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes `text` as a name if it is one.
            ///
            /// # Errors
            /// The rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, BadName> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl core::str::FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl bincode::Encode for $type {
            fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
                self.0.encode(encoder)
            }
        }

        impl<C> bincode::Decode<C> for $type {
            fn decode<D: bincode::de::Decoder<Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                let text = crate::wire::codec::decode_text::<NAME_LEN_MAX, D>(decoder)?;
                Self::new(&text).map_err(|_| bincode::error::DecodeError::Other("a name breaks the rules for names"))
            }
        }

        bincode::impl_borrow_decode!($type);
    };
}

name! {
    /// The name of an account.
    UserName
}
name! {
    /// The name of a group.
    GroupName
}
name! {
    /// The name of a file inside a group: never a path.
    FileName
}

/// A place on the shell's own disk. The engine carries it and never looks inside.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Place(pub Box<[u8]>);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({:?})", alloc::string::String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn plain_names_pass() {
        for text in ["a", "report 2026.pdf", "it's \"quoted\"", "naïve-文件", "-rf", "..."] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
        assert_eq!(check(&String::from_iter(core::iter::repeat_n('x', NAME_LEN_MAX))), Ok(()));
    }

    #[test]
    fn paths_and_escapes_are_refused() {
        assert_eq!(check(""), Err(BadName::Empty));
        assert_eq!(check(".."), Err(BadName::Dots));
        assert_eq!(check("../x"), Err(BadName::Separator));
        assert_eq!(check("/etc/x"), Err(BadName::Separator));
        assert_eq!(check("a\\b"), Err(BadName::Separator));
        assert_eq!(check("a\u{1b}[2J"), Err(BadName::Control));
        assert_eq!(check("a\nb"), Err(BadName::Control));
        assert_eq!(check("a\u{202e}gpj.exe"), Err(BadName::Control));
        assert_eq!(check(&"é".repeat(NAME_LEN_MAX / 2 + 1)), Err(BadName::TooLong));
    }
}
