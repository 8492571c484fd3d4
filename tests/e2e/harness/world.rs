//! A network of its own for one test: a tracker, a folder, and clients.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use node::identity::Identity;
use rustix::process::Signal;
use tempfile::TempDir;

use super::client::{Client, Home};
use super::content::Content;
use super::member::Shared;
use super::process::Process;
use super::{content, program};

/// Everything that one test has. The processes end and the folder goes with it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) tracker: Tracker,
    folder: TempDir,
}

/// A tracker process.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// What it prints of its key.
    pub(crate) fingerprint: String,
    list: PathBuf,
    data: PathBuf,
}

impl World {
    /// A network with one tracker and nobody in it.
    pub(crate) fn new() -> World {
        World::at(free_address())
    }

    /// The same, with the tracker at this address.
    pub(crate) fn at(address: SocketAddr) -> World {
        let folder = tempfile::Builder::new().prefix("e2e-").tempdir().unwrap();
        let tracker = Tracker::start(folder.path(), address);
        World { tracker, folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn home(&self, name: &str) -> Home {
        Home::new(name, &self.folder.path().join(name), &self.tracker.list)
    }

    /// A home whose list of trackers is this one.
    pub(crate) fn home_with(&self, name: &str, list: &str) -> Home {
        let path = self.folder.path().join(format!("trackers-of-{name}.txt"));
        std::fs::write(&path, list).unwrap();
        Home { trackers: path, ..self.home(name) }
    }

    /// A client at which nobody is logged in.
    pub(crate) fn client(&self, name: &str) -> Client {
        Client::start(self.home(name))
    }

    /// A client at which a new user of that name is logged in.
    pub(crate) fn user(&self, name: &str) -> Client {
        let mut client = self.client(name);
        client.create_and_log_in();
        client
    }

    /// A file with pseudo-random content.
    pub(crate) fn file(&self, name: &str, len: u64, seed: u64) -> PathBuf {
        let path = self.folder.path().join(name);
        content::write_file(&path, len, seed);
        path
    }
}

/// Ann shares a file in her group; where she listens.
pub(crate) fn shared() -> (World, Client, SocketAddr, Shared) {
    let world = World::new();
    let mut ann = world.user("ann");
    ann.ok("create_group physics");
    let file = Shared::new("physics", "file.bin", Content::new(2 << 20, 1));
    let path = world.folder().join("file.bin");
    std::fs::write(&path, &file.content.bytes).unwrap();
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.wait_seeders("physics", 1);
    let address = ann.address();
    (world, ann, address, file)
}

/// Makes a group in which all of these are, the first as its owner.
pub(crate) fn group(name: &str, owner: &mut Client, members: &mut [&mut Client]) {
    owner.ok(&format!("create_group {name}"));
    for member in members {
        join(name, owner, member);
    }
}

/// Lets somebody into a group.
pub(crate) fn join(group: &str, owner: &mut Client, member: &mut Client) {
    member.ok(&format!("join_group {group}"));
    owner.ok(&format!("accept_request {group} {}", member.home.name));
}

impl Tracker {
    fn start(folder: &Path, address: SocketAddr) -> Tracker {
        let (list, data) = (folder.join("tracker_info.txt"), folder.join("tracker"));
        std::fs::write(&list, format!("{address}\n")).unwrap();
        let process = run(&list, &data, None);
        process.wait_line("it listens", 0, |line| line.contains("listens on"));
        let fingerprint = fingerprint(&process);
        std::fs::write(&list, format!("{address} {fingerprint}\n")).unwrap();
        Tracker { process, address, fingerprint, list, data }
    }

    /// Its key, taken from its disk.
    pub(crate) fn key(&self) -> Identity {
        let stored = std::fs::read(self.data.join("tracker.key")).unwrap();
        let identity = Identity::from_seed(*stored.last_chunk().unwrap());
        assert_eq!(identity.device().to_string(), self.fingerprint, "the file ends with the seed");
        identity
    }

    /// Dies as by `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends as by SIGTERM; gives the exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.process.signal(Signal::TERM);
        self.process.exit_code()
    }

    /// Starts again with another key, as somebody else in its place would, or its operator after a loss.
    pub(crate) fn change_key(&mut self) {
        self.terminate();
        std::fs::remove_file(self.data.join("tracker.key")).unwrap();
        self.restart();
        self.fingerprint = fingerprint(&self.process);
    }

    /// Starts again, with the same data.
    pub(crate) fn restart(&mut self) {
        self.start_again(None);
    }

    /// The same, and records what it takes in.
    pub(crate) fn restart_recording(&mut self, file: &Path) {
        self.start_again(Some(file));
    }

    fn start_again(&mut self, recording: Option<&Path>) {
        self.process = run(&self.list, &self.data, recording);
        self.process.wait_line("the tracker is back", 0, |line| line.contains("listens on"));
    }
}

/// What a tracker that listens has printed of its key.
fn fingerprint(tracker: &Process) -> String {
    let text = tracker.transcript();
    let line = text.lines().find(|line| line.contains(" has the fingerprint ")).expect("it prints one");
    line.rsplit(' ').next().unwrap().to_owned()
}

fn run(list: &Path, data: &Path, recording: Option<&Path>) -> Process {
    let mut command = program::command();
    command.arg("tracker").arg(list).args(["1", "--data-dir"]).arg(data);
    if let Some(file) = recording {
        command.arg("--record").arg(file);
    }
    Process::start("tracker", &mut command)
}

/// An address on which nobody listens, nor will while a tracker is restarted: its port lies below those that systems give to outgoing
/// connections, and where all of 127.0.0.0/8 is the machine's own, each test process has an address for itself.
pub(crate) fn free_address() -> SocketAddr {
    const PORTS: std::ops::Range<u16> = 12_000..30_000;
    static OWN: LazyLock<[u8; 8]> = LazyLock::new(|| RandomState::new().hash_one(()).to_le_bytes());
    static STEP: AtomicU16 = AtomicU16::new(0);
    let [high, middle, low, port @ .., _, _, _] = *OWN;
    let address = match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, high, middle, low.clamp(2, 254)),
        false => Ipv4Addr::LOCALHOST,
    };
    let step = u16::from_le_bytes(port).wrapping_add(STEP.fetch_add(1, Ordering::Relaxed));
    SocketAddr::from((address, PORTS.start + step % (PORTS.end - PORTS.start)))
}
