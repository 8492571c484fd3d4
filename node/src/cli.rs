//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use engine::peer::strategy::Strategy;

use crate::client;
use crate::data_dir;
use crate::demo;
use crate::exit::{Exit, Failure};
use crate::rate::Rate;
use crate::repl::{self, ReplOptions};
use crate::tracker;
use crate::tracker_info;

const EXAMPLES: &str = "\
Examples:
  node tracker tracker_info.txt 1                    run the first tracker of the list
  node client 127.0.0.1:9001 tracker_info.txt        join in, and listen on port 9001
  node client 127.0.0.1:0 tracker_info.txt <script   do what the script says, and end
  node demo --leechers 8                             a whole swarm on this machine
  RUST_LOG=debug node tracker tracker_info.txt 1     with a log on standard error

Exit codes:
  0  all went well
  1  a command was refused or failed
  2  wrong usage: of the command line, in tracker_info.txt, or of a command in a script
  3  it could not start: port in use, data folder in use, store damaged
  4  a failure, of the disk for instance, stopped the process
  130  a signal ended a client that worked through a script";

const TRACKER_HELP: &str = "\
Console commands: status, add, remove, force_single, backup, help, quit. The end of standard input does not end a tracker; quit, SIGINT and SIGTERM do.

Examples:
  node tracker tracker_info.txt 1
  node tracker tracker_info.txt 1 --data-dir /var/lib/group-sharing </dev/null &";

const CLIENT_EXAMPLES: &str = "\
Examples:
  node client 127.0.0.1:9001 tracker_info.txt
  node client 127.0.0.1:9002 tracker_info.txt --data-dir ./second
  node client 127.0.0.1:0 tracker_info.txt <script
  node client 127.0.0.1:0 tracker_info.txt -c 'login ann' -c 'list_files team'    asks for the password";

/// Private group file sharing: a tracker keeps accounts, groups and the list of files; clients exchange the files directly.
#[derive(Debug, Parser)]
#[command(name = "node", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a tracker
    #[command(after_help = TRACKER_HELP)]
    Tracker(TrackerArgs),
    /// Begin a tracker with what the console command `backup` of another wrote; then run it with `node tracker`
    Restore(RestoreArgs),
    /// Run a client: a prompt on a terminal, or a script on standard input or in -c
    #[command(after_help = client_help())]
    Client(ClientArgs),
    /// Show it: a tracker, a seeder and several leechers on loopback share a file; nothing is left behind
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TrackerArgs {
    /// The list of trackers: one a line, as `ip:port` or `ip port`; `#` begins a comment
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// Which line of the list this tracker is, counted from 1
    #[arg(value_name = "TRACKER_NO")]
    number: usize,
    /// Where this tracker keeps its state [default: $XDG_DATA_HOME/group-sharing/tracker-IP-PORT]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Write down all that happens, for `sim replay FILE`; whoever reads the file can open every account
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) tracker: TrackerArgs,
    /// The backup
    #[arg(value_name = "FILE")]
    pub(crate) backup: PathBuf,
}

