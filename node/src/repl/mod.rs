//! The person's side of a client: a prompt on a terminal, or a script on standard input or in `-c`.
//!
//! One grammar ([`grammar`], over the table in [`commands`]) serves all three. Commands go to the client and come back as answers or
//! refusals ([`session`]); [`render`], [`news`] and [`json`] turn those into text. What blocks (the line editor, standard input)
//! has a thread of its own and a channel of one place. Nothing here decides anything that matters to others.

mod commands;
mod complete;
mod editor;
mod explain;
mod grammar;
mod help;
mod json;
mod names;
mod news;
mod password;
mod pipe;
mod progress;
mod render;
mod screen;
mod session;
pub(crate) mod signals;
mod terminal;
pub(crate) mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::thread;

use async_channel::{Receiver, bounded};

use crate::client::Client;
use crate::exit::Exit;
use pipe::Given;
use session::Session;

/// How a person uses the client.
#[derive(Clone, Debug)]
pub struct ReplOptions {
    /// The commands of `-c`, in order; if there are any, nothing is read.
    pub commands: Vec<String>,
    /// The client's data folder, where the history is kept.
    pub data_dir: PathBuf,
}

/// Serves the person until they leave, or the script ends, or a signal comes; the client has ended then.
pub async fn run(client: Client, options: ReplOptions) -> Exit {
    match serve(client, options).await {
        Ok(exit) => exit,
        Err(error) => {
            // The exit code still says it if standard error is closed.
            let _closed =
                writeln!(io::stderr(), "node: a thread or a signal handler cannot be set up: {error}");
            Exit::Broken
        }
    }
}

/// The text of `help`, for the command line's help and the README.
#[must_use]
pub fn overview() -> String {
    help::overview()
}

async fn serve(client: Client, options: ReplOptions) -> io::Result<Exit> {
    let stop = signals::watch()?;
    let session = Session::new(client);
    let (typing, watching) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    if options.commands.is_empty() && typing && watching {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        return terminal::run(session, options.data_dir.join("history"), stop, colours).await;
    }
    let commands =
        if options.commands.is_empty() { standard_input()? } else { from_arguments(options.commands) };
    let mode = grammar::Mode { can_ask: typing, home: None };
    let (mut out, mut err) = (io::stdout(), io::stderr());
    Ok(pipe::Script::new(session, stop, mode, &mut out, &mut err).run(commands).await)
}

/// Standard input, line by line, read no further ahead than a line.
fn standard_input() -> io::Result<Receiver<Given>> {
    let (to, from) = bounded(1);
    thread::Builder::new().name("stdin".into()).spawn(move || {
        if let Err(error) = pipe::read_lines(io::stdin().lock(), &to) {
            tracing::error!(%error, "standard input cannot be read");
        }
    })?;
    Ok(from)
}

fn from_arguments(commands: Vec<String>) -> Receiver<Given> {
    let (to, from) = bounded(commands.len());
    for (index, text) in commands.into_iter().enumerate() {
        let given = Given { place: format!("command {}", index + 1), text: Ok(text) };
        let sent = to.try_send(given);
        debug_assert!(sent.is_ok(), "the channel has a place for each");
    }
    from
}
