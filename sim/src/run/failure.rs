//! How a run fails, and how a panic becomes a failure.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::time::Time;

use crate::checks::WRONG;

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which way.
    pub kind: FailureKind,
    /// Why.
    pub why: String,
}

/// The ways in which a run fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Something came out that must not be.
    WrongResult,
    /// Something that can complete does not.
    NoProgress,
    /// A machine, or the simulator, gave up.
    Crash,
}

impl Failure {
    /// Something that can complete did not, by this time.
    pub(crate) fn no_progress(at: Time, who: &str) -> Failure {
        Failure { kind: FailureKind::NoProgress, why: format!("at {at}: {who}") }
    }

    /// The same seed gave two traces.
    #[must_use]
    pub fn of_traces(once: u64, again: u64) -> Failure {
        Failure::wrong(format!("the same seed gives the trace {once:016x}, and then {again:016x}"))
    }

    /// Something came out that must not be.
    pub(crate) fn wrong(why: String) -> Failure {
        Failure { kind: FailureKind::WrongResult, why }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FailureKind::WrongResult => "wrong result",
            FailureKind::NoProgress => "no progress",
            FailureKind::Crash => "crash",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.why)
    }
}

/// Runs something; a panic in it is a failure. The panic hook still says where it was.
pub(crate) fn catch<T>(what: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|panic| Err(of_panic(panic.as_ref())))
}

fn of_panic(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let why = text.unwrap_or_else(|| "a panic that says nothing".to_owned());
    match why.strip_prefix(WRONG) {
        Some(why) => Failure::wrong(why.to_owned()),
        None => Failure { kind: FailureKind::Crash, why },
    }
}
