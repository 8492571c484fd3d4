//! The exit status: each way in which a run can end has its own.

use std::process::ExitCode;

use sim::run::FailureKind;
use sim::trial::Verdict;

/// What `--help` says of it.
pub(super) const HELP: &str = "Exit status: 0 every band holds, 1 a band does not hold, 2 a file or the command line is wrong, \
3 a wrong result (or a run that beats a bound, so that the simulator is wrong), 4 no progress: something that can complete does not, \
5 a crash. The worst of all runs counts.";

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Every band holds.
    Holds = 0,
    /// A band does not hold.
    Misses = 1,
    /// The command line or a file is wrong.
    Usage = 2,
    /// A run gave a wrong result.
    WrongResult = 3,
    /// A run made no progress.
    NoProgress = 4,
    /// A run crashed.
    Crash = 5,
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Status {
        match verdict {
            Verdict::Holds => Status::Holds,
            Verdict::Misses => Status::Misses,
            Verdict::Failed(FailureKind::WrongResult) => Status::WrongResult,
            Verdict::Failed(FailureKind::NoProgress) => Status::NoProgress,
            Verdict::Failed(FailureKind::Crash) => Status::Crash,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status as u8)
    }
}
