//! The tracker's console: commands on standard input, answers on standard output.
//!
//! It runs on a thread of its own and ends with standard input; the tracker goes on, since it may run as a service. A tracker in the
//! background of a terminal leaves what is typed there to others, instead of being stopped for reading it.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Stdin, Write as _, stderr, stdin, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use async_channel::Sender;
use async_io::Async;
use engine::id::DeviceId;
use engine::time::{Span, Time};
use engine::tracker::Status;
use engine::tracker::cluster::ColleagueStatus;
use engine::tracker::io::Order;
use engine::tracker::replica::Role;

use super::backup;
use crate::identity::parse_fingerprint;

/// Longest line that is read as one, in bytes: what a terminal gives at most. The rest of a longer one is another line.
const LINE_LEN_MAX: u64 = 4_096;

/// Longest part of an unknown command that is repeated, in characters.
const SHOWN_LEN_MAX: usize = 40;

/// How long input is left to the foreground before it is looked at again.
const BACKGROUND_PAUSE: Duration = Duration::from_millis(500);

/// How long another tracker, which says hello every second, may be silent before this is worth a word.
const SILENT: Span = Span::from_secs(5);

const HELP: &str = "\
status                     what this tracker knows, who is connected, and how the other trackers are
add <no> [fingerprint]     let tracker <no> take part, in the place of the one it replaces, if there is one
remove <no>                let tracker <no> take part no more
force_single               go on without the others, when they are gone for good; what only they know is lost
backup <file>              write all that trackers keep into a new file; `node restore` begins with it
help                       this list
quit                       end this tracker; its state is kept
";

/// What an unknown command is answered.
const COMMANDS: &str = "status, add, remove, force_single, backup, help, quit";

/// What the console asks of the tracker.
#[derive(Debug)]
pub(super) enum Request {
    /// How things stand; answered on the channel.
    Status(Sender<Status>),
    /// Something of the cluster; answered by [`say`].
    Order(Order),
    /// To write a backup there; answered by [`say`].
    Backup(PathBuf),
    /// To end.
    Quit,
}

/// A line of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Blank,
    Status,
    Order(Order),
    Backup(&'a str),
    Help,
    Quit,
    Unknown(&'a str),
}

fn parse(line: &str) -> Line<'_> {
    let line = line.trim();
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let number = || words.first().and_then(|word| word.parse().ok());
    let order = match (command.to_ascii_lowercase().as_str(), words.len()) {
        ("", 0) => return Line::Blank,
        ("status", 0) => return Line::Status,
        ("help", 0) => return Line::Help,
        ("quit", 0) => return Line::Quit,
        ("backup", 1..) => return Line::Backup(rest.trim()),
        ("force_single", 0) => Some(Order::ForceSingle),
        ("add", 1) => number().map(|number| Order::Add { number, device: None }),
        ("add", 2) => number()
            .zip(parse_fingerprint(words[1]))
            .map(|(number, device)| Order::Add { number, device: Some(device) }),
        ("remove", 1) => number().map(|number| Order::Remove { number }),
        _ => None,
    };
    order.map_or(Line::Unknown(line), Line::Order)
}

/// Says that the tracker is there, and who it is.
pub(super) fn announce(number: usize, address: SocketAddr, device: DeviceId) {
    say(&format!("tracker {number} has the fingerprint {device}\ntracker {number} listens on {address}\n"));
}

/// Reads commands until standard input ends; `send` hands a request over and says whether anybody took it.
pub(super) fn start(number: usize, address: SocketAddr, send: impl Fn(Request) -> bool + Send + 'static) {
    let run = move || match serve(&Input::new(), &send, number, address) {
        Ok(Ended::Tracker) => {}
        Ok(Ended::Input) if stdin().is_terminal() => {
            say("the console is closed; the tracker goes on until Ctrl-C or SIGTERM\n");
        }
        Ok(Ended::Input) => tracing::info!("the console has ended; SIGTERM ends the tracker"),
        Err(error) => tracing::warn!(%error, "the console cannot be read; SIGTERM ends the tracker"),
    };
    if let Err(error) = thread::Builder::new().name("console".into()).spawn(run) {
        tracing::warn!(%error, "there is no console; SIGTERM ends the tracker");
    }
}

/// What ended the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// There is no more to read.
    Input,
    /// The tracker itself ends.
    Tracker,
}

fn serve(
    input: &Input,
    send: &impl Fn(Request) -> bool,
    number: usize,
    address: SocketAddr,
) -> io::Result<Ended> {
    while let Some(line) = input.read_line()? {
        match parse(&line) {
            Line::Blank => {}
            Line::Help => say(HELP),
            Line::Unknown(line) => {
                if let Some(usage) = usage(line) {
                    complain(&format!("usage: {usage}\n"));
                    continue;
                }
                complain(&format!(
                    "unknown command \"{}\"; commands are {COMMANDS}\n",
                    shortened(line).escape_debug()
                ));
            }
            Line::Quit => {
                send(Request::Quit);
                return Ok(Ended::Tracker);
            }
            Line::Order(order) => _ = send(Request::Order(order)),
            Line::Backup(file) => _ = send(Request::Backup(file.into())),
            Line::Status => match ask(send) {
                Some(status) => say(&render(number, address, &status)),
                None => return Ok(Ended::Tracker),
            },
        }
    }
    Ok(Ended::Input)
}

