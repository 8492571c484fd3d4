//! A torrent of one file, for the tools that move torrents.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use engine::piece::PIECE_LEN;
use sha1::{Digest as _, Sha1};

use crate::Result;

/// Writes the torrent of `source` to `torrent`; peers know the file as `name`, and name no tracker.
pub(crate) fn make(source: &Path, name: &str, torrent: &Path) -> Result<()> {
    let len = source.metadata()?.len();
    let pieces = piece_hashes(source)?;
    let mut text = format!(
        "d4:infod6:lengthi{len}e4:name{}:{name}12:piece lengthi{PIECE_LEN}e6:pieces{}:",
        name.len(),
        pieces.len()
    )
    .into_bytes();
    text.extend(pieces);
    text.extend(b"ee");
    Ok(fs::write(torrent, text)?)
}

fn piece_hashes(source: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(source)?;
    let mut hashes = Vec::new();
    let mut piece = Vec::with_capacity(PIECE_LEN as usize);
    loop {
        piece.clear();
        if file.by_ref().take(PIECE_LEN.into()).read_to_end(&mut piece)? == 0 {
            return Ok(hashes);
        }
        hashes.extend(Sha1::digest(&piece));
    }
}