impl TrackerArgs {
    /// What the arguments ask for, with the tracker list read.
    pub(crate) fn options(self) -> Result<tracker::Options, Failure> {
        let trackers = tracker_info::load(&self.list).map_err(|error| Failure::usage(&error))?;
        let address = tracker_info::pick(&trackers, self.number).map_err(|error| Failure::usage(&error))?;
        let data_dir = chosen(self.data_dir, &format!("tracker-{}-{}", address.ip(), address.port()))?;
        Ok(tracker::Options { number: self.number, trackers, data_dir, record: self.record })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// Where this client listens for other peers; port 0 picks a free one; IPv6 as `[::1]:9001`
    #[arg(value_name = "IP:PORT", value_parser = listen_address)]
    listen: SocketAddr,
    /// The list of trackers, the same as the trackers have
    #[arg(value_name = "TRACKER_INFO")]
    list: PathBuf,
    /// Where this client keeps its state; each client that runs at the same time needs its own [default:
    /// $XDG_DATA_HOME/group-sharing/client-IP-PORT]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Run this command instead of reading commands; may be given several times
    #[arg(short = 'c', long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
    /// The rule by which uploaders are chosen
    #[arg(long, default_value = Strategy::default().name(), value_parser = strategies())]
    strategy: Strategy,
    /// Send pieces no faster than this, over all links: 500KB/s, 2MiB/s, 1.5M; `limit` changes it while the client runs
    #[arg(long, value_name = "RATE")]
    upload_limit: Option<Rate>,
    /// Take pieces in no faster than this, over all links
    #[arg(long, value_name = "RATE")]
    download_limit: Option<Rate>,
    /// Write down all that happens, for `sim replay FILE`: names of people and files, but no password and no key
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

impl ClientArgs {
    /// What the arguments ask for, with the tracker list read.
    pub(crate) fn options(self) -> Result<(client::Options, ReplOptions), Failure> {
        let trackers = tracker_info::load(&self.list).map_err(|error| Failure::usage(&error))?;
        let data_dir = chosen(self.data_dir, &format!("client-{}-{}", self.listen.ip(), self.listen.port()))?;
        let repl = ReplOptions { commands: self.commands, data_dir: data_dir.clone() };
        let client = client::Options {
            listen: self.listen,
            trackers,
            data_dir,
            strategy: self.strategy,
            upload_limit: self.upload_limit,
            download_limit: self.download_limit,
            record: self.record,
        };
        Ok((client, repl))
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The file to share; without it, one is made
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Length of the file that is made, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    size_mib: u64,
    /// How many peers fetch the file
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32))]
    leechers: u8,
    /// The rule by which uploaders are chosen
    #[arg(long, default_value = Strategy::default().name(), value_parser = strategies())]
    strategy: Strategy,
    /// Send pieces no faster than this: the seeder, then each leecher; the last rate holds for the rest
    #[arg(long, value_name = "RATE,...", value_delimiter = ',')]
    upload_limit: Vec<Rate>,
}

impl DemoArgs {
    /// What the arguments ask for.
    pub(crate) fn options(self) -> demo::Options {
        let DemoArgs { file, size_mib, leechers, strategy, upload_limit } = self;
        let (leechers, upload_limits) = (usize::from(leechers), upload_limit);
        demo::Options { file, size_mib, leechers, strategy, upload_limits }
    }
}

fn client_help() -> String {
    format!("{}\n\n{CLIENT_EXAMPLES}", repl::overview().trim_end())
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write ip:port, as 127.0.0.1:9001 or [::1]:9001; port 0 picks a free one".into())
}

fn strategies() -> impl clap::builder::TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::ALL.map(Strategy::name)).try_map(|name| name.parse::<Strategy>())
}

/// The data folder that the person named, or the default one.
fn chosen(data_dir: Option<PathBuf>, default_name: &str) -> Result<PathBuf, Failure> {
    match data_dir {
        Some(path) => Ok(path),
        None => data_dir::default_path(default_name).map_err(|error| Failure::cannot_start(&error)),
    }
}

/// Prints what clap has to say: help and version on standard output, mistakes on standard error.
pub(crate) fn explain(error: &clap::Error) -> Exit {
    // Whoever closed the stream does not want to read it; the exit code still counts.
    let _closed = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ => Exit::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    fn client(arguments: &[&str]) -> Result<ClientArgs, clap::Error> {
        match Cli::try_parse_from(["node", "client"].iter().chain(arguments))?.command {
            Command::Client(args) => Ok(args),
            Command::Tracker(_) | Command::Restore(_) | Command::Demo(_) => {
                unreachable!("asked for a client")
            }
        }
    }

    #[test]
    fn a_client_has_an_address_a_list_and_options() {
        let args =
            client(&["[::1]:0", "list", "-c", "whoami", "-c", "quit", "--strategy", "random"]).unwrap();
        assert_eq!(args.listen, "[::1]:0".parse().unwrap());
        assert_eq!(args.commands, ["whoami", "quit"]);
        assert_eq!(args.strategy, Strategy::Random);
        assert_eq!(client(&["127.0.0.1:1", "list"]).unwrap().strategy, Strategy::Adaptive);
    }

    #[test]
    fn a_wrong_argument_is_refused_with_what_is_right() {
        let refused = |arguments: &[&str]| client(arguments).unwrap_err().to_string();
        assert!(refused(&["localhost:1", "list"]).contains("write ip:port"));
        assert!(refused(&["127.0.0.1:1", "list", "--strategy", "best"]).contains("fewest-pieces"));
        assert!(refused(&["127.0.0.1:1"]).contains("TRACKER_INFO"));
    }
}
