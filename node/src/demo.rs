//! `node demo`: a tracker, a seeder and several leechers as real peers over loopback sockets, with one command.
//!
//! Everything lives in a temporary folder that is removed at the end. The result is true: each copy is compared byte for byte
//! with the original, and the exit code says whether all are the same.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::name::{FileName, GroupName, Place, UserName};
use engine::peer::command::{Command, DownloadState, Giver, Leaving, News, Reply};
use engine::peer::strategy::Strategy;
use futures_lite::future;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rand::{Rng as _, SeedableRng as _};
use smol::Timer;

use crate::client::{Client, Options as ClientOptions};
use crate::exit::{Exit, Failure};
use crate::rate::Rate;
use crate::repl::signals;
use crate::repl::text::{Align, size, table};
use crate::tracker::embedded::Embedded;

/// How often progress is shown.
const LOOK: Duration = Duration::from_millis(100);

/// What the demonstration is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file to share; one is made if there is none.
    pub file: Option<PathBuf>,
    /// The length of the file that is made, in MiB.
    pub size_mib: u64,
    /// How many peers fetch it.
    pub leechers: usize,
    /// The rule by which they choose whom to ask.
    pub strategy: Strategy,
    /// How fast the seeder, then each leecher may send; the last holds for the rest, and none limits nobody.
    pub upload_limits: Vec<Rate>,
}

/// A leecher, and how its download went.
struct Leecher {
    name: String,
    client: Client,
    copy: PathBuf,
}

/// How a download went.
struct Outcome {
    took: Duration,
    from: Vec<Giver>,
}

/// Runs the demonstration.
///
/// # Errors
/// What went wrong: nothing, if every copy is the same as the original.
pub fn main(options: &Options) -> Result<Exit, Failure> {
    // From here on an interruption ends this in order: the folder goes in any case.
    let interrupted = signals::watch().map_err(|error| Failure::cannot_start(&error))?;
    let folder = tempfile::Builder::new()
        .prefix("group-sharing-demo-")
        .tempdir()
        .map_err(|error| Failure::cannot_start(&format!("no temporary folder: {error}")))?;
    let file = match &options.file {
        Some(file) => fs::canonicalize(file).map_err(|error| failed(file, &error))?,
        None => make_file(folder.path(), options.size_mib)?,
    };
    let tracker = Embedded::start(&folder.path().join("tracker"))?;
    let interruption = async {
        match interrupted.recv().await {
            Ok(_) => Ok(Exit::Interrupted),
            Err(_) => future::pending().await,
        }
    };
    let shared = share(options, folder.path(), &file, tracker.address());
    let result = smol::block_on(future::or(shared, interruption));
    tracker.quit()?;
    let removed =
        folder.close().map_err(|error| Failure::broken(&format!("the temporary folder stays: {error}")));
    let exit = result?;
    removed.map(|()| exit)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::broken(&format!("{}: {error}", path.display()))
}

/// A file of pseudo-random bytes, which compress and repeat nowhere.
fn make_file(folder: &Path, size_mib: u64) -> Result<PathBuf, Failure> {
    let path = folder.join("demo.bin");
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create_new(&path)?);
        let mut rng = rand::rngs::SmallRng::seed_from_u64(size_mib);
        let mut block = vec![0; 1024 * 1024];
        for _ in 0..size_mib {
            rng.fill_bytes(&mut block);
            file.write_all(&block)?;
        }
        file.flush()
    };
    write().map_err(|error| failed(&path, &error))?;
    Ok(path)
}

/// The whole demonstration: everybody joins a group, one shares the file, the others fetch it.
async fn share(options: &Options, folder: &Path, file: &Path, tracker: SocketAddr) -> Result<Exit, Failure> {
    let group = GroupName::new("demo").map_err(|error| Failure::broken(&error))?;
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name =
        FileName::new(name).map_err(|error| Failure::usage(&format!("{}: {error}", file.display())))?;
    let seeder = member(options, folder, "seeder", 0, tracker).await?;
    say(&seeder, Command::CreateGroup { group: group.clone() }).await?;
    let leechers = leechers(options, folder, tracker, &seeder, &group).await?;
    let place = Place(file.as_os_str().as_bytes().into());
    let shared =
        say(&seeder, Command::UploadFile { group: group.clone(), name: name.clone(), place }).await?;
    let Reply::Shared { content } = shared else { return Err(Failure::broken("the file was not shared")) };
    let bytes = content.size.bytes();
    print(&format!(
        "{} shares {name}: {}, {} pieces; {} leechers fetch it, choosing by {}\n",
        "seeder",
        size(bytes),
        content.size.pieces(),
        leechers.len(),
        options.strategy
    ))?;
    let started = Instant::now();
    for leecher in &leechers {
        let place = Place(leecher.copy.as_os_str().as_bytes().into());
        let command = Command::DownloadFile { group: group.clone(), name: name.clone(), place, named: true };
        say(&leecher.client, command).await?;
    }
    let outcomes = future::or(finish(&leechers), show_progress(&leechers)).await?;
    let took = started.elapsed();
    let identical = compare(file, &leechers)?;
    print(&report(&leechers, &outcomes, &identical, bytes))?;
    print(&summary(&identical, bytes, took))?;
    for client in leechers.iter().map(|leecher| &leecher.client).chain([&seeder]) {
        say(client, Command::Quit { when: Leaving::Now }).await?;
        client.ended().await;
    }
    Ok(if identical.iter().all(|same| *same) { Exit::Success } else { Exit::Refused })
}

