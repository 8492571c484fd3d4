//! This program: a tracker, seeders, and leechers that are members of the group before the clock starts, and log in while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::peer::{Peer, Tool, free_addresses};

/// A build of this program.
#[derive(Debug)]
pub(crate) struct Node {
    name: &'static str,
    program: PathBuf,
}

impl Node {
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>) -> Node {
        Node { name, program: program.into() }
    }

    fn client(&self, place: &Path, name: &str, run: &str) -> Result<Peer> {
        let mut command = Command::new(&self.program);
        command.args(["client", "127.0.0.1:0"]).arg(list(place)).arg("--data-dir").arg(place.join(name));
        Peer::start(&mut command, place.join(format!("{name}.{run}")))
    }

    /// A client with a new account, logged in.
    fn newcomer(&self, place: &Path, name: &str) -> Result<Peer> {
        let mut client = self.client(place, name, "first")?;
        client.say(&[&format!("create_user {name} pw"), &format!("login {name} pw")])?;
        client.wait_for(&format!("logged in as {name}"))?;
        Ok(client)
    }
}

fn list(place: &Path) -> PathBuf {
    place.join("tracker_info.txt")
}

/// Joins the group, and is let in by `owner`.
fn join(client: &mut Peer, name: &str, owner: &mut Peer) -> Result<()> {
    client.say(&["join_group g"])?;
    client.wait_for("must accept")?;
    owner.say(&[&format!("accept_request g {name}")])?;
    client.wait_for("you are a member of g")
}

fn copy(place: &Path, number: usize) -> PathBuf {
    place.join(format!("copy{number}"))
}

impl Tool for Node {
    fn name(&self) -> &'static str {
        self.name
    }

    fn seed(&self, place: &Path, source: &Path, seeders: usize, leechers: usize) -> Result<Vec<Peer>> {
        fs::write(list(place), format!("{}\n", free_addresses(1)?[0]))?;
        let mut command = Command::new(&self.program);
        command.arg("tracker").arg(list(place)).arg("1").arg("--data-dir").arg(place.join("tracker"));
        let mut tracker = Peer::start(&mut command, place.join("tracker.first"))?;
        tracker.wait_for("listens on")?;
        let mut owner = self.newcomer(place, "seeder0")?;
        owner.say(&["create_group g"])?;
        owner.wait_for("group g created")?;
        let mut others = Vec::new();
        for number in 1..seeders {
            let name = format!("seeder{number}");
            let mut client = self.newcomer(place, &name)?;
            join(&mut client, &name, &mut owner)?;
            others.push(client);
        }
        for number in 0..leechers {
            let name = format!("leecher{number}");
            let mut client = self.newcomer(place, &name)?;
            join(&mut client, &name, &mut owner)?;
            client.say(&["quit"])?;
            client.wait()?;
        }
        let mut all = vec![tracker, owner];
        all.extend(others);
        for (number, seeder) in all.iter_mut().skip(1).enumerate() {
            let folder = place.join(format!("files{number}"));
            fs::create_dir(&folder)?;
            fs::hard_link(source, folder.join("file"))?;
            seeder.say(&[&format!("upload_file '{}' g", folder.join("file").display())])?;
            seeder.wait_for("file shared")?;
        }
        Ok(all)
    }

    fn leech(&self, place: &Path, number: usize) -> Result<Peer> {
        let name = format!("leecher{number}");
        let copy = copy(place, number);
        let mut client = self.client(place, &name, "second")?;
        client.say(&[
            &format!("login {name} pw"),
            &format!("download_file g file '{}'", copy.display()),
            "wait",
        ])?;
        Ok(client.fetching(copy, "[C]"))
    }
}
