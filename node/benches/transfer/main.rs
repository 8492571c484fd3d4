//! How fast files move between real processes over loopback.
//!
//! The clock runs from just before the first downloading process is started until the last one says that its copy is complete and
//! verified; log-in, key derivation and handshakes are inside. The copies are then compared with the original byte for byte. CPU time is
//! that of all processes of the swarm. The tools take turns, so that a machine that slows down slows all of them.
//!
//! ```sh
//! cargo bench -p node --bench transfer -- --runs 5 --libtorrent python3 --rqbit rqbit
//! ```

mod ballast;
mod libtorrent;
mod node;
mod peer;
mod report;
mod rqbit;
mod torrent;
mod usage;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rand::{Rng as _, SeedableRng as _};

use ballast::Ballast;
use peer::{Peer, Tool};
use report::Run;
use usage::{cpu, cpu_of_machine, private_mib};

/// What goes wrong ends the benchmark with a word on it.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How long a transfer may take.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Parser)]
struct Args {
    /// Length of the file
    #[arg(long, default_value_t = 1024)]
    size_mib: u64,
    /// Runs of each tool in each case
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seeders and leechers: 1-1 for one of each
    #[arg(long, value_delimiter = ',', default_values_t = ["1-1".to_owned(), "4-1".to_owned(), "1-4".to_owned()])]
    cases: Vec<String>,
    /// Measure libtorrent as well, plain and with RC4, by this Python, which can import it
    #[arg(long, value_name = "PYTHON")]
    libtorrent: Option<PathBuf>,
    /// Measure rqbit as well
    #[arg(long, value_name = "PROGRAM")]
    rqbit: Option<PathBuf>,
    /// Another build of this program to measure as well
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,
    /// Where the files go
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::Builder::new().prefix("transfer-").tempdir_in(&args.folder)?;
    let source = make_file(folder.path(), args.size_mib)?;
    let cases: Vec<(usize, usize)> = args.cases.iter().map(|case| parse_case(case)).collect::<Result<_>>()?;
    let copies = cases.iter().map(|(_, leechers)| *leechers).max().unwrap_or(1) as u64;
    let mut ballast = Ballast::default();
    let mut runs = Vec::new();
    for round in 0..args.runs {
        for (seeders, leechers) in &cases {
            for tool in tools(&args) {
                let place = folder.path().join("swarm");
                fs::create_dir(&place)?;
                ballast.give_out(copies * args.size_mib + 2_048)?;
                let run = transfer(&*tool, &place, &source, (*seeders, *leechers), &mut ballast)?;
                fs::remove_dir_all(&place)?;
                writeln!(io::stderr(), "{} {seeders}-{leechers} #{round}: {run}", tool.name())?;
                runs.push(((*seeders, *leechers), tool.name(), run));
            }
        }
    }
    write!(io::stdout(), "{}", report::table(&runs, args.size_mib))?;
    Ok(())
}

fn tools(args: &Args) -> Vec<Box<dyn Tool>> {
    let mut tools: Vec<Box<dyn Tool>> = vec![Box::new(node::Node::new("this", env!("CARGO_BIN_EXE_node")))];
    if let Some(other) = &args.other {
        tools.push(Box::new(node::Node::new("other build", other)));
    }
    if let Some(python) = &args.libtorrent {
        tools.push(Box::new(libtorrent::Libtorrent::new(python, false)));
        tools.push(Box::new(libtorrent::Libtorrent::new(python, true)));
    }
    if let Some(program) = &args.rqbit {
        tools.push(Box::new(rqbit::Rqbit::new(program)));
    }
    tools
}

fn parse_case(case: &str) -> Result<(usize, usize)> {
    let (seeders, leechers) = case.split_once('-').ok_or("a case is SEEDERS-LEECHERS, as 1-4")?;
    Ok((seeders.parse()?, leechers.parse()?))
}

/// A file of pseudo-random bytes.
fn make_file(folder: &Path, size_mib: u64) -> Result<PathBuf> {
    let path = folder.join("original.bin");
    let mut file = File::create_new(&path)?;
    let mut rng = rand::rngs::SmallRng::seed_from_u64(size_mib);
    let mut block = vec![0; 1024 * 1024];
    for _ in 0..size_mib {
        rng.fill_bytes(&mut block);
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok(path)
}

/// One transfer, from the seeders to all leechers at once.
fn transfer(
    tool: &dyn Tool,
    place: &Path,
    source: &Path,
    (seeders, leechers): (usize, usize),
    ballast: &mut Ballast,
) -> Result<Run> {
    let mut swarm = tool.seed(place, source, seeders, leechers)?;
    ballast.fill()?;
    let cpu_before = cpu_of(&swarm)?;
    let machine_before = cpu_of_machine()?;
    let began = Instant::now();
    for number in 0..leechers {
        swarm.push(tool.leech(place, number)?);
    }
    let private = watch(&mut swarm[..], ballast, began)?;
    let wall = began.elapsed();
    let ours = cpu_of(&swarm)? - cpu_before;
    let others = (cpu_of_machine()? - machine_before).saturating_sub(ours);
    for leecher in swarm.iter().filter_map(|peer| peer.copy.as_ref()) {
        if !same_bytes(source, leecher)? {
            return Err(format!("{} differs from the original", leecher.display()).into());
        }
    }
    Ok(Run {
        wall,
        cpu: ours,
        noise: others.as_secs_f64() / wall.as_secs_f64(),
        private_mib: private,
        leechers,
    })
}

fn cpu_of(swarm: &[Peer]) -> Result<Duration> {
    swarm.iter().map(|peer| cpu(peer.pid())).sum()
}

/// Waits until every leecher is done; gives the most private memory that one of them had, in MiB, after its first second and before it.
fn watch(swarm: &mut [Peer], ballast: &mut Ballast, began: Instant) -> Result<(u64, u64)> {
    let (mut at_start, mut later) = (0, 0);
    let mut waiting: Vec<&mut Peer> = swarm.iter_mut().filter(|peer| peer.copy.is_some()).collect();
    while !waiting.is_empty() {
        for peer in &waiting {
            let now = private_mib(peer.pid())?;
            // Key derivation needs 64 MiB for a moment.
            let most = if began.elapsed() < Duration::from_secs(1) { &mut at_start } else { &mut later };
            *most = now.max(*most);
        }
        ballast.refill_spare()?;
        let mut left = Vec::new();
        for peer in waiting {
            if !peer.is_done()? {
                left.push(peer);
            }
        }
        waiting = left;
        if began.elapsed() > PATIENCE {
            return Err("a transfer took too long".into());
        }
        thread::sleep(LOOK);
    }
    Ok((at_start, later))
}

fn same_bytes(one: &Path, other: &Path) -> Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
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