/// How the command that a line begins with is written, if there is one.
fn usage(line: &str) -> Option<&'static str> {
    let command = line.split_whitespace().next()?;
    HELP.lines().find(|help| help.split_whitespace().next() == Some(command))
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
    let Status { users, groups, files, clients, sessions, swarm_entries, applied, committed, .. } = status;
    let Status { term, generation, digest, .. } = status;
    let (mode, role) = (mode(status), role(status));
    let mut text = format!(
        "tracker {number} on {address}: {mode}\n\
         clients   {clients} connected, {sessions} logged in\n\
         accounts  {users}\n\
         groups    {groups}\n\
         files     {files} listed, {swarm_entries} swarm entries\n\
         changes   {applied} applied, {committed} agreed, registry {digest:016x}\n\
         role      {role}, term {term}, generation {generation}\n"
    );
    for other in &status.others {
        text.push_str(&colleague(other, status.now));
    }
    text
}

/// How things stand, and what would help.
fn mode(status: &Status) -> String {
    let silent = |other: &&ColleagueStatus| {
        other.is_member && other.heard.is_none_or(|heard| status.now.since(heard) >= SILENT)
    };
    let silent: Vec<String> =
        status.others.iter().filter(silent).map(|other| other.number.to_string()).collect();
    let mode = match status {
        Status { read_only: true, .. } => "read-only: the disk is full; make room on it",
        Status { blank: true, generation: 0, .. } => {
            "waiting for the other trackers of the list: start them, or add this one at another's console, or force_single"
        }
        Status { blank: true, .. } => "waiting to be told what the others know",
        Status { leader: None, .. } => {
            "no leader: start the other trackers; or, if they are gone for good, force_single"
        }
        _ if !silent.is_empty() => {
            return format!("working, but nothing is heard of tracker {}: start it again", silent.join(", "));
        }
        _ => "all well",
    };
    mode.to_owned()
}

fn role(status: &Status) -> String {
    match (status.role, status.leader) {
        _ if status.blank => "none".to_owned(),
        (Role::Leader, _) => "leader".to_owned(),
        (Role::Candidate, _) => "candidate".to_owned(),
        (Role::Follower, Some(leader)) => format!("follower of tracker {leader}"),
        (Role::Follower, None) => "follower of nobody".to_owned(),
    }
}

fn colleague(other: &ColleagueStatus, now: Time) -> String {
    let ColleagueStatus { number, address, device, is_member, heard, lag } = other;
    let member = if *is_member { "member" } else { "no member" };
    let heard = match heard {
        Some(heard) => format!("heard {} s ago", now.since(*heard).0 / 1_000_000),
        None => "not heard".to_owned(),
    };
    let lag = lag.map_or(String::new(), |lag| format!(", {lag} entries behind"));
    let key = device.map_or(String::new(), |device| format!(", fingerprint {device}"));
    format!("tracker {number} on {address}: {member}, {heard}{lag}{key}\n")
}

/// Writes a backup, and says how it went.
pub(super) fn back_up(path: &Path, registry: &[u8]) {
    match backup::write(path, registry) {
        Ok(()) => say(&format!("backup written to {}\n", path.display())),
        Err(error) => complain(&format!(
            "no backup: {} cannot be written ({error}); name a new file, on a disk with room\n",
            path.display()
        )),
    }
}

/// Prints on standard output.
pub(super) fn say(text: &str) {
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
        assert_eq!(parse("backup my file"), Line::Backup("my file"));
        assert_eq!(parse("force_single"), Line::Order(Order::ForceSingle));
        assert_eq!(parse("remove 2"), Line::Order(Order::Remove { number: 2 }));
        assert_eq!(parse("remove two"), Line::Unknown("remove two"));
        let key = DeviceId([0xab; 32]);
        let add = |device| Line::Order(Order::Add { number: 3, device });
        assert_eq!((parse("add 3"), parse(&format!("Add 3 {key}"))), (add(None), add(Some(key))));
        assert_eq!(parse("add 3 abc"), Line::Unknown("add 3 abc"));
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
        let well = render(1, address, &Status { users: 3, leader: Some(1), ..Status::default() });
        assert!(well.starts_with("tracker 1 on 127.0.0.1:7401: all well\n"), "{well}");
        assert!(well.contains("accounts  3\n"), "{well}");
        assert!(
            render(1, address, &Status { read_only: true, ..Status::default() }).contains("disk is full")
        );
    }
}
