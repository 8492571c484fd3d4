//! libtorrent, by its Python bindings: the yardstick.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::peer::{Peer, Tool, free_addresses};
use crate::torrent;

/// A peer in Python.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/transfer/libtorrent_peer.py");

/// libtorrent, plain or encrypted by RC4.
#[derive(Debug)]
pub(crate) struct Libtorrent {
    python: PathBuf,
    rc4: bool,
}

impl Libtorrent {
    pub(crate) fn new(python: &Path, rc4: bool) -> Libtorrent {
        Libtorrent { python: python.into(), rc4 }
    }

    /// Starts the peer of that number, which listens on the port of that number and knows all the others.
    fn peer(&self, place: &Path, role: &str, number: usize, ports: &[String]) -> Result<(Peer, PathBuf)> {
        let folder = place.join(format!("peer{number}"));
        fs::create_dir_all(&folder)?;
        let channel = if self.rc4 { "rc4" } else { "plain" };
        let mut command = Command::new(&self.python);
        command.arg(SCRIPT).args([role, channel, &ports[number]]).arg(&folder).arg(place.join("torrent"));
        command.args(ports.iter().filter(|port| **port != ports[number]));
        let peer = Peer::start(&mut command, place.join(format!("peer{number}.out")))?;
        Ok((peer, folder.join("file")))
    }
}

/// Where the ports of all peers stand, seeders first.
fn ports(place: &Path) -> PathBuf {
    place.join("ports")
}

impl Tool for Libtorrent {
    fn name(&self) -> &'static str {
        if self.rc4 { "libtorrent, RC4" } else { "libtorrent, plain" }
    }

    fn seed(&self, place: &Path, source: &Path, seeders: usize, leechers: usize) -> Result<Vec<Peer>> {
        let addresses = free_addresses(seeders + leechers)?;
        let all: Vec<String> = addresses.iter().map(|address| address.port().to_string()).collect();
        fs::write(ports(place), format!("{seeders} {}", all.join(" ")))?;
        torrent::make(source, "file", &place.join("torrent"))?;
        let mut peers = Vec::new();
        for number in 0..seeders {
            let folder = place.join(format!("peer{number}"));
            fs::create_dir(&folder)?;
            fs::hard_link(source, folder.join("file"))?;
            let (mut peer, _) = self.peer(place, "seed", number, &all)?;
            peer.wait_for("READY\n")?;
            peers.push(peer);
        }
        Ok(peers)
    }

    fn leech(&self, place: &Path, number: usize) -> Result<Peer> {
        let text = fs::read_to_string(ports(place))?;
        let (seeders, all) = text.split_once(' ').ok_or("no ports were noted")?;
        let all: Vec<String> = all.split(' ').map(str::to_owned).collect();
        let (peer, copy) = self.peer(place, "leech", seeders.parse::<usize>()? + number, &all)?;
        Ok(peer.fetching(copy, "DONE\n"))
    }
}
