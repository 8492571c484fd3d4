//! Signals that ask the program to end.

use std::io;

use async_channel::{Receiver, TrySendError};
use async_signal::{Signal, Signals};
use futures_lite::StreamExt as _;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// SIGINT: end what is going on.
    Interrupt,
    /// SIGTERM or SIGHUP: end the program.
    Terminate,
}

/// Begins to listen; from here on the signals do not end the process by themselves.
///
/// # Errors
/// What the system says.
pub(crate) fn watch() -> io::Result<Receiver<Stop>> {
    // Whoever sends four signals in a row does not mean more by the fifth.
    const PENDING_MAX: usize = 4;
    let mut signals = Signals::new([Signal::Int, Signal::Term, Signal::Hup])?;
    let (to, from) = async_channel::bounded(PENDING_MAX);
    smol::spawn(async move {
        while let Some(signal) = signals.next().await {
            let stop = match signal {
                Ok(Signal::Int) => Stop::Interrupt,
                Ok(_) => Stop::Terminate,
                Err(error) => {
                    tracing::warn!(%error, "a signal was lost");
                    continue;
                }
            };
            if let Err(TrySendError::Closed(_)) = to.try_send(stop) {
                return;
            }
        }
    })
    .detach();
    Ok(from)
}
