//! A client's disk: files, partial files with their journals, and what the client wrote down. It survives the client.

use engine::bitfield::Bitfield;
use engine::id::{Blake3, ChainingValue, FileId};
use engine::name::{FileName, GroupName, Place, UserName};
use engine::peer::io::{Entry, Outcome, Recalled, Stamp, Survey};
use engine::piece::{Extent, Size};
use engine::refusal::DiskError;
use engine::table::Table;

use crate::checks::WRONG;
use crate::content::{Bytes, ContentId, Digests, Whole};

/// A complete file.
#[derive(Clone, Copy, Debug)]
struct Stored {
    whole: Whole,
    stamp: Stamp,
}

/// A partial file and its journal. Each piece is checked as it is written, so it is enough to know which are there.
#[derive(Clone, Debug)]
struct Part {
    hashes: Blake3,
    /// What is in the first piece that was written, and so in all.
    whole: Whole,
    pieces: Bitfield,
    /// Those of them that no crash takes.
    synced: Bitfield,
}

/// What a number of the engine stands for.
#[derive(Clone, Debug)]
enum Open {
    Share(Place, Stamp),
    Part(Place),
}

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: Table<Place, Stored>,
    parts: Table<Place, Part>,
    memory: Table<(UserName, GroupName, FileName), Box<Entry>>,
    /// What the running process has open.
    open: Table<FileId, Open>,
    inodes: u64,
    /// Whether there is no room for anything more.
    pub(crate) full: bool,
    /// Whether room that was promised turns out not to be there when it is synced.
    pub(crate) sync_fails: bool,
}

impl Disk {
    /// Puts a file there, in place of what was.
    pub(crate) fn put(&mut self, place: Place, whole: Whole) -> Stamp {
        self.inodes += 1;
        let stamp = Stamp { inode: (1, self.inodes), len: whole.size.bytes(), modified: (0, 0) };
        self.files.insert(place, Stored { whole, stamp });
        stamp
    }

    pub(crate) fn delete(&mut self, place: &Place) {
        self.files.remove(place);
    }

    /// Takes away whatever is there, complete or not.
    pub(crate) fn clear(&mut self, place: &Place) {
        self.files.remove(place);
        self.parts.remove(place);
    }

    /// The complete file there.
    pub(crate) fn file(&self, place: &Place) -> Option<Whole> {
        self.files.get(place).map(|stored| stored.whole)
    }

    /// Pieces in the partial file there.
    pub(crate) fn part_len(&self, place: &Place) -> Option<usize> {
        self.parts.get(place).map(|part| part.pieces.count() as usize)
    }

    /// Whether a piece of the file there, complete or partial, is on the disk.
    pub(crate) fn has_piece(&self, place: &Place, piece: u32) -> bool {
        self.files.contains_key(place) || self.parts.get(place).is_some_and(|part| part.pieces.has(piece))
    }

    /// The pieces that are there of a file of so many.
    pub(crate) fn pieces_at(&self, place: &Place, pieces: u32) -> Bitfield {
        match self.parts.get(place) {
            _ if self.files.contains_key(place) => Bitfield::full(pieces),
            Some(part) => part.pieces.clone(),
            None => Bitfield::new(pieces),
        }
    }

    /// The machine lost its power: of what was not synced, what `keeps` says is there afterwards.
    pub(crate) fn lose_unsynced(&mut self, mut keeps: impl FnMut() -> bool) {
        for part in self.parts.values_mut() {
            let kept: Vec<u32> = part.pieces.without(&part.synced).filter(|_| keeps()).collect();
            kept.into_iter().for_each(|piece| {
                part.synced.insert(piece);
            });
            part.pieces = part.synced.clone();
        }
    }

