//! Several trackers, as processes, with one list.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::client::{Client, Home};
use super::lan::{HUB, Lan};
use super::process::Process;
use super::{program, until, world};

/// A network with several trackers. The processes end and the folder goes with it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) trackers: Vec<Tracker>,
    /// Where they are, each on a host of its number; on this one if there is none.
    lan: Option<Lan>,
    folder: TempDir,
    list: PathBuf,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) address: SocketAddr,
    number: usize,
    pub(crate) data: PathBuf,
    /// None while it is dead.
    process: Option<Process>,
    /// Lines of its answers to `status` that were read.
    seen: usize,
}

/// What a tracker's console shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) role: String,
    /// The registry's hash, after how many entries.
    pub(crate) registry: (u64, String),
    pub(crate) text: String,
}

impl Cluster {
    /// As many trackers, of which one leads.
    pub(crate) fn new(count: usize) -> Cluster {
        let mut cluster = Cluster::not_started(count);
        cluster.begin();
        cluster
    }

    /// The same, each on a host of its own, and clients at the hub.
    pub(crate) fn on(lan: Lan, count: usize) -> Cluster {
        let address = |number| SocketAddr::new(Lan::address(number), 7_000);
        let mut cluster = Cluster::at((1..=count).map(address), Some(lan));
        cluster.begin();
        cluster
    }

    fn begin(&mut self) {
        (1..=self.trackers.len()).for_each(|number| self.start(number));
        self.leader();
    }

    /// As many trackers, none of them started.
    pub(crate) fn not_started(count: usize) -> Cluster {
        Cluster::at((0..count).map(|_| world::free_address()), None)
    }

    fn at(addresses: impl Iterator<Item = SocketAddr>, lan: Option<Lan>) -> Cluster {
        let folder = tempfile::Builder::new().prefix("e2e-").tempdir().unwrap();
        let list = folder.path().join("tracker_info.txt");
        let trackers: Vec<Tracker> = (1..)
            .zip(addresses)
            .map(|(number, address)| Tracker {
                address,
                number,
                data: folder.path().join(format!("tracker-{number}")),
                process: None,
                seen: 0,
            })
            .collect();
        let lines = trackers.iter().map(|tracker| format!("{}\n", tracker.address));
        std::fs::write(&list, lines.collect::<String>()).unwrap();
        Cluster { trackers, lan, folder, list }
    }

    /// A command that runs `node` on a host.
    fn command(&self, host: usize) -> Command {
        self.lan.as_ref().map_or_else(program::command, |lan| lan.command(host))
    }

    /// Cuts a tracker off from everybody. No connection ends by it.
    pub(crate) fn cut_off(&self, number: usize) {
        self.lan.as_ref().expect("it has a line").set_line(number, "down");
    }

