//! The journal of a download: which pieces of the partial file are written and verified.
//!
//! A head names the content. Each verified piece adds a record behind it, without a sync; a *mark* is added after the partial file was
//! synced, and the journal is synced then. A record has a checksum that binds it to the content and to its position, so that what
//! a crash tore off, or left from another download, is not taken for one; the first that is not whole ends the journal.
//!
//! Invariant: what stands before the last mark is on the disk. What stands after it may be, and counts only once its bytes were read
//! back; what turned out not to be there is *struck*, so that no later mark vouches for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;

use engine::id::{Blake3, ChainingValue};
use engine::piece::Size;

const MAGIC: &[u8; 16] = b"group journal 01";

/// Length of the file, root of its hashes.
type Content = [u8; 40];

/// Magic, content, checksum.
const HEAD_LEN: usize = MAGIC.len() + size_of::<Content>() + SUM_LEN;

/// Piece, chaining value, checksum.
const RECORD_LEN: usize = 4 + 32 + SUM_LEN;

/// Bytes of a checksum: enough against chance, and nobody else writes here.
const SUM_LEN: usize = 8;

/// The piece number of a mark. No file has so many pieces.
const MARK: u32 = u32::MAX;

/// The chaining value of a piece that is not there after all.
const STRUCK: ChainingValue = ChainingValue([0; 32]);

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    content: Content,
    records: u64,
}

/// What a journal says, by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Pieces that are certainly on the disk.
    pub(super) trusted: BTreeMap<u32, ChainingValue>,
    /// Pieces that were written, but perhaps not synced before a crash.
    pub(super) doubtful: BTreeMap<u32, ChainingValue>,
}

impl Journal {
    /// Makes an empty journal, whatever the file held.
    pub(super) fn create(file: File, size: Size, hashes: Blake3) -> io::Result<Journal> {
        let content = content(size, hashes);
        file.set_len(0)?;
        file.write_all_at(&head(&content), 0)?;
        Ok(Journal { file, content, records: 0 })
    }

    /// Takes up what `file` says of that content, or gives it back if it is the journal of another, or none.
    pub(super) fn open(file: File, size: Size, hashes: Blake3) -> io::Result<Result<(Journal, Noted), File>> {
        let content = content(size, hashes);
        let mut reader = BufReader::with_capacity(64 * 1024, At { file: &file, offset: 0 });
        let mut found = [0; HEAD_LEN];
        if !read_whole(&mut reader, &mut found)? || found != head(&content) {
            return Ok(Err(file));
        }
        let (records, noted) = read_records(&mut reader, &content)?;
        file.set_len(offset(records))?;
        Ok(Ok((Journal { file, content, records }, noted)))
    }

    /// What `file` says of that content, which changes nothing; nothing if it is the journal of another, or none.
    pub(super) fn read(file: &File, size: Size, hashes: Blake3) -> io::Result<Noted> {
        let content = content(size, hashes);
        let mut reader = BufReader::with_capacity(64 * 1024, At { file, offset: 0 });
        let mut found = [0; HEAD_LEN];
        if !read_whole(&mut reader, &mut found)? || found != head(&content) {
            return Ok(Noted::default());
        }
        Ok(read_records(&mut reader, &content)?.1)
    }

    /// Whether a file is a journal, or the beginning of one: only then may it be overwritten.
    pub(super) fn is_one(file: &File) -> io::Result<bool> {
        let mut found = Vec::new();
        At { file, offset: 0 }.take(MAGIC.len() as u64).read_to_end(&mut found)?;
        Ok(MAGIC.starts_with(&found))
    }

    /// Notes a piece that was written.
    pub(super) fn note(&mut self, piece: u32, cv: ChainingValue) -> io::Result<()> {
        self.append(piece, cv)
    }

    /// Notes that a piece is not there after all.
    pub(super) fn strike(&mut self, piece: u32) -> io::Result<()> {
        self.append(piece, STRUCK)
    }

    /// Notes that all pieces noted so far are synced, and syncs that.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        self.append(MARK, STRUCK)?;
        self.file.sync_data()
    }

    /// Writes at the record's own position, so that what a failed call left is overwritten by the next.
    fn append(&mut self, piece: u32, cv: ChainingValue) -> io::Result<()> {
        let record = record(&self.content, self.records, piece, cv);
        self.file.write_all_at(&record, offset(self.records))?;
        self.records += 1;
        Ok(())
    }
}

fn content(size: Size, hashes: Blake3) -> Content {
    let mut content = [0; 40];
    content[..8].copy_from_slice(&size.bytes().to_le_bytes());
    content[8..].copy_from_slice(&hashes.0);
    content
}

fn offset(records: u64) -> u64 {
    HEAD_LEN as u64 + records * RECORD_LEN as u64
}

fn sum(parts: &[&[u8]]) -> [u8; SUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; SUM_LEN];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..SUM_LEN]);
    sum
}

fn head(content: &Content) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    let (magic, rest) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    rest[..40].copy_from_slice(content);
    rest[40..].copy_from_slice(&sum(&[MAGIC, content]));
    head
}

