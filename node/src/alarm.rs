//! The alarm of a machine's loop: it is set before each wait, and mostly to the same time as before or a later one.

use std::fmt;
use std::future::Future;
use std::time::Instant;

use async_io::Timer;
use futures_lite::future;

/// An alarm that can be set any number of times. Setting a timer wakes the thread that watches for timers, so a timer that would go off too
/// early is let go off, and only then set to the time that holds.
pub(crate) struct Alarm {
    timer: Timer,
    /// When the timer goes off.
    set: Option<Instant>,
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm { timer: Timer::never(), set: None }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Alarm {
    /// What `event` gives; nothing if `at` comes first. An alarm that is due comes first even when there are always events.
    pub(crate) async fn unless<T>(
        &mut self,
        at: Option<Instant>,
        event: impl Future<Output = T>,
    ) -> Option<T> {
        let Some(at) = at else { return Some(event.await) };
        if at <= Instant::now() {
            return None;
        }
        let alarm = async {
            self.wait(at).await;
            None
        };
        future::or(async { Some(event.await) }, alarm).await
    }

    async fn wait(&mut self, at: Instant) {
        while Instant::now() < at {
            if self.set.is_none_or(|set| at < set) {
                self.timer.set_at(at);
                self.set = Some(at);
            }
            (&mut self.timer).await;
            self.set = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const EARLY: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_millis(60);

    /// Waits for the alarm alone.
    fn passes(alarm: &mut Alarm, at: Instant) {
        assert_eq!(smol::block_on(alarm.unless(Some(at), future::pending::<()>())), None);
        assert!(Instant::now() >= at, "too early");
    }

    #[test]
    fn an_event_comes_first() {
        let mut alarm = Alarm::default();
        assert_eq!(smol::block_on(alarm.unless(None, async { 1 })), Some(1));
        let far = Instant::now() + Duration::from_secs(1_000);
        assert_eq!(smol::block_on(alarm.unless(Some(far), async { 2 })), Some(2));
        assert_eq!(alarm.set, None, "a timer was set for nothing");
    }

    #[test]
    fn an_alarm_that_is_due_comes_before_any_event() {
        assert_eq!(smol::block_on(Alarm::default().unless(Some(Instant::now()), async { 1 })), None);
    }

    #[test]
    fn it_goes_off_when_it_should_however_it_was_set_before() {
        let mut alarm = Alarm::default();
        for before in [EARLY, LATE] {
            let began = Instant::now();
            let event = alarm.unless(Some(began + before), future::yield_now());
            assert_eq!(smol::block_on(event), Some(()), "the event came first");
            passes(&mut alarm, began + EARLY.max(LATE - before));
            passes(&mut alarm, began + LATE);
        }
    }
}
