//! The jobs of a peer: everything that waits for a disk or costs time, on a bounded pool of threads. Links read by themselves what they
//! send, if it is in memory ([`serve`]).
//!
//! Invariants:
//! - Each job is answered exactly once, also when it is stopped or fails.
//! - Jobs of one file that depend on each other run in the order in which they came (a *lane*); others side by side.
//! - At most [`JOBS_MAX`] wait, which the engine sees to.
//! - What arrives is hashed on threads of its own (its BLAKE3, by its link), which nothing else holds up.
//! - Reading a large file that a person wants to share holds up nothing: surveys have a thread of their own, which shares one
//!   file's pieces out to all cores.
//! - A sync that fails, other than for want of room, ends the process: what was acknowledged could be lost.

pub(super) mod disk;
mod folder;
mod hash;
mod journal;
mod key;
mod part;
mod serve;
mod survey;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use engine::id::{FileId, JobId, Password, Salt};
use engine::limits::JOBS_MAX;
use engine::peer::io::{Entry, EntryState, Outcome, Recalled, Stamp, Work};
use engine::piece::PIECE_LEN;
use engine::refusal::DiskError;
use futures_lite::future;

use super::passwords::Passwords;
use super::run::Event;
use super::store::Store;
use crate::identity;
use crate::link::PieceSender;
use crate::link::slots::Slots;
use crate::pool::Pool;
use disk::{EndOnPanic, open_unchanged, path};
use hash::Arrived;
use part::{Part, Plan};
pub(super) use survey::Progress;

/// Threads of the pool, whatever the number of cores: some wait for the disk while others hash.
const THREADS: std::ops::RangeInclusive<usize> = 2..=4;

/// Partial files that wait to be flushed: others ask again with their next piece.
const FLUSHES_MAX: usize = 16;

/// How long the threads may take to end.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// A job with what the loop knows and the engine does not.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) job: JobId,
    pub(super) work: Work,
    /// For a piece to send: the link it goes to, and how to stop it.
    pub(super) to: Option<(PieceSender, Arc<AtomicBool>)>,
}

/// What jobs work on.
#[derive(Debug)]
pub(super) struct Jobs {
    queue: Sender<Task>,
    surveys: Sender<Task>,
    hashes: SyncSender<Arrived>,
    shared: Arc<Shared>,
    /// Closed when all threads have ended.
    alive: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    slots: Arc<Slots>,
    /// For pieces that had to come from the disk, until they have left.
    fetched: Pool,
    store: Store,
    passwords: Arc<Passwords>,
    files: Mutex<HashMap<FileId, Open>>,
    lanes: Mutex<HashMap<Lane, VecDeque<Task>>>,
    queue: Sender<Task>,
    /// Partial files of which something should be brought to the disk.
    flushes: Sender<Arc<Part>>,
    surveyed: Arc<Progress>,
    events: Sender<Event>,
}

/// A file in use.
#[derive(Clone, Debug)]
enum Open {
    /// Complete: opened for each piece, so that any number of shares costs no open files.
    Share(Arc<Path>, Stamp),
    /// Being fetched.
    Part(Arc<Part>),
}

/// Jobs that run one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Lane {
    File(FileId),
    Memory,
}

fn lane(work: &Work) -> Option<Lane> {
    match work {
        Work::OpenShare { file, .. }
        | Work::OpenPart { file, .. }
        | Work::Sync { file }
        | Work::Finish { file }
        | Work::CloseFile { file } => Some(Lane::File(*file)),
        Work::Write { extent, .. } => Some(Lane::File(extent.file)),
        Work::Remember(_) | Work::Forget { .. } | Work::Recall { .. } => Some(Lane::Memory),
        Work::DeriveKey { .. }
        | Work::Survey { .. }
        | Work::Verify { .. }
        | Work::Hash { .. }
        | Work::Send { .. } => None,
    }
}

