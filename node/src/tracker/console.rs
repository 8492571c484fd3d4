//! The tracker's console: commands on standard input, answers on standard output.
//!
//! It runs on a thread of its own and ends with standard input; the tracker goes on, since it may run as a service. A tracker in the
//! background of a terminal leaves what is typed there to others, instead of being stopped for reading it.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Stdin, Write as _, stderr, stdin, stdout};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use async_channel::Sender;
use async_io::Async;
use engine::id::DeviceId;
use engine::tracker::Status;

/// Longest line that is read as one, in bytes: what a terminal gives at most. The rest of a longer one is another line.
const LINE_LEN_MAX: u64 = 4_096;

/// Longest part of an unknown command that is repeated, in characters.
const SHOWN_LEN_MAX: usize = 40;

/// How long input is left to the foreground before it is looked at again.
const BACKGROUND_PAUSE: Duration = Duration::from_millis(500);

const HELP: &str = "\
status  what this tracker knows and who is connected
help    this list
quit    end this tracker; its state is kept
";

/// What the console asks of the tracker.
#[derive(Debug)]
pub(super) enum Request {
    /// How things stand; answered on the channel.
    Status(Sender<Status>),
    /// To end.
    Quit,
}

/// A line of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Blank,
    Status,
    Help,
    Quit,
    Unknown(&'a str),
}

fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    match line.to_ascii_lowercase().as_str() {
        "" => Line::Blank,
        "status" => Line::Status,
        "help" => Line::Help,
        "quit" => Line::Quit,
        _ => Line::Unknown(line),
    }
}

/// Says that the tracker is there, and who it is.
pub(super) fn announce(number: usize, address: SocketAddr, device: DeviceId) {
    say(&format!("tracker {number} has the fingerprint {device}\ntracker {number} listens on {address}\n"));
}

/// Reads commands until standard input ends; `send` hands a request over and says whether anybody took it.
pub(super) fn start(number: usize, address: SocketAddr, send: impl Fn(Request) -> bool + Send + 'static) {
    let run = move || match serve(&Input::new(), &send, number, address) {
        Ok(()) => tracing::info!("the console has ended; SIGTERM ends the tracker"),
        Err(error) => tracing::warn!(%error, "the console cannot be read; SIGTERM ends the tracker"),
    };
    if let Err(error) = thread::Builder::new().name("console".into()).spawn(run) {
        tracing::warn!(%error, "there is no console; SIGTERM ends the tracker");
    }
}

fn serve(
    input: &Input,
    send: &impl Fn(Request) -> bool,
    number: usize,
    address: SocketAddr,
) -> io::Result<()> {
    while let Some(line) = input.read_line()? {
        match parse(&line) {
            Line::Blank => {}
            Line::Help => say(HELP),
            Line::Unknown(line) => {
                complain(&format!(
                    "unknown command \"{}\"; commands are status, help, quit\n",
                    shortened(line).escape_debug()
                ));
            }
            Line::Quit => {
                send(Request::Quit);
                return Ok(());
            }
            Line::Status => match ask(send) {
                Some(status) => say(&render(number, address, &status)),
                None => return Ok(()),
            },
        }
    }
    Ok(())
}

/// As much of an unknown command as helps to recognise it.
fn shortened(line: &str) -> String {
    line.chars().take(SHOWN_LEN_MAX).collect()
}

/// How things stand; none if the tracker is ending.
fn ask(send: &impl Fn(Request) -> bool) -> Option<Status> {
    let (sender, answer) = async_channel::bounded(1);
    send(Request::Status(sender)).then(|| answer.recv_blocking().ok()).flatten()
}

fn render(number: usize, address: SocketAddr, status: &Status) -> String {
    let Status { users, groups, files, links, sessions, swarm_entries, applied, read_only } = status;
    let mode = if *read_only { "read-only: the disk is full; make room on it" } else { "all well" };
    format!(
        "tracker {number} on {address}: {mode}\n\
         clients   {links} connected, {sessions} logged in\n\
         accounts  {users}\n\
         groups    {groups}\n\
         files     {files} listed, {swarm_entries} swarm entries\n\
         changes   {applied} applied\n"
    )
}

/// Prints on standard output.
fn say(text: &str) {
    let mut out = stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::info!(%error, "standard output is closed");
    }
}

/// Prints on standard error.
fn complain(text: &str) {
    // With standard error closed, nobody is left to tell.
    let _closed = stderr().write_all(text.as_bytes());
}

/// Standard input, line by line.
struct Input {
    stdin: Stdin,
    terminal: Option<Async<Stdin>>,
}

impl Input {
    fn new() -> Input {
        // A terminal that cannot be watched is read like a pipe.
        let terminal = stdin().is_terminal().then(|| Async::new_nonblocking(stdin())).and_then(Result::ok);
        Input { stdin: stdin(), terminal }
    }

    /// The next line; none at the end.
    fn read_line(&self) -> io::Result<Option<String>> {
        if let Some(terminal) = &self.terminal {
            wait_for_foreground(terminal)?;
        }
        read_line(&mut self.stdin.lock())
    }
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    input.take(LINE_LEN_MAX).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()))
}

/// Waits until there is input, and this process is the one that the terminal's input is for.
fn wait_for_foreground(terminal: &Async<Stdin>) -> io::Result<()> {
    loop {
        async_io::block_on(terminal.readable())?;
        if rustix::termios::tcgetpgrp(terminal)? == rustix::process::getpgrp() {
            return Ok(());
        }
        thread::sleep(BACKGROUND_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_in_any_case_and_with_any_space() {
        assert_eq!(parse(" Status \r\n"), Line::Status);
        assert_eq!(parse("HELP"), Line::Help);
        assert_eq!(parse("quit\n"), Line::Quit);
        assert_eq!(parse("\t\n"), Line::Blank);
        assert_eq!(parse("quit now"), Line::Unknown("quit now"));
    }

    #[test]
    fn input_is_read_line_by_line_to_its_end() {
        let long = "x".repeat(10_000);
        let text = format!("status\n\n{long}\nquit");
        let mut input = text.as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            assert!(line.len() as u64 <= LINE_LEN_MAX);
            lines.push(line);
        }
        assert_eq!(lines.concat(), text);
        assert_eq!((lines.first().unwrap().as_str(), lines.last().unwrap().as_str()), ("status\n", "quit"));
    }

    #[test]
    fn a_full_disk_shows_in_the_status() {
        let address = "127.0.0.1:7401".parse().unwrap();
        let well = render(1, address, &Status { users: 3, ..Status::default() });
        assert!(well.starts_with("tracker 1 on 127.0.0.1:7401: all well\n"), "{well}");
        assert!(well.contains("accounts  3\n"), "{well}");
        assert!(
            render(1, address, &Status { read_only: true, ..Status::default() }).contains("disk is full")
        );
    }
}
