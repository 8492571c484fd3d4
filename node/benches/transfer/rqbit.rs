//! rqbit, on a single thread, which is its fastest mode here: the lightest of the plain ones.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::peer::{Peer, Tool, free_addresses};
use crate::torrent;

/// What the file is called.
const FILE: &str = "file";

/// Where the addresses of all peers stand, seeders first.
const ADDRESSES: &str = "addresses";

/// rqbit, plain.
#[derive(Debug)]
pub(crate) struct Rqbit {
    program: PathBuf,
}

impl Rqbit {
    pub(crate) fn new(program: &Path) -> Rqbit {
        Rqbit { program: program.into() }
    }

    /// Starts a peer that knows `others`, beside the torrent.
    fn peer(&self, folder: &Path, listen: SocketAddr, others: &[String]) -> Result<Peer> {
        let place = folder.parent().ok_or("a peer's folder is inside the swarm's")?;
        let mut command = Command::new(&self.program);
        command.env("HOME", folder);
        command.args(["-v", "info", "--single-thread-runtime", "--ipv4-only", "--listen-ip", "127.0.0.1"]);
        command.args(["--disable-dht", "--disable-dht-persistence", "--disable-lsd"]);
        command.args(["--disable-upnp-port-forward", "--listen-port", &listen.port().to_string()]);
        command.args(["download", "--overwrite", "--disable-http-api", "-o"]).arg(folder);
        if !others.is_empty() {
            command.args(["--initial-peers", &others.join(",")]);
        }
        command.arg(place.join("torrent"));
        Peer::start(&mut command, folder.with_extension("out"))
    }
}

fn folder(place: &Path, role: &str, number: usize) -> Result<PathBuf> {
    let folder = place.join(format!("{role}{number}"));
    fs::create_dir(&folder)?;
    Ok(folder)
}

impl Tool for Rqbit {
    fn name(&self) -> &'static str {
        "rqbit, plain"
    }

    fn seed(&self, place: &Path, source: &Path, seeders: usize, leechers: usize) -> Result<Vec<Peer>> {
        torrent::make(source, FILE, &place.join("torrent"))?;
        let all = free_addresses(seeders + leechers)?;
        let text: Vec<String> = all.iter().map(SocketAddr::to_string).collect();
        fs::write(place.join(ADDRESSES), format!("{seeders} {}", text.join(" ")))?;
        let mut peers = Vec::new();
        for (number, address) in all.iter().take(seeders).enumerate() {
            let folder = folder(place, "seeder", number)?;
            fs::hard_link(source, folder.join(FILE))?;
            let mut peer = self.peer(&folder, *address, &[])?;
            peer.wait_for("Initial check results")?;
            peers.push(peer);
        }
        Ok(peers)
    }

    fn leech(&self, place: &Path, number: usize) -> Result<Peer> {
        let text = fs::read_to_string(place.join(ADDRESSES))?;
        let (seeders, all) = text.split_once(' ').ok_or("no addresses were noted")?;
        let mut others: Vec<String> = all.split(' ').map(str::to_owned).collect();
        let listen = others.remove(seeders.parse::<usize>()? + number).parse()?;
        let folder = folder(place, "leecher", number)?;
        let peer = self.peer(&folder, listen, &others)?;
        Ok(peer.fetching(folder.join(FILE), "torrent finished downloading"))
    }
}
