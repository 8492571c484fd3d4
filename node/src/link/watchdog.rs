//! One clock for all links of a process: it ends those that take too long.
//!
//! A link only notes the tick at which something began; looking once a second is exact enough for limits of many seconds and
//! costs no timer per frame. While nothing is under way on any link, the clock stands still, and an idle process sleeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_io::Timer;
use engine::limits;

use super::Shared;

/// Seconds between ticks.
const TICK_SECS: u64 = 1;

/// Ticks that one frame may take to arrive.
const FRAME_TICKS: u64 = limits::FRAME.secs_rounded_up() / TICK_SECS;

/// Ticks that writing may make no progress: the remote does not read.
const STALL_TICKS: u64 = 60;

/// Ticks for the goodbyes of a link that is being closed.
const CLOSE_TICKS: u64 = 5;

/// The clock of the links of one process.
#[derive(Debug)]
pub struct Watchdog {
    ticks: AtomicU64,
    links: Mutex<Vec<Weak<Shared>>>,
    /// Whether the clock ticks.
    is_awake: AtomicBool,
    /// Wakes the clock.
    alarm: Sender<()>,
}

impl Watchdog {
    /// A clock that ticks as long as somebody holds it.
    #[must_use]
    pub fn start() -> Arc<Watchdog> {
        let (watchdog, alarm) = Watchdog::new();
        let weak = Arc::downgrade(&watchdog);
        smol::spawn(async move {
            while alarm.recv().await.is_ok() {
                loop {
                    Timer::after(Duration::from_secs(TICK_SECS)).await;
                    match weak.upgrade() {
                        Some(watchdog) if watchdog.falls_asleep() => break,
                        Some(watchdog) => watchdog.tick(),
                        None => return,
                    }
                }
            }
        })
        .detach();
        watchdog
    }

    /// A clock that stands still until the alarm comes. Ticks count from 1: 0 means "never".
    fn new() -> (Arc<Watchdog>, Receiver<()>) {
        let (alarm, comes) = async_channel::bounded(1);
        let watchdog = Watchdog {
            ticks: AtomicU64::new(1),
            links: Mutex::default(),
            is_awake: AtomicBool::new(false),
            alarm,
        };
        (Arc::new(watchdog), comes)
    }

    /// A clock that ticks only by hand.
    #[cfg(test)]
    pub(super) fn stopped() -> Arc<Watchdog> {
        Watchdog::new().0
    }

    /// Something begins that must not take too long.
    fn wake(&self) {
        if !self.is_awake.load(Ordering::SeqCst) && !self.is_awake.swap(true, Ordering::SeqCst) {
            // It fails only when an alarm is there already, or the process ends.
            let _there = self.alarm.try_send(());
        }
    }

    /// Falls asleep if nothing is under way. What begins in this moment is seen here, or sees that the clock sleeps and wakes it.
    pub(super) fn falls_asleep(&self) -> bool {
        if self.anything_under_way() {
            return false;
        }
        self.is_awake.store(false, Ordering::SeqCst);
        if self.anything_under_way() {
            self.wake();
        }
        true
    }

    fn anything_under_way(&self) -> bool {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.iter().filter_map(Weak::upgrade).any(|link| link.limits.anything_under_way())
    }

    pub(super) fn watch(&self, link: &Arc<Shared>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(link));
    }

    /// Lets a second pass, and ends the links that took too long.
    pub(super) fn tick(&self) {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        self.links.lock().unwrap_or_else(PoisonError::into_inner).retain(|link| match link.upgrade() {
            Some(link) => {
                link.look(now);
                true
            }
            None => false,
        });
    }
}

/// When something began that must not take too long, if it is under way.
#[derive(Debug)]
pub(super) struct Since {
    watchdog: Arc<Watchdog>,
    tick: AtomicU64,
}

impl Since {
    pub(super) fn new(watchdog: &Arc<Watchdog>) -> Since {
        Since { watchdog: Arc::clone(watchdog), tick: AtomicU64::new(0) }
    }

    /// It begins, or begins anew.
    pub(super) fn begin(&self) {
        self.tick.store(self.watchdog.ticks.load(Ordering::Relaxed), Ordering::SeqCst);
        self.watchdog.wake();
    }

    /// It begins, unless it is under way.
    pub(super) fn begin_once(&self) {
        if self.tick.load(Ordering::Relaxed) == 0 {
            self.begin();
        }
    }

    /// It ended.
    pub(super) fn end(&self) {
        self.tick.store(0, Ordering::Relaxed);
    }

    /// Whether it began and did not end.
    pub(super) fn is_under_way(&self) -> bool {
        self.tick.load(Ordering::SeqCst) != 0
    }

    fn longer_than(&self, ticks: u64, now: u64) -> bool {
        let began = self.tick.load(Ordering::Relaxed);
        began != 0 && now.saturating_sub(began) > ticks
    }
}

/// The three things on a link that must not take too long.
#[derive(Debug)]
pub(super) struct Limits {
    /// A frame is arriving.
    pub(super) frame: Since,
    /// Bytes wait for the remote to read; begins anew with each that leaves.
    pub(super) write: Since,
    /// The link is being closed.
    pub(super) close: Since,
}

impl Limits {
    pub(super) fn new(watchdog: &Arc<Watchdog>) -> Limits {
        Limits { frame: Since::new(watchdog), write: Since::new(watchdog), close: Since::new(watchdog) }
    }

    fn anything_under_way(&self) -> bool {
        [&self.frame, &self.write, &self.close].iter().any(|since| since.is_under_way())
    }

    /// What takes too long, if something does.
    pub(super) fn broken(&self, now: u64) -> Option<TooLong> {
        if self.frame.longer_than(FRAME_TICKS, now) {
            Some(TooLong::Frame)
        } else if self.write.longer_than(STALL_TICKS, now) {
            Some(TooLong::Write)
        } else if self.close.longer_than(CLOSE_TICKS, now) {
            Some(TooLong::Close)
        } else {
            None
        }
    }
}

impl Drop for Limits {
    /// So that the clock clears away what is left of the link.
    fn drop(&mut self) {
        self.frame.watchdog.wake();
    }
}

/// What takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLong {
    Frame,
    Write,
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_wakes_the_clock_once() {
        let (watchdog, alarm) = Watchdog::new();
        let limits = Limits::new(&watchdog);
        limits.frame.begin();
        limits.write.begin();
        assert!(alarm.try_recv().is_ok());
        assert!(alarm.try_recv().is_err(), "it is awake");
        assert!(watchdog.falls_asleep(), "no link is watched");
        limits.frame.begin();
        assert!(alarm.try_recv().is_ok(), "it sleeps no more");
    }
}
