//! The thread that writes to the store, one job after the other, in the order given.

use std::thread::{self, JoinHandle};

use async_channel::{Receiver, Sender, TrySendError};
use engine::id::JobId;
use engine::limits::JOBS_MAX;
use engine::tracker::io::{Outcome, Work};

use super::store::{Store, StoreError};
use crate::exit::Failure;

/// The shell's end of the thread.
#[derive(Debug)]
pub(super) struct Scribe {
    jobs: Sender<(JobId, Work)>,
    thread: JoinHandle<Result<(), StoreError>>,
}

/// What the thread tells.
#[derive(Debug)]
pub(super) enum Told {
    /// A job ended.
    Done(JobId, Outcome),
    /// The thread ended, because of a failure or because it was told to; nothing follows.
    Ended,
}

/// The thread has ended.
#[derive(Debug)]
pub(super) struct ScribeEnded;

impl Scribe {
    /// Starts the thread, which ends after the first error.
    pub(super) fn start(store: Store, tell: impl Fn(Told) + Send + 'static) -> std::io::Result<Scribe> {
        let (jobs, queue) = async_channel::bounded(JOBS_MAX);
        let run = move || {
            let farewell = Farewell(tell);
            work_off(store, &queue, &farewell.0)
        };
        let thread = thread::Builder::new().name("store".into()).spawn(run)?;
        Ok(Scribe { jobs, thread })
    }

    /// Queues a job.
    ///
    /// # Panics
    /// If more than [`JOBS_MAX`] are under way: the engine's accounting is at fault.
    pub(super) fn begin(&self, job: JobId, work: Work) -> Result<(), ScribeEnded> {
        match self.jobs.try_send((job, work)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(ScribeEnded),
            Err(TrySendError::Full(_)) => unreachable!("at most {JOBS_MAX} jobs are under way"),
        }
    }

    /// Waits until all queued jobs are done and the store is closed, and says what went wrong with it, if something did.
    pub(super) fn finish(self) -> Result<(), Failure> {
        self.jobs.close();
        match self.thread.join() {
            Ok(result) => result.map_err(|error| Failure::broken(&error)),
            Err(_) => Err(Failure::broken(
                "a mistake in this program stopped it; start it again: nothing acknowledged is lost",
            )),
        }
    }
}

/// Tells the end of the thread, however it ends: a tracker whose store is gone must not wait for it.
struct Farewell<T: Fn(Told)>(T);

impl<T: Fn(Told)> Drop for Farewell<T> {
    fn drop(&mut self) {
        (self.0)(Told::Ended);
    }
}

fn work_off(
    mut store: Store,
    queue: &Receiver<(JobId, Work)>,
    tell: &impl Fn(Told),
) -> Result<(), StoreError> {
    while let Ok((job, work)) = queue.recv_blocking() {
        let outcome = match work {
            Work::Persist(batch) => store.persist(&batch),
            Work::Sign(_) => unreachable!("the shell signs by itself"),
        }?;
        tell(Told::Done(job, outcome));
    }
    Ok(())
}
