//! Whom a client takes for its trackers: the key of each, from the list or remembered since the first contact.
//!
//! A fingerprint in the list is enforced. Without one the first key is trusted and written down, as ssh does, and enforced from then on.
//! Invariant: a key is written down, synced, before a word of the person goes to the tracker that has it.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use engine::id::DeviceId;

use crate::data_dir::DataDir;
use crate::identity::parse_fingerprint;
use crate::tracker_info::Tracker;

/// The file in the data folder: an address and a fingerprint a line.
pub const FILE: &str = "known_trackers";

/// Longest file that is read: 10,000 lines.
const LEN_MAX: u64 = 1 << 20;

/// The keys of trackers.
#[derive(Debug)]
pub struct KnownTrackers {
    dir: Arc<DataDir>,
    listed: BTreeMap<SocketAddr, DeviceId>,
    remembered: Mutex<BTreeMap<SocketAddr, DeviceId>>,
}

impl KnownTrackers {
    /// Takes the fingerprints of the list, and reads what was remembered.
    ///
    /// # Errors
    /// A message with the remedy, if the file cannot be read, or a line of it is none.
    pub fn load(dir: Arc<DataDir>, trackers: &[Tracker]) -> Result<KnownTrackers, String> {
        let path = dir.file(FILE);
        let text = read(&dir).map_err(|error| {
            format!("{} cannot be read ({error}); look after its disk and its rights", path.display())
        })?;
        let remembered = parse(&text).map_err(|line| {
            format!("{}: line {line} is no address with a fingerprint; correct or remove it", path.display())
        })?;
        let listed = trackers.iter().filter_map(|tracker| Some((tracker.address, tracker.fingerprint?)));
        Ok(KnownTrackers { dir, listed: listed.collect(), remembered: Mutex::new(remembered) })
    }

    /// The key that the tracker there must have, if one is known.
    #[must_use]
    pub fn expected(&self, tracker: SocketAddr) -> Option<DeviceId> {
        let listed = self.listed.get(&tracker).copied();
        listed
            .or_else(|| self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&tracker).copied())
    }

    /// The keys of the trackers of this list, as far as they are known: what they sign counts.
    #[must_use]
    pub fn signers(&self, trackers: &[Tracker]) -> Vec<DeviceId> {
        trackers.iter().filter_map(|tracker| self.expected(tracker.address)).collect()
    }

    /// Remembers the key of a tracker that none was known of; says whether it is new. Waits for the disk.
    ///
    /// # Errors
    /// What the system says; then the key is not remembered.
    pub fn remember(&self, tracker: SocketAddr, device: DeviceId) -> io::Result<bool> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if self.listed.contains_key(&tracker) || remembered.contains_key(&tracker) {
            return Ok(false);
        }
        let mut all = remembered.clone();
        all.insert(tracker, device);
        let lines = all.iter().map(|(tracker, device)| format!("{tracker} {device}\n"));
        self.dir.replace_file(FILE, lines.collect::<String>().as_bytes())?;
        *remembered = all;
        Ok(true)
    }
}

fn read(dir: &DataDir) -> io::Result<String> {
    let mut text = String::new();
    if let Some(file) = dir.open_existing(FILE)? {
        file.take(LEN_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The trackers that `text` names, or the number of the first line that is at fault.
fn parse(text: &str) -> Result<BTreeMap<SocketAddr, DeviceId>, usize> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(index, line)| parse_line(line).ok_or(index + 1)).collect()
}

fn parse_line(line: &str) -> Option<(SocketAddr, DeviceId)> {
    let (address, fingerprint) = line.trim().split_once(' ')?;
    Some((address.parse().ok()?, parse_fingerprint(fingerprint.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: DeviceId = DeviceId([1; 32]);
    const TWO: DeviceId = DeviceId([2; 32]);

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn listed(fingerprint: Option<DeviceId>) -> Vec<Tracker> {
        vec![Tracker { address: address(1), fingerprint }]
    }

    #[test]
    fn the_first_key_is_remembered_and_none_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Arc::new(DataDir::open(folder.path()).unwrap());
        let known = KnownTrackers::load(Arc::clone(&dir), &listed(None)).unwrap();
        assert_eq!(known.expected(address(1)), None);
        assert!(known.remember(address(1), ONE).unwrap());
        assert!(!known.remember(address(1), TWO).unwrap());
        let known = KnownTrackers::load(Arc::clone(&dir), &listed(None)).unwrap();
        assert_eq!((known.expected(address(1)), known.expected(address(2))), (Some(ONE), None));
    }

    #[test]
    fn the_list_has_the_last_word() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Arc::new(DataDir::open(folder.path()).unwrap());
        KnownTrackers::load(Arc::clone(&dir), &[]).unwrap().remember(address(1), ONE).unwrap();
        let known = KnownTrackers::load(Arc::clone(&dir), &listed(Some(TWO))).unwrap();
        assert_eq!(known.expected(address(1)), Some(TWO));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Arc::new(DataDir::open(folder.path()).unwrap());
        std::fs::write(folder.path().join(FILE), format!("# mine\n\n127.0.0.1:1 {ONE}\nlocalhost {TWO}\n"))
            .unwrap();
        let refused = KnownTrackers::load(Arc::clone(&dir), &[]).unwrap_err();
        assert!(refused.contains("line 4"), "{refused}");
    }
}
