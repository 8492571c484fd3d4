//! How the program ends: its exit codes, and the failures that lead to them.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// An exit code. `--help` and the README document them; they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success = 0,
    /// A command was refused or failed.
    Refused = 1,
    /// Wrong usage: of the command line, in the tracker list, or of a command in a script.
    Usage = 2,
    /// It could not start: the port is in use, the data folder locked, the store damaged.
    CannotStart = 3,
    /// A failure, of the disk for instance, stopped the process.
    Broken = 4,
    /// SIGINT or SIGTERM ended a client that worked through a script.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why the program ends early: the code, and what to tell the person, remedy included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One or two sentences, without a full stop at the end.
    pub message: String,
}

impl Failure {
    /// A failure to start.
    pub fn cannot_start(message: &(impl fmt::Display + ?Sized)) -> Failure {
        Failure { exit: Exit::CannotStart, message: message.to_string() }
    }

    /// A mistake in what the person wrote.
    pub fn usage(message: &(impl fmt::Display + ?Sized)) -> Failure {
        Failure { exit: Exit::Usage, message: message.to_string() }
    }

    /// A failure of a running process.
    pub fn broken(message: &(impl fmt::Display + ?Sized)) -> Failure {
        Failure { exit: Exit::Broken, message: message.to_string() }
    }

    /// Prints the message on standard error.
    #[must_use]
    pub fn report(&self) -> Exit {
        // Nobody is left to tell if standard error is closed; the exit code still says it.
        let _closed = writeln!(std::io::stderr(), "node: {}", self.message);
        self.exit
    }
}
