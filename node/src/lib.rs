//! Private group file sharing on real sockets: the shells around the engine.
//!
//! `node tracker` runs [`engine::tracker::Tracker`], `node client` runs [`engine::peer::Peer`] with a person's side in front, and
//! `node demo` runs several of both. What is decided is decided in the engine; here bytes, files, sockets and terminals are
//! moved, and nothing waits on an unbounded queue. Data goes to standard output, messages and logs to standard error.
//!
//! The package is a library so that tests and fuzz targets reach its parsers; `main.rs` calls [`main`] and nothing else.

mod alarm;
mod apart;
pub mod channel;
mod cli;
pub mod client;
mod courtesy;
pub mod data_dir;
pub mod demo;
pub mod exit;
pub mod identity;
pub mod known_trackers;
pub mod link;
mod log;
mod pages;
mod pool;
pub mod rate;
mod recorder;
pub mod repl;
mod sha1;
pub mod tracker;
pub mod tracker_info;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use exit::{Exit, Failure};

/// Runs the program: command line in, exit code out.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::explain(&error).into(),
    };
    log::start();
    let result = match cli.command {
        Command::Tracker(args) => args.options().and_then(|options| tracker::main(&options)),
        Command::Restore(args) => {
            args.tracker.options().and_then(|options| tracker::restore(&options, &args.backup))
        }
        Command::Client(args) => args.options().and_then(|(options, repl)| run_client(options, repl)),
        Command::Demo(args) => demo::main(&args.options()),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}

/// Runs a client with the person's side in front.
fn run_client(options: client::Options, repl: repl::ReplOptions) -> Result<Exit, Failure> {
    smol::block_on(async {
        let client = client::Client::start(options).await.map_err(|error| Failure::cannot_start(&error))?;
        Ok(repl::run(client, repl).await)
    })
}
