//! Passwords on their way to a key. The engine sees a token only; a password is forgotten when its key is derived.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use engine::id::Password;
use engine::limits::COMMANDS_MAX;

/// Passwords that wait for their command.
#[derive(Default)]
pub(super) struct Passwords(Mutex<Table>);

#[derive(Default)]
struct Table {
    waiting: HashMap<u32, String>,
    next: u32,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(hidden)")
    }
}

impl Passwords {
    /// Keeps a password for the one command that names the token. Those of commands that were refused before are dropped as others come.
    pub(super) fn keep(&self, password: String) -> Password {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = table.next;
        table.next = table.next.wrapping_add(1);
        table.waiting.remove(&token.wrapping_sub(u32::try_from(COMMANDS_MAX).unwrap_or(u32::MAX)));
        table.waiting.insert(token, password);
        Password(token)
    }

    pub(super) fn take(&self, token: Password) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&token.0)
    }
}
