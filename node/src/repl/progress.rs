//! Progress on a terminal while a command that takes long is under way.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use engine::peer::command::{Command, DownloadRow, DownloadState, Leaving, Reply};
use futures_lite::future;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use smol::Timer;

use super::grammar::What;
use super::screen::Screen;
use super::session::Door;
use super::text::{percent, printable, size, span};

/// What is quicker than this shows no progress.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often downloads are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Bars at once; the others still count.
const BARS_MAX: usize = 8;

/// What is shown while a command is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Nothing.
    Nothing,
    /// That it goes on.
    Spinner(String),
    /// Downloads.
    Bars,
}

impl Show {
    /// What to show for a command.
    pub(crate) fn of(what: &What) -> Show {
        match what {
            What::Plain(Command::UploadFile { name, .. }) => Show::Spinner(format!("hashing {name}")),
            What::Plain(Command::Wait { .. }) => Show::Bars,
            What::Plain(
                Command::Quit { when: Leaving::WhenReplicated(_) }
                | Command::Logout { when: Leaving::WhenReplicated(_) },
            ) => Show::Spinner("leaving when others hold what is shared here".to_owned()),
            What::Plain(_) | What::CreateUser(..) | What::Login(..) => Show::Nothing,
        }
    }
}

/// Waits for `answer`, and shows progress meanwhile if standard error is a terminal.
pub(crate) async fn during<D: Door, T>(
    show: Show,
    door: &D,
    screen: &Screen,
    answer: impl Future<Output = T>,
) -> T {
    if show == Show::Nothing || !std::io::stderr().is_terminal() {
        return answer.await;
    }
    let progress = async {
        Timer::after(PATIENCE).await;
        match show {
            Show::Spinner(text) => spin(&text, screen).await,
            _ => watch(door, screen).await,
        }
    };
    future::or(answer, progress).await
}

/// Takes the bars away when the wait ends, however it ends.
struct Laid<'a>(&'a Screen);

impl Drop for Laid<'_> {
    fn drop(&mut self) {
        self.0.lift();
    }
}

async fn spin<T>(text: &str, screen: &Screen) -> T {
    let bars = MultiProgress::new();
    let spinner = bars.add(ProgressBar::new_spinner());
    spinner.set_style(style("{spinner} {msg}  {elapsed}"));
    spinner.set_message(printable(text).into_owned());
    screen.lay(bars, Some(spinner.clone()));
    let _laid = Laid(screen);
    loop {
        spinner.tick();
        Timer::after(LOOK / 5).await;
    }
}

async fn watch<D: Door, T>(door: &D, screen: &Screen) -> T {
    let bars = MultiProgress::new();
    screen.lay(bars.clone(), None);
    let _laid = Laid(screen);
    let mut shown: BTreeMap<String, ProgressBar> = BTreeMap::new();
    loop {
        match door.run(Command::ShowDownloads).await {
            Ok(Reply::Downloads(rows)) => update(&bars, &mut shown, &rows),
            Ok(_) => {}
            // The wait itself says what went wrong.
            Err(refusal) => tracing::debug!(%refusal, "no progress to show"),
        }
        Timer::after(LOOK).await;
    }
}

fn update(bars: &MultiProgress, shown: &mut BTreeMap<String, ProgressBar>, rows: &[DownloadRow]) {
    for row in rows {
        let title = format!("[{}] {}", row.group, row.name);
        let running = matches!(row.state, DownloadState::Running | DownloadState::Paused);
        if !running {
            if let Some(bar) = shown.remove(&title) {
                bars.remove(&bar);
            }
            continue;
        }
        if !shown.contains_key(&title) && shown.len() < BARS_MAX {
            let bar = bars.add(ProgressBar::new(row.content.size.bytes()));
            bar.set_style(style("{prefix}  [{bar:30}]  {msg}"));
            bar.set_prefix(title.clone());
            shown.insert(title.clone(), bar);
        }
        if let Some(bar) = shown.get(&title) {
            bar.set_position(row.bytes);
            bar.set_message(how(row));
        }
    }
}

fn how(row: &DownloadRow) -> String {
    let done = percent(row.bytes, row.content.size.bytes());
    match (&row.state, row.left) {
        (DownloadState::Paused, _) => format!("{done}  waits for room on the disk"),
        (_, Some(left)) => format!("{done}  {}/s  {} left", size(row.rate), span(left)),
        (_, None) => format!("{done}  {}/s", size(row.rate)),
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, tried by a test; a plain bar is as good.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .tick_chars("|/-\\ ")
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::row;
    use super::*;

    #[test]
    fn templates_are_well_formed() {
        for template in ["{spinner} {msg}  {elapsed}", "{prefix}  [{bar:30}]  {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn bars_come_and_go_with_their_downloads() {
        let bars = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut shown = BTreeMap::new();
        update(&bars, &mut shown, &[row(DownloadState::Running)]);
        let bar = shown.get("[physics] a b.txt").unwrap();
        assert_eq!((bar.position(), bar.length()), (3 * 524_288, Some(4 * 524_288)));
        assert_eq!(bar.message(), "75.0%  1.5 MiB/s  1 min 15 s left");
        update(&bars, &mut shown, &[row(DownloadState::Complete)]);
        assert!(shown.is_empty());
    }
}