fn record(content: &Content, index: u64, piece: u32, cv: ChainingValue) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..4].copy_from_slice(&piece.to_le_bytes());
    record[4..36].copy_from_slice(&cv.0);
    let sum = sum(&[content, &index.to_le_bytes(), &record[..36]]);
    record[36..].copy_from_slice(&sum);
    record
}

/// Reads up to the first record that is not whole; gives how many there are, and what they say together.
fn read_records(reader: &mut impl io::Read, content: &Content) -> io::Result<(u64, Noted)> {
    let mut noted = Noted::default();
    let mut index = 0;
    let mut found = [0; RECORD_LEN];
    while read_whole(reader, &mut found)? {
        let piece = u32::from_le_bytes([found[0], found[1], found[2], found[3]]);
        let mut cv = STRUCK;
        cv.0.copy_from_slice(&found[4..36]);
        if found != record(content, index, piece, cv) {
            break;
        }
        index += 1;
        if piece == MARK {
            noted.trusted.append(&mut noted.doubtful);
        } else {
            noted.doubtful.insert(piece, cv);
        }
    }
    // A piece that was noted again after the mark is only as good as its last note.
    noted.trusted.retain(|piece, cv| *cv != STRUCK && !noted.doubtful.contains_key(piece));
    noted.doubtful.retain(|_, cv| *cv != STRUCK);
    Ok((index, noted))
}

/// Fills `into`; says whether there was enough.
fn read_whole(reader: &mut impl io::Read, into: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads a file from its beginning, wherever its own position is.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHES: Blake3 = Blake3([3; 32]);

    fn size() -> Size {
        Size::new(10_000_000).unwrap()
    }

    fn cv(byte: u8) -> ChainingValue {
        ChainingValue([byte; 32])
    }

    /// A journal with pieces 1 and 2 synced and 3 not, and a second handle of its file.
    fn journal() -> (Journal, File) {
        let file = tempfile::tempfile().unwrap();
        let mut journal = Journal::create(file.try_clone().unwrap(), size(), HASHES).unwrap();
        journal.note(1, cv(1)).unwrap();
        journal.note(2, cv(2)).unwrap();
        journal.mark().unwrap();
        journal.note(3, cv(3)).unwrap();
        (journal, file)
    }

    fn reopen(file: &File) -> Option<(Journal, Noted)> {
        Journal::open(file.try_clone().unwrap(), size(), HASHES).unwrap().ok()
    }

    fn noted(trusted: &[u8], doubtful: &[u8]) -> Noted {
        let map = |list: &[u8]| list.iter().map(|piece| (u32::from(*piece), cv(*piece))).collect();
        Noted { trusted: map(trusted), doubtful: map(doubtful) }
    }

    #[test]
    fn what_was_noted_is_read_back() {
        let (_, file) = journal();
        assert_eq!(reopen(&file).unwrap().1, noted(&[1, 2], &[3]));
    }

    #[test]
    fn a_torn_record_is_cut_off() {
        let (_, file) = journal();
        let len = file.metadata().unwrap().len();
        for torn in 1..RECORD_LEN as u64 {
            file.set_len(len - torn).unwrap();
            let (mut journal, read) = reopen(&file).unwrap();
            assert_eq!(read, noted(&[1, 2], &[]));
            assert_eq!(file.metadata().unwrap().len(), offset(3));
            journal.note(3, cv(3)).unwrap();
            assert_eq!(reopen(&file).unwrap().1, noted(&[1, 2], &[3]));
        }
    }

    #[test]
    fn a_changed_byte_ends_the_records() {
        let (_, file) = journal();
        file.write_all_at(&[7], offset(1) + 10).unwrap();
        assert_eq!(reopen(&file).unwrap().1, noted(&[], &[1]), "the mark behind it is not read");
    }

    #[test]
    fn a_record_in_anothers_place_is_none() {
        let (_, file) = journal();
        let mut second = [0; RECORD_LEN];
        file.read_exact_at(&mut second, offset(1)).unwrap();
        file.write_all_at(&second, offset(0)).unwrap();
        assert_eq!(reopen(&file).unwrap().1, Noted::default());
    }

    #[test]
    fn the_journal_of_another_content_is_given_back() {
        let (_, file) = journal();
        for (bytes, hashes) in [(10_000_000, Blake3([4; 32])), (9_999_999, HASHES)] {
            let opened = Journal::open(file.try_clone().unwrap(), Size::new(bytes).unwrap(), hashes).unwrap();
            assert!(opened.is_err());
        }
        assert!(Journal::is_one(&file).unwrap());
        file.set_len(HEAD_LEN as u64 - 1).unwrap();
        assert!(reopen(&file).is_none(), "half a head");
        file.write_all_at(b"dear diary", 0).unwrap();
        assert!(!Journal::is_one(&file).unwrap());
    }

    #[test]
    fn the_last_note_of_a_piece_counts() {
        let (mut journal, file) = journal();
        journal.strike(1).unwrap();
        journal.note(2, cv(2)).unwrap();
        assert_eq!(reopen(&file).unwrap().1, noted(&[], &[2, 3]));
        journal.mark().unwrap();
        assert_eq!(reopen(&file).unwrap().1, noted(&[2, 3], &[]));
    }
}
