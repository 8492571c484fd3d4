//! Progress on a terminal while a command that takes long is under way.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use engine::peer::command::{Command, DownloadRow, DownloadState, Leaving, Reply};
use futures_lite::future;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use smol::Timer;

use super::grammar::What;
use super::screen::Screen;
use super::session::Door;
use super::text::{escape, percent, printable, size, span};

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
    /// How far the files are that are read to share them.
    Surveys,
    /// How far downloads are.
    Downloads,
}

impl Show {
    /// What to show for a command.
    pub(crate) fn of(what: &What) -> Show {
        match what {
            What::Plain(Command::UploadFile { .. }) => Show::Surveys,
            What::Plain(Command::Wait { .. }) => Show::Downloads,
            What::Plain(
                Command::Quit { when: Leaving::WhenReplicated(_) }
                | Command::Logout { when: Leaving::WhenReplicated(_) },
            ) => Show::Spinner("leaving when others hold what is shared here".to_owned()),
            What::Plain(_) | What::CreateUser(..) | What::Login(..) | What::Limit(_) => Show::Nothing,
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
            Show::Surveys => watch(|| async { surveys(door.survey()) }, screen).await,
            Show::Downloads | Show::Nothing => watch(|| downloads(door), screen).await,
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

/// Something that goes on, as a bar.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    title: String,
    bytes: u64,
    size: u64,
    how: String,
}

/// Shows a bar for each row, looking again and again.
async fn watch<T, F: Future<Output = Vec<Row>>>(look: impl Fn() -> F, screen: &Screen) -> T {
    let bars = MultiProgress::new();
    screen.lay(bars.clone(), None);
    let _laid = Laid(screen);
    let mut shown: BTreeMap<String, ProgressBar> = BTreeMap::new();
    loop {
        update(&bars, &mut shown, &look().await);
        Timer::after(LOOK).await;
    }
}

fn update(bars: &MultiProgress, shown: &mut BTreeMap<String, ProgressBar>, rows: &[Row]) {
    shown.retain(|title, bar| {
        let goes_on = rows.iter().any(|row| row.title == *title);
        if !goes_on {
            bars.remove(bar);
        }
        goes_on
    });
    for row in rows {
        if !shown.contains_key(&row.title) && shown.len() < BARS_MAX {
            let bar = bars.add(ProgressBar::new(row.size));
            bar.set_style(style("{prefix}  [{bar:30}]  {msg}"));
            bar.set_prefix(row.title.clone());
            shown.insert(row.title.clone(), bar);
        }
        if let Some(bar) = shown.get(&row.title) {
            bar.set_position(row.bytes);
            bar.set_message(row.how.clone());
        }
    }
}

/// The file that is being read to share it.
fn surveys(survey: Option<(PathBuf, u64, u64)>) -> Vec<Row> {
    let row = survey.map(|(path, bytes, size)| {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Row { title: format!("hashing {}", escape(&name)), bytes, size, how: percent(bytes, size) }
    });
    row.into_iter().collect()
}

async fn downloads<D: Door>(door: &D) -> Vec<Row> {
    match door.run(Command::ShowDownloads).await {
        Ok(Reply::Downloads(rows)) => rows.iter().filter_map(running).collect(),
        Ok(_) => Vec::new(),
        // The wait itself says what went wrong.
        Err(refusal) => {
            tracing::debug!(%refusal, "no progress to show");
            Vec::new()
        }
    }
}

fn running(row: &DownloadRow) -> Option<Row> {
    matches!(row.state, DownloadState::Running | DownloadState::Paused).then(|| Row {
        title: format!("[{}] {}", row.group, row.name),
        bytes: row.bytes,
        size: row.content.size.bytes(),
        how: how(row),
    })
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
        let rows: Vec<Row> = running(&row(DownloadState::Running)).into_iter().collect();
        update(&bars, &mut shown, &rows);
        let bar = shown.get("[physics] a b.txt").unwrap();
        assert_eq!((bar.position(), bar.length()), (3 * 524_288, Some(4 * 524_288)));
        assert_eq!(bar.message(), "75.0%  1.5 MiB/s  1 min 15 s left");
        assert_eq!(running(&row(DownloadState::Complete)), None);
        update(&bars, &mut shown, &[]);
        assert!(shown.is_empty());
    }

    #[test]
    fn a_file_that_is_hashed_is_shown_by_its_name() {
        assert_eq!(surveys(None), []);
        let row = &surveys(Some((PathBuf::from("/a/big\u{1b}.bin"), 1, 4)))[0];
        assert_eq!((row.title.as_str(), row.how.as_str()), ("hashing big\\u{1b}.bin", "25.0%"));
    }
}