impl Jobs {
    /// Starts the threads. Answers go to `events`.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(super) fn start(
        slots: Arc<Slots>,
        store: Store,
        passwords: Arc<Passwords>,
        surveyed: Arc<Progress>,
        events: Sender<Event>,
    ) -> io::Result<Jobs> {
        let (queue, tasks) = async_channel::bounded(JOBS_MAX);
        let (surveys, survey_tasks) = async_channel::bounded(JOBS_MAX);
        let (hashes, arriving) = mpsc::sync_channel(JOBS_MAX);
        let arriving = Arc::new(Mutex::new(arriving));
        let (flushes, flushing) = async_channel::bounded(FLUSHES_MAX);
        let shared = Arc::new(Shared {
            slots,
            fetched: Pool::new(PIECE_LEN as usize),
            store,
            passwords,
            files: Mutex::default(),
            lanes: Mutex::default(),
            queue: queue.clone(),
            flushes,
            surveyed,
            events,
        });
        let (still_alive, alive) = async_channel::bounded(1);
        let spawn = |name: String, body: Box<dyn FnOnce(&Shared) + Send>| {
            let (shared, still_alive) = (Arc::clone(&shared), still_alive.clone());
            thread::Builder::new().name(name).spawn(move || {
                body(&shared);
                drop(shared);
                drop(still_alive);
            })
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let pool = cores.clamp(*THREADS.start(), *THREADS.end());
        for number in 0..pool {
            let tasks = tasks.clone();
            spawn(format!("job{number}"), Box::new(move |shared| shared.serve(&tasks)))?;
        }
        for number in 0..hash::threads(pool) {
            let arriving = Arc::clone(&arriving);
            spawn(format!("hash{number}"), Box::new(move |shared| shared.hash(&arriving)))?;
        }
        spawn("survey".to_owned(), Box::new(move |shared| shared.serve(&survey_tasks)))?;
        let flush = move |_: &Shared| {
            let _unanswered = EndOnPanic;
            while let Ok(part) = flushing.recv_blocking() {
                part.flush();
            }
        };
        spawn("flush".to_owned(), Box::new(flush))?;
        Ok(Jobs { queue, surveys, hashes, shared, alive })
    }

    /// Begins a job. Never waits: the engine has no more jobs under way than the queues have places.
    pub(super) fn begin(&self, task: Task) {
        const ROOM: &str = "no more jobs are under way than the queues have places";
        if let Work::Hash { slot, extent, size } = task.work {
            return self.hashes.try_send(Arrived { job: task.job, slot, extent, size }).expect(ROOM);
        }
        let mut lanes = locked(&self.shared.lanes);
        let lane = lane(&task.work);
        if let Some(waiting) = lane.and_then(|lane| lanes.get_mut(&lane)) {
            waiting.push_back(task);
            return;
        }
        if let Some(lane) = lane {
            lanes.insert(lane, VecDeque::new());
        }
        drop(lanes);
        let queue = if matches!(task.work, Work::Survey { .. }) { &self.surveys } else { &self.queue };
        queue.try_send(task).expect(ROOM);
    }

    /// Lets surveys fail: the person wants to leave.
    pub(super) fn cancel_surveys(&self) {
        self.shared.surveyed.cancel();
    }

    /// Lets the threads end when nothing is left to do, and waits for that, for some time.
    pub(super) async fn close(self) {
        self.cancel_surveys();
        let Jobs { queue, surveys, hashes, shared, alive } = self;
        queue.close();
        surveys.close();
        drop(hashes);
        shared.flushes.close();
        drop(shared);
        let late = async {
            Timer::after(CLOSE_MAX).await;
            tracing::warn!("jobs are still at work at the end");
        };
        let done = async {
            // Nothing is ever sent: it ends with an error when the last thread is gone.
            let _gone = alive.recv().await;
        };
        future::or(done, late).await;
    }
}

impl Shared {
    /// Does jobs until the queue is closed.
    fn serve(&self, tasks: &Receiver<Task>) {
        let _unanswered = EndOnPanic;
        while let Ok(task) = tasks.recv_blocking() {
            let (job, lane) = (task.job, lane(&task.work));
            if let Some(outcome) = self.work(task) {
                // Nobody takes it only when the client has ended.
                let _ended = self.events.send_blocking(Event::Done(job, outcome));
            }
            // After the answer, so that answers come in the order of the jobs, too.
            if let Some(lane) = lane {
                self.next_in(lane);
            }
        }
    }

