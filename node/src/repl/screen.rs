//! The terminal's screen, shared by answers, news and progress bars, so that none writes over another.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::MultiProgress;

use super::text::{painted, printable};

/// Prints a text above a line that is being typed; blocks until the editor takes it.
pub(crate) type Above = Box<dyn FnMut(String) -> io::Result<()> + Send>;

/// What stands below everything that is printed.
#[derive(Default)]
struct Bottom {
    bars: Option<MultiProgress>,
    /// Where news of a wait is shown instead of being printed line by line.
    status: Option<indicatif::ProgressBar>,
}

/// The screen. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Screen {
    colours: bool,
    bottom: Arc<Mutex<Bottom>>,
}

impl Screen {
    /// A screen; colours if asked for.
    pub(crate) fn new(colours: bool) -> Screen {
        Screen { colours, bottom: Arc::default() }
    }

    /// Prints while nobody types: an answer.
    pub(crate) fn show(&self, text: &str) {
        let text = self.dressed(text);
        if text.is_empty() {
            return;
        }
        let result = self.through_bars(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()
        });
        log_closed(result);
    }

    /// Prints although somebody may be typing: news.
    pub(crate) fn tell(&self, text: &str, above: &mut Above) {
        let text = self.dressed(text);
        let bars = self.bottom.lock().unwrap_or_else(PoisonError::into_inner).bars.clone();
        // The lock is free while this waits for the editor.
        log_closed(match bars {
            Some(bars) => bars.suspend(|| above(text)),
            None => above(text),
        });
    }

    /// Shows `text` in the status line, if there is one.
    pub(crate) fn status(&self, text: &str) -> bool {
        let bottom = self.bottom.lock().unwrap_or_else(PoisonError::into_inner);
        match &bottom.status {
            Some(status) => {
                status.set_message(printable(text).into_owned());
                true
            }
            None => false,
        }
    }

    /// Puts bars below everything, until they are lifted.
    pub(crate) fn lay(&self, bars: MultiProgress, status: Option<indicatif::ProgressBar>) {
        *self.bottom.lock().unwrap_or_else(PoisonError::into_inner) = Bottom { bars: Some(bars), status };
    }

    /// Removes the bars.
    pub(crate) fn lift(&self) {
        let bottom = std::mem::take(&mut *self.bottom.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(bars) = bottom.bars {
            log_closed(bars.clear());
        }
    }

    fn through_bars(&self, print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let bars = self.bottom.lock().unwrap_or_else(PoisonError::into_inner).bars.clone();
        match bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn dressed(&self, text: &str) -> String {
        let text = printable(text);
        if self.colours { painted(&text) } else { text.into_owned() }
    }
}

/// A terminal that is gone sends a signal as well, which ends the program; here it is only noted.
fn log_closed(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the terminal is gone");
    }
}
