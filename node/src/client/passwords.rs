//! Passwords on their way to a key. The engine sees a token only.
//!
//! Invariant: a password is forgotten, and wiped from memory, when the command that names its token is over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::id::Password;
use engine::limits::COMMANDS_MAX;
use engine::peer::command::Command;
use zeroize::Zeroizing;

/// Passwords that wait for their command.
#[derive(Default)]
pub(super) struct Passwords(Mutex<Table>);

#[derive(Default)]
struct Table {
    waiting: HashMap<u32, Zeroizing<String>>,
    next: u32,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(hidden)")
    }
}

impl Passwords {
    /// Keeps a password for the one command that names the token. One that no command ever named goes when many others came.
    pub(super) fn keep(&self, password: String) -> Password {
        let mut table = self.table();
        let token = table.next;
        table.next = token.wrapping_add(1);
        table.waiting.remove(&token.wrapping_sub(u32::try_from(COMMANDS_MAX).unwrap_or(u32::MAX)));
        table.waiting.insert(token, Zeroizing::new(password));
        Password(token)
    }

    /// Takes a password out, to derive its key.
    pub(super) fn take(&self, token: Password) -> Option<Zeroizing<String>> {
        self.table().waiting.remove(&token.0)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a command names.
pub(super) fn named_by(command: &Command) -> Option<Password> {
    match command {
        Command::CreateUser { password, .. } | Command::Login { password, .. } => Some(*password),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_once() {
        let passwords = Passwords::default();
        let (a, b) = (passwords.keep("a".into()), passwords.keep("b".into()));
        assert_eq!(passwords.take(a).as_deref().map(String::as_str), Some("a"));
        assert_eq!(passwords.take(a), None);
        assert_eq!(passwords.take(b).as_deref().map(String::as_str), Some("b"));
    }

    #[test]
    fn passwords_that_nobody_names_do_not_pile_up() {
        let passwords = Passwords::default();
        let first = passwords.keep("first".into());
        for _ in 0..COMMANDS_MAX {
            let _unnamed = passwords.keep("more".into());
        }
        assert_eq!(passwords.take(first), None);
    }
}