    /// Lets it in again.
    pub(crate) fn let_in(&self, number: usize) {
        self.lan.as_ref().expect("it has a line").set_line(number, "up");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn list(&self) -> &Path {
        &self.list
    }

    fn tracker(&mut self, number: usize) -> &mut Tracker {
        &mut self.trackers[number - 1]
    }

    /// Starts a tracker.
    pub(crate) fn start(&mut self, number: usize) {
        let (mut command, list) = (self.command(number), self.list.clone());
        self.tracker(number).start(&mut command, &list);
    }

    /// Ends a tracker as `kill -9` does.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.tracker(number).process.take() {
            process.kill();
        }
    }

    pub(crate) fn signal(&mut self, number: usize, signal: Signal) {
        self.tracker(number).process.as_ref().expect("it runs").signal(signal);
    }

    /// Types a command at a tracker's console.
    pub(crate) fn type_at(&mut self, number: usize, line: &str) {
        self.tracker(number).process.as_mut().expect("it runs").write(&format!("{line}\n"));
    }

    /// Waits for a line of a tracker, on whatever occasion it was printed.
    pub(crate) fn told(&self, number: usize, what: &str) -> String {
        let process = self.trackers[number - 1].process.as_ref().expect("it runs");
        process.wait_line(what, 0, |line| line.contains(what)).1
    }

    /// The fingerprint that a tracker printed at its start.
    pub(crate) fn fingerprint(&self, number: usize) -> String {
        self.told(number, "has the fingerprint").rsplit(' ').next().unwrap().to_owned()
    }

    /// What a tracker's console says of it.
    pub(crate) fn status(&mut self, number: usize) -> Standing {
        self.tracker(number).status()
    }

    fn running(&self) -> Vec<usize> {
        self.trackers
            .iter()
            .filter(|tracker| tracker.process.is_some())
            .map(|tracker| tracker.number)
            .collect()
    }

    /// Waits until one of those that run leads, and all others follow; gives its number.
    pub(crate) fn leader(&mut self) -> usize {
        let running = self.running();
        until("one leads and the others follow", || {
            let standings: Vec<Standing> = running.iter().map(|number| self.status(*number)).collect();
            let of_role = |role| standings.iter().filter(|standing| standing.role == role).count();
            let works = |text: &str| text.contains("all well") || text.contains("working");
            let all_well = standings.iter().all(|standing| works(&standing.text));
            let leader = standings.iter().position(|standing| standing.role == "leader")?;
            let settled = of_role("leader") == 1 && of_role("follower") == running.len() - 1 && all_well;
            settled.then(|| running[leader])
        })
    }

    /// Waits until all that run hold the same registry; gives its hash.
    pub(crate) fn same_registry(&mut self) -> String {
        let running = self.running();
        until("all trackers hold the same registry", || {
            let mut found: Vec<_> = running.iter().map(|number| self.status(*number).registry).collect();
            found.dedup();
            (found.len() == 1).then(|| found.remove(0).1)
        })
    }

    /// Where a client of that name lives; its list begins with tracker `first`.
    pub(crate) fn home(&self, name: &str, first: usize) -> Home {
        let list = self.folder.path().join(format!("trackers-of-{name}.txt"));
        let mut addresses: Vec<SocketAddr> = self.trackers.iter().map(|tracker| tracker.address).collect();
        addresses.rotate_left(first - 1);
        let lines = addresses.iter().map(|address| format!("{address}\n"));
        std::fs::write(&list, lines.collect::<String>()).unwrap();
        Home::new(name, &self.folder.path().join(name), &list)
    }

    /// A client at which a new user of that name is logged in, at tracker `first` if that runs.
    pub(crate) fn user(&self, name: &str, first: usize) -> Client {
        let home = self.home(name, first);
        let mut command = self.command(HUB);
        command.args(home.arguments()).current_dir(&home.work);
        let mut client = Client::start_as(home, &mut command);
        client.create_and_log_in();
        client
    }
}

impl Tracker {
    fn start(&mut self, command: &mut Command, list: &Path) {
        command.arg("tracker").arg(list).arg(self.number.to_string()).arg("--data-dir").arg(&self.data);
        let process = Process::start(&format!("tracker {}", self.number), command);
        process.wait_line("it listens", 0, |line| line.contains("listens on"));
        (self.process, self.seen) = (Some(process), 0);
    }

    fn status(&mut self) -> Standing {
        let process = self.process.as_mut().expect("it runs");
        process.write("status\n");
        let head = format!("tracker {} on ", self.number);
        let (first, _) = process.wait_line("its status", self.seen, |line| line.starts_with(&head));
        let (last, role) = process.wait_line("its role", first, |line| line.starts_with("role "));
        self.seen = last + 1;
        let text = process.lines(first..last + 1).join("\n");
        let role = role.split_whitespace().nth(1).unwrap().trim_end_matches(',').to_owned();
        let changes = text.lines().find(|line| line.starts_with("changes ")).unwrap().to_owned();
        let words: Vec<&str> = changes.split_whitespace().collect();
        let registry = (words[1].parse().unwrap(), (*words.last().unwrap()).to_owned());
        Standing { role, registry, text }
    }
}
