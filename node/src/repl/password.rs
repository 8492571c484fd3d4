//! Asking for passwords on a terminal, without showing them.

use std::io;

use super::grammar::{Secret, What};
use super::text::escape;

/// Puts the password into a command that still lacks it. Blocks until it is typed.
///
/// # Errors
/// A message for the person.
pub(crate) fn complete(what: &mut What) -> Result<(), String> {
    match what {
        What::CreateUser(user, missing @ None) => {
            let first = prompt(&format!("password for {user}: "))?;
            let second = prompt("the same again: ")?;
            if first != second {
                return Err("the two passwords differ: try again".to_owned());
            }
            *missing = Some(Secret(first));
        }
        What::Login(user, missing @ None) => {
            *missing = Some(Secret(prompt(&format!("password for {user}: "))?));
        }
        What::CreateUser(..) | What::Login(..) | What::Plain(_) | What::Limit(_) => {}
    }
    Ok(())
}

fn prompt(text: &str) -> Result<String, String> {
    match rpassword::prompt_password(text) {
        Ok(password) if password.is_empty() => Err("a password has at least one character".to_owned()),
        Ok(password) => Ok(password),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err("interrupted".to_owned()),
        Err(error) => Err(format!("the password cannot be read: {}", escape(&error.to_string()))),
    }
}
