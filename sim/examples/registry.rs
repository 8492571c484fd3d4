//! What a registry of a certain size costs a tracker: memory, time to apply what led to it, and to write it whole.
//!
//! `cargo run --release -p sim --example registry -- --users 1000000 --groups 10000`

use std::io::Write as _;
use std::time::Instant;

use clap::Parser;
use engine::id::{Blake3, DeviceId, Salt};
use engine::name::{FileName, GroupName, UserName};
use engine::piece::{Content, Size};
use engine::tracker::registry::{Command, Lock, Origin, Registry};
use engine::wire::codec;
use engine::wire::tracker::Change;

/// A registry of any size.
#[derive(Debug, Parser)]
struct Arguments {
    /// Accounts, each with a device, each in one group.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// Groups.
    #[arg(long, default_value_t = 1_000)]
    groups: u64,
    /// Files in each group.
    #[arg(long, default_value_t = 10)]
    files: u64,
}

/// A registry, and how many changes led to it.
#[derive(Default)]
struct Growing {
    registry: Registry,
    index: u64,
}

impl Growing {
    fn apply(&mut self, command: &Command) {
        self.index += 1;
        let applied = self.registry.apply(self.index, command);
        assert!(applied.answer.is_ok(), "{command:?}: {:?}", applied.answer);
    }

    fn change(&mut self, number: u64, change: Change) {
        let origin = Origin { device: device(number), seq: self.index + 1 };
        self.apply(&Command::Change { origin, user: user(number), change });
    }
}

fn device(number: u64) -> DeviceId {
    DeviceId(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn user(number: u64) -> UserName {
    UserName::new(&format!("user-{number}")).expect("it is a name")
}

fn group(number: u64) -> GroupName {
    GroupName::new(&format!("group-{number}")).expect("it is a name")
}

fn file(number: u64) -> FileName {
    FileName::new(&format!("file-{number}")).expect("it is a name")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> std::io::Result<()> {
    let Arguments { users, groups, files } = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let (empty_bytes, began) = (resident_bytes(), Instant::now());
    let mut growing = Growing::default();
    for number in 0..users {
        let lock = Lock { salt: Salt([1; 16]), verifier: device(number).0 };
        let origin = Origin { device: device(number), seq: 1 };
        growing.apply(&Command::CreateUser { origin, user: user(number), lock });
    }
    for number in 0..groups.min(users) {
        let group = group(number);
        growing.change(number, Change::CreateGroup { group: group.clone() });
        for of_group in 0..files {
            let hash = Blake3(device(of_group).0);
            let content =
                Content { size: Size::new(1 << 30).expect("it is a size"), checksum: hash, hashes: hash };
            growing.change(number, Change::AddFile { group: group.clone(), name: file(of_group), content });
        }
    }
    for number in groups..users {
        let (group, user) = (group(number % groups), user(number));
        growing.change(number, Change::JoinGroup { group: group.clone() });
        growing.change(number % groups, Change::Accept { group, user });
    }
    let changes = growing.index as f64;
    let apply_s = began.elapsed().as_secs_f64();
    let bytes = resident_bytes().saturating_sub(empty_bytes);
    writeln!(out, "changes   {changes:.0}, {:.0} a second", changes / apply_s)?;
    writeln!(out, "memory    {:.0} MB, {:.0} bytes a user", bytes as f64 / 1e6, bytes as f64 / users as f64)?;
    let began = Instant::now();
    let whole = codec::encode(&growing.registry);
    let encode_s = began.elapsed().as_secs_f64();
    writeln!(out, "written   {:.0} MB in {encode_s:.2} s", whole.len() as f64 / 1e6)?;
    let began = Instant::now();
    let read: Registry =
        codec::decode_stored(&whole).map_err(|error| std::io::Error::other(error.to_string()))?;
    assert!(read == growing.registry, "it is read as it was written");
    writeln!(out, "read      in {:.2} s, comparing included", began.elapsed().as_secs_f64())
}

/// Bytes of this process in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or_default() * 1_024
}