    /// The process died: what it had open is closed.
    pub(crate) fn close_all(&mut self) {
        self.open.clear();
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn survey(&self, place: &Place, digests: &mut Digests) -> Outcome {
        let Some(stored) = self.files.get(place) else { return Outcome::Failed(DiskError::Missing) };
        let (content, hashes) = digests.survey(stored.whole);
        Outcome::Surveyed(Box::new(Survey { content, hashes, stamp: stored.stamp }))
    }

    pub(crate) fn remember(&mut self, entry: Box<Entry>) -> Outcome {
        if self.full {
            return Outcome::Failed(DiskError::DiskFull);
        }
        let key = (entry.user.clone(), entry.group.clone(), entry.name.clone());
        self.memory.insert(key, entry);
        Outcome::Done
    }

    pub(crate) fn forget(&mut self, user: UserName, group: GroupName, name: FileName) -> Outcome {
        self.memory.remove(&(user, group, name));
        Outcome::Done
    }

    pub(crate) fn recall(&self, user: &UserName) -> Outcome {
        let noted = |entry: &Entry| self.parts.get(&entry.place).map_or(0, |part| part.pieces.count());
        let entries = self.memory.values().filter(|entry| entry.user == *user);
        Outcome::Recalled(
            entries.map(|entry| Recalled { noted: noted(entry), entry: Entry::clone(entry) }).collect(),
        )
    }

    pub(crate) fn open_share(&mut self, file: FileId, place: Place, stamp: Stamp) -> Outcome {
        match self.files.get(&place) {
            None => Outcome::Failed(DiskError::Missing),
            Some(stored) if stored.stamp != stamp => Outcome::Failed(DiskError::Changed),
            Some(_) => {
                let twin = self.open.insert(file, Open::Share(place, stamp));
                assert!(twin.is_none(), "{file:?} is opened once");
                Outcome::Done
            }
        }
    }

    pub(crate) fn open_part(
        &mut self,
        file: FileId,
        place: Place,
        (size, hashes): (Size, Blake3),
        resume: bool,
        digests: &mut Digests,
    ) -> Outcome {
        if self.files.contains_key(&place) || (self.parts.contains_key(&place) && !resume) {
            return Outcome::Failed(DiskError::Exists);
        }
        if self.parts.get(&place).is_none_or(|part| part.hashes != hashes) {
            let whole = Whole { content: ContentId(0), size };
            let none = Bitfield::new(size.pieces());
            self.parts.insert(place.clone(), Part { hashes, whole, pieces: none.clone(), synced: none });
        }
        let part = self.parts.get(&place).expect("it is there");
        let pieces = part
            .pieces
            .iter()
            .map(|piece| (piece, digests.of(part.whole, &part.whole.piece(piece)).cv))
            .collect();
        let twin = self.open.insert(file, Open::Part(place));
        assert!(twin.is_none(), "{file:?} is opened once");
        Outcome::PartOpen(pieces)
    }

    pub(crate) fn write(
        &mut self,
        extent: Extent,
        bytes: Bytes,
        cv: ChainingValue,
        digests: &mut Digests,
    ) -> Outcome {
        if self.full {
            return Outcome::Failed(DiskError::DiskFull);
        }
        let Some(part) = self.part(extent.file) else { return closed() };
        assert!(!bytes.spoilt, "{WRONG}a spoilt piece is never written");
        if part.pieces.count() == 0 {
            part.whole.content = bytes.content;
        }
        assert_eq!(
            bytes,
            part.whole.piece(extent.piece),
            "{WRONG}the right bytes are written in their place"
        );
        assert_eq!(cv, digests.of(part.whole, &bytes).cv, "the journal notes the right value");
        part.pieces.insert(extent.piece);
        Outcome::Done
    }

    fn part(&mut self, file: FileId) -> Option<&mut Part> {
        match self.open.get(&file)? {
            Open::Part(place) => self.parts.get_mut(place),
            Open::Share(..) => None,
        }
    }

    pub(crate) fn sync(&mut self, file: FileId) -> Outcome {
        if self.sync_fails {
            return Outcome::Failed(DiskError::DiskFull);
        }
        if let Some(part) = self.part(file) {
            part.synced = part.pieces.clone();
        }
        if self.open.contains_key(&file) { Outcome::Done } else { closed() }
    }

    pub(crate) fn finish(&mut self, file: FileId, digests: &mut Digests) -> Outcome {
        let Some(Open::Part(place)) = self.open.get(&file).cloned() else { return closed() };
        if self.files.contains_key(&place) {
            return Outcome::Failed(DiskError::Exists);
        }
        let Some(part) = self.parts.remove(&place) else { return closed() };
        assert!(part.pieces.is_full(), "a file is finished when every piece is there");
        let (content, _) = digests.survey(part.whole);
        assert_eq!(content.hashes, part.hashes, "{WRONG}a finished file is the one that was listed");
        let stamp = self.put(place.clone(), part.whole);
        self.open.insert(file, Open::Share(place, stamp));
        Outcome::Finished(stamp)
    }

    pub(crate) fn close(&mut self, file: FileId) -> Outcome {
        self.open.remove(&file);
        Outcome::Done
    }

    /// Reads a piece that is to be served.
    pub(crate) fn read(&self, extent: Extent) -> Result<Bytes, DiskError> {
        match self.open.get(&extent.file) {
            Some(Open::Share(place, stamp)) => match self.files.get(place) {
                None => Err(DiskError::Missing),
                Some(stored) if stored.stamp != *stamp => Err(DiskError::Changed),
                Some(stored) => Ok(stored.whole.piece(extent.piece)),
            },
            Some(Open::Part(place)) => {
                let part = self.parts.get(place).filter(|part| part.pieces.has(extent.piece));
                Ok(part.expect("a piece is served once it is written").whole.piece(extent.piece))
            }
            None => Err(DiskError::Other(format!("{:?} is not open", extent.file))),
        }
    }
}

fn closed() -> Outcome {
    Outcome::Failed(DiskError::Other("the file is not open".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_or_once_kept_no_crash_takes() {
        let (mut disk, mut digests) = (Disk::default(), Digests::default());
        let size = Size::new(4 * u64::from(engine::piece::PIECE_LEN)).unwrap();
        let whole = Whole { content: ContentId(1), size };
        let (place, file) = (Place((*b"f").into()), FileId(1));
        let (content, _) = digests.survey(whole);
        disk.open_part(file, place.clone(), (size, content.hashes), false, &mut digests);
        let mut write = |disk: &mut Disk, piece| {
            let (extent, bytes) = (size.extent(file, piece).unwrap(), whole.piece(piece));
            let cv = digests.of(whole, &bytes).cv;
            assert_eq!(disk.write(extent, bytes, cv, &mut digests), Outcome::Done);
        };
        write(&mut disk, 2);
        assert_eq!(disk.sync(file), Outcome::Done);
        write(&mut disk, 0);
        write(&mut disk, 3);
        let mut tosses = [true, false].into_iter();
        disk.lose_unsynced(|| tosses.next().unwrap());
        let held = |disk: &Disk| disk.pieces_at(&place, 4).iter().collect::<Vec<_>>();
        assert_eq!(held(&disk), [0, 2]);
        disk.lose_unsynced(|| unreachable!("nothing is left to toss for"));
        assert_eq!(held(&disk), [0, 2]);
    }
}
