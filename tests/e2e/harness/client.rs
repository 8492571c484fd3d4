//! A client process with a script that is written as it goes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::process::Process;
use super::{program, until};

/// What is asked after each command, since its answer never changes: where it stands, the command's own answer is complete.
const MARKER: &str = "help help";
const MARKER_FIRST: &str = "usage: help [command]";
const MARKER_LAST: &str = "  also: ?";

/// Where a client lives: its data folder, its working folder, and the list of trackers.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) data: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) trackers: PathBuf,
    /// Where the client listens.
    pub(crate) listen: SocketAddr,
}

impl Home {
    pub(crate) fn new(name: &str, folder: &Path, trackers: &Path) -> Home {
        let (data, work) = (folder.join("data"), folder.join("work"));
        std::fs::create_dir_all(&work).unwrap();
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        Home { name: name.into(), data, work, trackers: trackers.into(), listen }
    }

    /// The words after `node`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        vec![
            "client".into(),
            self.listen.to_string(),
            path(&self.trackers),
            "--data-dir".into(),
            path(&self.data),
        ]
    }

    /// A command that runs the client here.
    pub(crate) fn command(&self) -> Command {
        let mut command = program::command();
        command.args(self.arguments()).current_dir(&self.work);
        command
    }

    /// Runs commands by `-c`, to the end.
    pub(crate) fn run(&self, commands: &[&str]) -> Output {
        let mut command = self.command();
        for text in commands {
            command.args(["-c", text]);
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a script on standard input, to the end. Standard output and standard error come in the order in which they were written.
    pub(crate) fn script(&self, script: &str) -> (String, i32) {
        let mut process = Process::start(&self.name, &mut self.command());
        process.write(script);
        process.end_input();
        let code = process.exit_code();
        (process.transcript(), code)
    }
}

/// A client that runs.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) home: Home,
    pub(crate) process: Process,
    /// Lines that were part of an answer, or came before one.
    seen: usize,
}

/// What came of a command: lines of data, messages, and news that came before.
#[derive(Debug)]
pub(crate) struct Reply {
    lines: Vec<String>,
}

impl Reply {
    /// The text after `error: line N: `, if the command failed.
    pub(crate) fn error(&self) -> Option<&str> {
        let line = self.lines.iter().find_map(|line| line.strip_prefix("error: line "))?;
        line.split_once(": ").map(|(_, why)| why)
    }

    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl Client {
    pub(crate) fn start(home: Home) -> Client {
        let mut command = home.command();
        Client::start_as(home, &mut command)
    }

    /// Starts the client of `home` by a command that runs it in some special way.
    pub(crate) fn start_as(home: Home, command: &mut Command) -> Client {
        let process = Process::start(&home.name, command);
        let mut client = Client { home, process, seen: 0 };
        client.ask("help");
        client
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> Reply {
        self.process.write(&format!("{command}\n{MARKER}\n"));
        let (end, _) = self.process.wait_line(command, self.seen, |line| line == MARKER_LAST);
        let mut lines = self.process.lines(self.seen..end);
        self.seen = end + 1;
        lines.truncate(lines.iter().position(|line| line == MARKER_FIRST).unwrap_or(lines.len()));
        Reply { lines }
    }

    /// Asks for something that must be granted; gives the text of the answer.
    pub(crate) fn ok(&mut self, command: &str) -> String {
        let reply = self.ask(command);
        assert_eq!(reply.error(), None, "{} asked {command:?}", self.home.name);
        reply.text()
    }

    /// Asks for something that must be refused, in words that hold `why`.
    pub(crate) fn refused(&mut self, command: &str, why: &str) {
        let reply = self.ask(command);
        let error = reply.error().unwrap_or_else(|| panic!("{command:?} was granted: {}", reply.text()));
        assert!(error.contains(why), "{command:?} was refused with {error:?}, not {why:?}");
    }

    /// Asks for a listing as JSON.
    pub(crate) fn json(&mut self, command: &str) -> Value {
        let text = self.ok(&format!("{command} --json"));
        let line = text.lines().find(|line| ["[{", "[]", "{"].iter().any(|start| line.starts_with(start)));
        let line = line.unwrap_or_else(|| panic!("{command} gave no document: {text}"));
        serde_json::from_str(line).unwrap()
    }

    /// Waits for a line of news that holds `text`, from now or from before.
    pub(crate) fn told(&self, text: &str) -> String {
        self.process.wait_line(text, 0, |line| line.contains(text)).1
    }

    /// Whether a line that holds `text` was printed.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        self.process.transcript().contains(text)
    }

    pub(crate) fn create_and_log_in(&mut self) {
        let name = self.home.name.clone();
        self.ok(&format!("create_user {name} secret-{name}"));
        self.log_in();
    }

    pub(crate) fn log_in(&mut self) -> String {
        let name = self.home.name.clone();
        self.ok(&format!("login {name} secret-{name}"))
    }

    /// Where it listens.
    pub(crate) fn address(&mut self) -> std::net::SocketAddr {
        self.json("whoami")["listen"].as_str().unwrap().parse().unwrap()
    }

    /// The first download of its list.
    pub(crate) fn download(&mut self) -> Value {
        self.json("show_downloads")[0].clone()
    }

    /// Waits until the first download of its list holds at least so many pieces; gives how many.
    pub(crate) fn wait_held(&mut self, pieces: u64) -> u64 {
        until("pieces arrive", || {
            let download = self.download();
            assert_ne!(download["state"], "failed", "{download}");
            download["held_pieces"].as_u64().filter(|held| *held >= pieces)
        })
    }

    /// Bytes sent of the one file that it shares.
    pub(crate) fn sent(&mut self) -> u64 {
        let shares = self.json("show_shares");
        assert_eq!(shares.as_array().map(Vec::len), Some(1), "{shares}");
        shares[0]["sent_bytes"].as_u64().unwrap()
    }

    /// Waits until so many peers hold all of the first file that `group` lists.
    pub(crate) fn wait_seeders(&mut self, group: &str, seeders: u64) {
        let command = format!("list_files {group}");
        until("the tracker counts the seeders", || {
            (self.json(&command)[0]["seeders"] == seeders).then_some(())
        });
    }

    /// Leaves; gives the exit code.
    pub(crate) fn quit(mut self) -> i32 {
        self.process.write("quit\n");
        self.process.exit_code()
    }

    /// Dies as by `kill -9`; gives where it lived.
    pub(crate) fn kill(mut self) -> Home {
        self.process.kill();
        self.home.clone()
    }
}