/// Starts a client, the first of them being number 0, and logs in as a new user.
async fn member(
    options: &Options,
    folder: &Path,
    name: &str,
    number: usize,
    tracker: SocketAddr,
) -> Result<Client, Failure> {
    let client = Client::start(ClientOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        trackers: vec![tracker.into()],
        data_dir: folder.join(name),
        strategy: options.strategy,
        upload_limit: options.upload_limits.get(number).or(options.upload_limits.last()).copied(),
        download_limit: None,
        record: None,
    })
    .await
    .map_err(|error| Failure::cannot_start(&error))?;
    let user = UserName::new(name).map_err(|error| Failure::broken(&error))?;
    let password = client.keep_password(name.to_owned());
    say(&client, Command::CreateUser { user: user.clone(), password }).await?;
    let password = client.keep_password(name.to_owned());
    say(&client, Command::Login { user, password }).await?;
    Ok(client)
}

/// Starts the leechers and lets them into the group.
async fn leechers(
    options: &Options,
    folder: &Path,
    tracker: SocketAddr,
    owner: &Client,
    group: &GroupName,
) -> Result<Vec<Leecher>, Failure> {
    let mut leechers = Vec::new();
    for number in 1..=options.leechers {
        let name = format!("leecher{number}");
        let client = member(options, folder, &name, number, tracker).await?;
        say(&client, Command::JoinGroup { group: group.clone() }).await?;
        let user = UserName::new(&name).map_err(|error| Failure::broken(&error))?;
        say(owner, Command::AcceptRequest { group: group.clone(), user }).await?;
        leechers.push(Leecher { copy: folder.join(format!("{name}.copy")), name, client });
    }
    Ok(leechers)
}

async fn say(client: &Client, command: Command) -> Result<Reply, Failure> {
    client.run(command).await.map_err(|refusal| Failure::broken(&refusal))
}

/// Waits for every download to be reported complete, and says how each went.
async fn finish(leechers: &[Leecher]) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::new();
    for leecher in leechers {
        outcomes.push(completion(leecher).await?);
    }
    Ok(outcomes)
}

async fn completion(leecher: &Leecher) -> Result<Outcome, Failure> {
    let news = leecher.client.news();
    loop {
        match news.recv().await {
            Ok(News::DownloadComplete { took, from, .. }) => {
                return Ok(Outcome { took: Duration::from_micros(took.0), from });
            }
            Ok(News::DownloadFailed { why, .. }) => {
                return Err(Failure::broken(&format!("the download of {} failed: {why}", leecher.name)));
            }
            Ok(_) => {}
            Err(_) => {
                return Err(Failure::broken(&format!("{} ended before its download did", leecher.name)));
            }
        }
    }
}

/// Shows a bar for each download, for as long as it is polled.
async fn show_progress<T>(leechers: &[Leecher]) -> Result<T, Failure> {
    if !io::stderr().is_terminal() {
        return future::pending().await;
    }
    let bars = MultiProgress::new();
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {bytes}/{total_bytes} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let lines: Vec<(&Leecher, ProgressBar)> = leechers
        .iter()
        .map(|leecher| {
            let bar = bars.add(ProgressBar::new(1).with_style(style.clone()));
            (leecher, bar.with_prefix(leecher.name.clone()).with_finish(indicatif::ProgressFinish::AndClear))
        })
        .collect();
    loop {
        for (leecher, bar) in &lines {
            let Reply::Downloads(rows) = say(&leecher.client, Command::ShowDownloads).await? else {
                continue;
            };
            for row in rows {
                bar.set_length(row.content.size.bytes());
                bar.set_position(row.bytes);
                let done = row.state == DownloadState::Complete;
                bar.set_message(if done {
                    "complete".to_owned()
                } else {
                    format!("{}/s from {} peers", size(row.rate), row.peers)
                });
            }
        }
        Timer::after(LOOK).await;
    }
}

/// Whether each copy is, byte for byte, the original.
fn compare(original: &Path, leechers: &[Leecher]) -> Result<Vec<bool>, Failure> {
    leechers
        .iter()
        .map(|leecher| same_bytes(original, &leecher.copy).map_err(|error| failed(&leecher.copy, &error)))
        .collect()
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    if fs::metadata(one)?.len() != fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; 1024 * 1024], vec![0; 1024 * 1024]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

/// Who gave how many pieces to whom.
fn report(leechers: &[Leecher], outcomes: &[Outcome], identical: &[bool], bytes: u64) -> String {
    let rows: Vec<[String; 5]> = leechers
        .iter()
        .zip(outcomes)
        .zip(identical)
        .map(|((leecher, outcome), same)| {
            let givers = outcome.from.iter().map(|giver| {
                let who = giver.user.as_ref().map_or_else(|| giver.device.to_string(), ToString::to_string);
                format!("{} {}", who, giver.pieces)
            });
            [
                leecher.name.clone(),
                format!("{:.2} s", outcome.took.as_secs_f64()),
                rate(bytes, outcome.took),
                if *same { "identical" } else { "DIFFERENT" }.to_owned(),
                givers.collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    let header = [
        ("peer", Align::Left),
        ("time", Align::Right),
        ("rate", Align::Right),
        ("copy", Align::Left),
        ("pieces from", Align::Left),
    ];
    table(header, &rows)
}

fn summary(identical: &[bool], bytes: u64, took: Duration) -> String {
    let same = identical.iter().filter(|same| **same).count();
    let all = bytes * identical.len() as u64;
    format!(
        "{same} of {} copies identical; {} in {:.2} s, {} in all\n",
        identical.len(),
        size(all),
        took.as_secs_f64(),
        rate(all, took)
    )
}

fn rate(bytes: u64, took: Duration) -> String {
    let per_second = u128::from(bytes) * 1_000_000 / took.as_micros().max(1);
    format!("{}/s", size(u64::try_from(per_second).unwrap_or(u64::MAX)))
}

/// Prints on standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::broken(&format!("standard output: {error}")))
}