    /// Lets the next job of a lane begin.
    fn next_in(&self, lane: Lane) {
        let mut lanes = locked(&self.lanes);
        match lanes.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(task) => {
                // Closed only when the client has ended.
                let _ended = self.queue.try_send(task);
            }
            None => {
                lanes.remove(&lane);
            }
        }
    }

    /// Does a job. A piece that was handed to a link is answered by the link.
    fn work(&self, task: Task) -> Option<Outcome> {
        Some(match task.work {
            Work::Send { extent, theirs, .. } => return self.send(task.job, extent, theirs, task.to),
            Work::DeriveKey { password, salt } => self.derive_key(password, salt),
            Work::Survey { place } => outcome(survey::survey(path(&place), &self.surveyed), |survey| {
                Outcome::Surveyed(Box::new(survey))
            }),
            Work::Remember(entry) => outcome(self.store.remember(&entry), |()| Outcome::Done),
            Work::Forget { user, group, name } => {
                outcome(self.store.forget(&user, &group, &name), |()| Outcome::Done)
            }
            Work::Recall { user } => outcome(self.store.recall(&user), |entries| {
                Outcome::Recalled(entries.into_iter().map(recalled).collect())
            }),
            Work::OpenShare { file, place, stamp } => {
                let path = path(&place);
                let opened = open_unchanged(path, stamp);
                outcome(opened, |_| {
                    self.put(file, Open::Share(path.into(), stamp));
                    Outcome::Done
                })
            }
            Work::OpenPart { file, place, size, hashes, resume } => {
                outcome(Part::open(&Plan { place, size, hashes, resume }), |(part, pieces)| {
                    self.put(file, Open::Part(Arc::new(part)));
                    Outcome::PartOpen(pieces)
                })
            }
            Work::Verify { signer, statement, signature } => {
                Outcome::Verified(identity::verify(signer, &statement, &signature))
            }
            Work::Hash { .. } => unreachable!("what arrives has its own queue"),
            Work::Write { slot, extent, cv } => self.on_part(extent.file, |part| {
                self.slots.with(slot, |bytes| part.write(extent, &bytes[..extent.len as usize], cv))?;
                if part.wants_flush() {
                    // When others wait for that already, the next piece asks again.
                    let _waiting = self.flushes.try_send(Arc::clone(part));
                }
                Ok(())
            }),
            Work::Sync { file } => self.on_part(file, |part| part.sync()),
            Work::Finish { file } => self.finish(file),
            Work::CloseFile { file } => {
                let closed = locked(&self.files).remove(&file);
                if let Some(Open::Part(part)) = closed {
                    part.release();
                }
                Outcome::Done
            }
        })
    }

    fn put(&self, file: FileId, open: Open) {
        locked(&self.files).insert(file, open);
    }

    fn get(&self, file: FileId) -> Option<Open> {
        locked(&self.files).get(&file).cloned()
    }

    /// Works on a partial file; one that is no longer open is a job too late, and nothing is lost by it.
    fn on_part(&self, file: FileId, work: impl FnOnce(&Arc<Part>) -> Result<(), DiskError>) -> Outcome {
        match self.get(file) {
            Some(Open::Part(part)) => outcome(work(&part), |()| Outcome::Done),
            _ => Outcome::Failed(DiskError::Missing),
        }
    }

    fn finish(&self, file: FileId) -> Outcome {
        let Some(Open::Part(part)) = self.get(file) else { return Outcome::Failed(DiskError::Missing) };
        outcome(part.finish(), |stamp| {
            self.put(file, Open::Share(part.place().into(), stamp));
            Outcome::Finished(stamp)
        })
    }

    fn derive_key(&self, password: Password, salt: Salt) -> Outcome {
        let Some(password) = self.passwords.take(password) else {
            return Outcome::Failed(DiskError::Other("the password is gone: give it again".into()));
        };
        let derived = key::derive(password.as_bytes(), &salt);
        outcome(
            derived.map_err(|error| DiskError::Other(format!("no key can be derived: {error}"))),
            Outcome::Key,
        )
    }
}

/// What was written down of a file, and how far it came if it is a download.
fn recalled(entry: Entry) -> Recalled {
    let noted = match entry.state {
        EntryState::Partial { .. } => part::noted(&entry.place, entry.content),
        EntryState::Shared { .. } => 0,
    };
    Recalled { entry, noted }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outcome<T>(result: Result<T, DiskError>, done: impl FnOnce(T) -> Outcome) -> Outcome {
    result.map_or_else(Outcome::Failed, done)
}
