//! Partial files: what a download has so far, beside the place where the complete file will be.
//!
//! Beside the final place stand `<name>.part` and `<name>.part.journal`. Invariants:
//! - A partial file never stands under the final name; nothing that was there is written over; only files that this program made
//!   are overwritten.
//! - Whoever has a partial file open holds its lock.
//! - The journal never vouches for bytes that were not synced.
//! - What was written is on its way to the disk soon after, so that the last sync has little to wait for.

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use engine::id::{Blake3, ChainingValue, FileId};
use engine::limits::NAME_LEN_MAX;
use engine::name::Place;
use engine::peer::io::Stamp;
use engine::piece::{Content, Extent, PIECE_LEN, Size, chaining_value};
use engine::refusal::DiskError;
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};

use super::disk::{self, disk_error, stamp, synced};
use super::folder::Folder;
use super::journal::{Journal, Noted};
use crate::link::Source;
use crate::pages::Pages;

/// Bytes that are written before they are flushed beside the writing: 32 MiB take a disk 10 to 200 ms.
const FLUSH_LEN: u64 = 32 * 1024 * 1024;

const PART_SUFFIX: &str = ".part";
const JOURNAL_SUFFIX: &str = ".part.journal";

/// Hexadecimal digits of a name's hash that stand for the rest of a name that is too long.
const NAME_HASH_LEN: usize = 16;

/// A download's partial file and journal, open.
#[derive(Debug)]
pub(super) struct Part {
    folder: Folder,
    names: Names,
    file: File,
    journal: Mutex<Journal>,
    /// Held while the file is synced, until it is noted how that ended.
    syncing: Mutex<()>,
    /// A sync failed for want of room: what the disk holds is unknown until the file is opened anew and read back.
    tainted: AtomicBool,
    /// Bytes written since the last flush began.
    unflushed: AtomicU64,
    /// What the complete file is like, once it has its name: from then on it is others' to change.
    finished: OnceLock<Stamp>,
}

/// What is to be downloaded where.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) place: Place,
    pub(super) size: Size,
    pub(super) hashes: Blake3,
    /// Whether a partial file may be there, and is ours.
    pub(super) resume: bool,
}

/// Pieces that are there are read back, to be served.
impl Source for Part {
    fn read_ready(&self, offset: u64, bytes: &mut [u8]) -> Result<bool, DiskError> {
        disk::read_ready(&self.file, &self.finished, offset, bytes)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        disk::read(&self.file, &self.finished, offset, bytes)
    }
}

/// Pieces that are there, verified.
pub(super) type Held = Vec<(u32, ChainingValue)>;

impl Part {
    /// Opens the partial file of a download, or makes it; says which pieces are there, verified.
    ///
    /// # Errors
    /// The folder is missing or may not be written, something is there, or the disk is full. Nothing is left behind then that was
    /// not there before.
    pub(super) fn open(plan: &Plan) -> Result<(Part, Held), DiskError> {
        let (folder, names) = locate(disk::path(&plan.place))?;
        if folder.has(&names.last)? {
            return Err(DiskError::Exists);
        }
        match folder.make(&names.part) {
            Ok(file) => Part::begin(folder, names, file, plan),
            Err(DiskError::Exists) if plan.resume => Part::resume(folder, names, plan),
            Err(error) => Err(error),
        }
    }

    /// Begins with a partial file that was just made.
    fn begin(folder: Folder, names: Names, file: File, plan: &Plan) -> Result<(Part, Held), DiskError> {
        lock(&file)?;
        let begun = open_journal(&folder, &names).and_then(|journal| {
            reserve(&file, plan.size)
                .and_then(|()| {
                    Journal::create(journal, plan.size, plan.hashes).map_err(|error| disk_error(&error))
                })
                .inspect_err(|_| folder.remove(&names.journal))
        });
        match begun {
            Ok(journal) => Ok((Part::new(folder, names, file, journal), Held::new())),
            Err(error) => {
                folder.remove(&names.part);
                Err(error)
            }
        }
    }

    /// Goes on with a partial file that was there.
    fn resume(folder: Folder, names: Names, plan: &Plan) -> Result<(Part, Held), DiskError> {
        let file = folder.open_file(&names.part)?;
        lock(&file)?;
        folder.check_same(&names.part, &file)?;
        let len = file.metadata().map_err(|error| disk_error(&error))?.len();
        let journal = Journal::open(open_journal(&folder, &names)?, plan.size, plan.hashes);
        let (mut journal, mut noted) = match journal.map_err(|error| disk_error(&error))? {
            Ok(opened) => opened,
            Err(other) => {
                file.set_len(0).map_err(|error| disk_error(&error))?;
                let journal = Journal::create(other, plan.size, plan.hashes);
                (journal.map_err(|error| disk_error(&error))?, Noted::default())
            }
        };
        if len != plan.size.bytes() {
            // Somebody else had it in hand: nothing is believed unseen.
            noted.doubtful.append(&mut noted.trusted);
        }
        reserve(&file, plan.size)?;
        let held = verify(&file, &mut journal, noted, plan.size)?;
        Ok((Part::new(folder, names, file, journal), held))
    }

    fn new(folder: Folder, names: Names, file: File, journal: Journal) -> Part {
        Part {
            folder,
            names,
            file,
            journal: Mutex::new(journal),
            syncing: Mutex::new(()),
            tainted: AtomicBool::new(false),
            unflushed: AtomicU64::new(0),
            finished: OnceLock::new(),
        }
    }

    /// Writes a verified piece, then its line in the journal.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn write(&self, extent: Extent, bytes: &[u8], cv: ChainingValue) -> Result<(), DiskError> {
        self.check_sound()?;
        self.file
            .write_all_at(bytes, extent.offset())
            .and_then(|()| self.journal().note(extent.piece, cv))
            .map_err(|error| disk_error(&error))?;
        self.unflushed.fetch_add(u64::from(extent.len), Ordering::Relaxed);
        Ok(())
    }

    /// Whether so much was written that it should be flushed.
    pub(super) fn wants_flush(&self) -> bool {
        self.unflushed.load(Ordering::Relaxed) >= FLUSH_LEN
    }

    /// Brings to the disk what was written, unless that happened meanwhile. This is for a thread beside those that write; the journal does
    /// not hear of it.
    pub(super) fn flush(&self) {
        if self.wants_flush() {
            self.unflushed.store(0, Ordering::Relaxed);
            let _alone = self.syncing();
            if self.taint_by(synced(self.file.sync_data(), &self.names.place)).is_err() {
                tracing::warn!(place = %self.names.place.display(), "the disk was full when a download was flushed");
            }
        }
    }

    /// Syncs the file and its name, then the journal with a mark that says so.
    ///
    /// # Errors
    /// The disk is full.
    pub(super) fn sync(&self) -> Result<(), DiskError> {
        let _alone = self.syncing();
        self.check_sound()?;
        self.taint_by(synced(self.file.sync_data(), &self.names.place))?;
        self.taint_by(synced(self.folder.sync(), &self.names.place))?;
        self.taint_by(synced(self.journal().mark(), &self.names.place))
    }

    /// Syncs the complete file and gives it its name, unless something has that name; then the journal goes. Says what the file is like.
    ///
    /// # Errors
    /// `Exists`, or what the disk says.
    pub(super) fn finish(&self) -> Result<Stamp, DiskError> {
        let alone = self.syncing();
        self.check_sound()?;
        self.taint_by(synced(self.file.sync_all(), &self.names.place))?;
        drop(alone);
        // Under its own name others may find it, and change it: that is not what was fetched.
        let stamp = stamp(&self.file.metadata().map_err(|error| disk_error(&error))?);
        self.folder.rename_new(&self.names.part, &self.names.last)?;
        synced(self.folder.sync(), &self.names.place)?;
        self.folder.remove(&self.names.journal);
        Ok(*self.finished.get_or_init(|| stamp))
    }

    /// Lets another download write to this place, even while this file is still being flushed or sent.
    pub(super) fn release(&self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(place = %self.names.place.display(), %error, "a partial file stays locked until it is flushed");
        }
    }

    /// Where the complete file is.
    pub(super) fn place(&self) -> &Path {
        &self.names.place
    }

    fn check_sound(&self) -> Result<(), DiskError> {
        if !self.tainted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let what = "the disk was full when pieces that had come were to be brought to it";
        Err(DiskError::Other(format!("{what}: make room and download the file again; what is there counts")))
    }

    fn taint_by(&self, result: Result<(), DiskError>) -> Result<(), DiskError> {
        result.inspect_err(|_| self.tainted.store(true, Ordering::Relaxed))
    }

    /// One at a time: what went wrong with the disk is told to one sync only, which has to say so before the next begins.
    fn syncing(&self) -> MutexGuard<'_, ()> {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads back what the journal does not vouch for, and strikes what is not as noted. Gives all that is there, in order.
fn verify(file: &File, journal: &mut Journal, noted: Noted, size: Size) -> Result<Held, DiskError> {
    let Noted { trusted: mut held, doubtful } = noted;
    let mut buffer = Pages::new(PIECE_LEN as usize);
    for (piece, cv) in doubtful {
        // The file's number says nothing of where the piece lies.
        let sound = size.extent(FileId(0), piece).is_some_and(|extent| {
            let bytes = &mut buffer[..extent.len as usize];
            file.read_exact_at(bytes, extent.offset()).is_ok() && chaining_value(size, piece, bytes) == cv
        });
        if sound {
            held.insert(piece, cv);
        } else {
            journal.strike(piece).map_err(|error| disk_error(&error))?;
        }
    }
    held.retain(|piece, _| *piece < size.pieces());
    Ok(held.into_iter().collect())
}

/// How many pieces the journal of a download notes that is not open; none if there is no journal, or it cannot be read.
pub(super) fn noted(place: &Place, content: Content) -> u32 {
    let read = || {
        let (folder, names) = locate(disk::path(place))?;
        let journal = folder.open_file(&names.journal)?;
        Journal::read(&journal, content.size, content.hashes).map_err(|error| disk_error(&error))
    };
    let noted = read().unwrap_or_else(|error| {
        tracing::debug!(place = %disk::path(place).display(), ?error, "the journal of a download cannot be read");
        Noted::default()
    });
    let count = noted.trusted.len() + noted.doubtful.len();
    u32::try_from(count).unwrap_or(u32::MAX).min(content.size.pieces())
}

/// Makes sure that nobody else writes a partial file.
fn lock(file: &File) -> Result<(), DiskError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(DiskError::Other(
            "another download is writing to this place: choose another place, or wait until it has ended"
                .into(),
        )),
        Err(TryLockError::Error(error)) => Err(disk_error(&error)),
    }
}

/// Opens the journal, or makes it. A file of that name that is no journal is somebody else's.
fn open_journal(folder: &Folder, names: &Names) -> Result<File, DiskError> {
    match folder.make(&names.journal) {
        Err(DiskError::Exists) => {}
        made => return made,
    }
    let file = folder.open_file(&names.journal)?;
    if Journal::is_one(&file).map_err(|error| disk_error(&error))? {
        Ok(file)
    } else {
        Err(DiskError::Exists)
    }
}

/// Gives the file its length, with room on the disk for all of it.
fn reserve(file: &File, size: Size) -> Result<(), DiskError> {
    let bytes = size.bytes();
    // Looked at first, since reserving what does not fit would fill the disk before it fails.
    check_room(file, bytes)?;
    if bytes > 0 {
        match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes)) {
            // Where room cannot be reserved, having seen some must do.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(errno) => return Err(disk_error(&errno.into())),
        }
    }
    file.set_len(bytes).map_err(|error| disk_error(&error))
}

fn check_room(file: &File, bytes: u64) -> Result<(), DiskError> {
    let disk = rustix::fs::fstatvfs(file).map_err(|errno| disk_error(&errno.into()))?;
    let had = file.metadata().map_err(|error| disk_error(&error))?.blocks() * 512;
    let room = disk.f_bavail.saturating_mul(disk.f_frsize);
    if bytes.saturating_sub(had) > room { Err(DiskError::DiskFull) } else { Ok(()) }
}

/// The names of a download's files.
#[derive(Debug)]
struct Names {
    /// Of the complete file, with its folder.
    place: PathBuf,
    last: OsString,
    part: OsString,
    journal: OsString,
}

fn locate(place: &Path) -> Result<(Folder, Names), DiskError> {
    let last = place.file_name().ok_or(DiskError::NotAFile)?;
    let folder = match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let stem = stem(last);
    let with = |suffix: &str| {
        let mut name = stem.clone();
        name.push(suffix);
        name
    };
    let (part, journal) = (with(PART_SUFFIX), with(JOURNAL_SUFFIX));
    Ok((Folder::open(folder)?, Names { place: place.into(), last: last.into(), part, journal }))
}

/// What the names of partial file and journal begin with: the file's name, or, if that is too long, its beginning and a hash of it.
fn stem(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    if bytes.len() + JOURNAL_SUFFIX.len() <= NAME_LEN_MAX {
        return name.into();
    }
    let mut len = NAME_LEN_MAX - JOURNAL_SUFFIX.len() - 1 - NAME_HASH_LEN;
    while len > 0 && goes_on_with_a_character(bytes[len]) {
        len -= 1;
    }
    let hash = blake3::hash(bytes).to_hex();
    let mut stem = bytes[..len].to_vec();
    stem.push(b'~');
    stem.extend(&hash.as_bytes()[..NAME_HASH_LEN]);
    OsString::from_vec(stem)
}

const fn goes_on_with_a_character(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const LEN: u64 = 3 * PIECE_LEN as u64;

    fn open(path: &Path, bytes: u64, resume: bool) -> Result<(Part, Held), DiskError> {
        let place = Place(path.as_os_str().as_bytes().into());
        Part::open(&Plan { place, size: Size::new(bytes).unwrap(), hashes: Blake3([8; 32]), resume })
    }

    /// Writes piece `piece` of a file of three full pieces; gives what the journal notes.
    fn write(part: &Part, piece: u32) -> (u32, ChainingValue) {
        let extent = Extent { file: FileId(1), piece, len: PIECE_LEN };
        let bytes = vec![u8::try_from(piece).unwrap() + 1; PIECE_LEN as usize];
        let cv = chaining_value(Size::new(LEN).unwrap(), piece, &bytes);
        part.write(extent, &bytes, cv).unwrap();
        (piece, cv)
    }

    #[test]
    fn a_download_ends_in_its_place_with_nothing_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, held) = open(&path, LEN, false).unwrap();
        assert!(held.is_empty());
        for piece in 0..3 {
            write(&part, piece);
        }
        part.sync().unwrap();
        assert!(!path.exists());
        let stamp = part.finish().unwrap();
        assert_eq!(disk::stamp_at(&path), Ok(stamp));
        assert_eq!(stamp.len, LEN);
        assert_eq!(std::fs::read(&path).unwrap()[2 * PIECE_LEN as usize], 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn after_a_sync_that_found_the_disk_full_nothing_is_written_until_all_was_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        write(&part, 0);
        part.taint_by(Err(DiskError::DiskFull)).unwrap_err();
        let extent = Extent { file: FileId(1), piece: 1, len: PIECE_LEN };
        let later = [
            part.write(extent, &[2; PIECE_LEN as usize], ChainingValue([0; 32])),
            part.sync(),
            part.finish().map(|_| ()),
        ];
        for refused in later {
            // Not `DiskFull`, after which the engine would try again, for ever.
            let Err(DiskError::Other(why)) = refused else { panic!("{refused:?}") };
            assert!(why.contains("make room"), "{why}");
        }
        drop(part);
        let (part, held) = open(&path, LEN, true).unwrap();
        assert_eq!(held.len(), 1, "what is there counts");
        write(&part, 1);
        part.sync().unwrap();
    }

    #[test]
    fn an_empty_file_works() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        let (part, _) = open(&path, 0, false).unwrap();
        assert_eq!(part.finish().unwrap().len, 0);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_stands_in_the_place_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        std::fs::write(&path, b"precious").unwrap();
        assert_eq!(part.finish(), Err(DiskError::Exists));
        assert_eq!(part.folder.link_new(&part.names.part, &part.names.last), Err(DiskError::Exists));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(open(&path, LEN, true).err(), Some(DiskError::Exists));
        std::fs::remove_file(&path).unwrap();
        part.finish().unwrap();
    }

    #[test]
    fn a_complete_file_that_others_change_is_served_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        write(&part, 1);
        let (offset, mut bytes) = (u64::from(PIECE_LEN), [0; 100]);
        assert_eq!(part.read(offset, &mut bytes), Ok(()));
        part.finish().unwrap();
        assert_eq!(part.read(offset, &mut bytes), Ok(()));
        let other = File::options().write(true).open(&path).unwrap();
        other.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(part.read_ready(offset, &mut bytes), Ok(true));
        assert_eq!(part.read(offset, &mut bytes), Err(DiskError::Changed));
    }

    #[test]
    fn where_a_file_system_cannot_rename_so_a_second_name_does_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, 5, false).unwrap();
        part.folder.link_new(&part.names.part, &part.names.last).unwrap();
        assert!(path.exists() && !folder.path().join("file.part").exists());
    }

    #[test]
    fn places_where_nothing_can_be_written_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let error = |name: &str, resume| open(&at(name), 1, resume).err();
        assert_eq!(error("none/file", false), Some(DiskError::NoFolder));
        std::fs::write(at("file"), b"").unwrap();
        assert_eq!(error("file/file", false), Some(DiskError::NoFolder));
        assert_eq!(error("file", false), Some(DiskError::Exists));
        assert_eq!(error("..", false), Some(DiskError::NotAFile));
        std::os::unix::fs::symlink("/nowhere", at("link")).unwrap();
        assert_eq!(error("link", false), Some(DiskError::Exists));
        std::os::unix::fs::symlink("/nowhere", at("trap.part")).unwrap();
        assert_eq!(error("trap", false), Some(DiskError::Exists));
        assert_eq!(error("trap", true), Some(DiskError::Exists), "a link is not followed");
    }

    #[test]
    fn a_folder_without_the_right_to_write_is_denied() {
        if rustix::process::geteuid().is_root() {
            return; // Root may write anywhere.
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(open(&folder.path().join("file"), 1, false).err(), Some(DiskError::Denied));
    }

    #[test]
    fn more_than_fits_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let error = open(&folder.path().join("file"), Size::MAX.bytes(), false).err();
        assert_eq!(error, Some(DiskError::DiskFull));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_partial_file_is_resumed_only_by_who_began_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        let held = vec![write(&part, 0), write(&part, 2)];
        part.sync().unwrap();
        drop(part);
        assert_eq!(open(&path, LEN, false).err(), Some(DiskError::Exists));
        let (part, found) = open(&path, LEN, true).unwrap();
        assert_eq!(found, held);
        let mut bytes = vec![0; PIECE_LEN as usize];
        part.read(2 * u64::from(PIECE_LEN), &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 3));
    }

    #[test]
    fn what_was_not_synced_is_read_back_before_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        let synced = write(&part, 0);
        part.sync().unwrap();
        let good = write(&part, 1);
        write(&part, 2);
        part.file.write_all_at(&[99], 2 * u64::from(PIECE_LEN) + 7).unwrap();
        part.file.write_all_at(&[99], 7).unwrap();
        drop(part);
        let (part, found) = open(&path, LEN, true).unwrap();
        assert_eq!(found, vec![synced, good], "the damaged one does not count; the synced one is not read");
        part.sync().unwrap();
        drop(part);
        assert_eq!(open(&path, LEN, true).unwrap().1, vec![synced, good], "no mark vouches for it later");
    }

    #[test]
    fn a_partial_file_of_another_length_is_read_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        let first = write(&part, 0);
        write(&part, 2);
        part.sync().unwrap();
        part.file.set_len(u64::from(PIECE_LEN)).unwrap();
        drop(part);
        assert_eq!(open(&path, LEN, true).unwrap().1, vec![first]);
    }

    #[test]
    fn a_journal_without_its_partial_file_vouches_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        write(&part, 0);
        part.sync().unwrap();
        std::fs::remove_file(folder.path().join("file.part")).unwrap();
        drop(part);
        assert_eq!(open(&path, LEN, true).unwrap().1, vec![]);
        assert_eq!(open(&path, LEN, true).unwrap().1, vec![], "nor at the next start");
    }

    #[test]
    fn a_journal_of_another_content_starts_afresh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (part, _) = open(&path, LEN, false).unwrap();
        write(&part, 0);
        part.sync().unwrap();
        drop(part);
        let (part, found) = open(&path, LEN - 1, true).unwrap();
        assert!(found.is_empty());
        assert_eq!(part.file.metadata().unwrap().len(), LEN - 1);
        let mut byte = [9];
        part.file.read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(byte, [0], "nothing of the other content is left");
    }

    #[test]
    fn a_stray_file_in_the_journals_place_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let stray = folder.path().join("file.part.journal");
        std::fs::write(&stray, b"dear diary").unwrap();
        assert_eq!(open(&folder.path().join("file"), LEN, false).err(), Some(DiskError::Exists));
        assert_eq!(std::fs::read(&stray).unwrap(), b"dear diary");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_downloads_never_share_a_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (first, _) = open(&path, LEN, false).unwrap();
        assert!(matches!(open(&path, LEN, true), Err(DiskError::Other(_))));
        drop(first);
        assert!(open(&path, LEN, true).is_ok());
    }

    #[test]
    fn the_longest_names_work() {
        let folder = tempfile::tempdir().unwrap();
        let same = "é".repeat(127);
        let open_at_once: Vec<_> = ["x", "y"]
            .into_iter()
            .map(|last| {
                let path = folder.path().join(format!("{same}{last}"));
                let (part, _) = open(&path, 3, false).unwrap();
                assert!(part.names.journal.len() <= NAME_LEN_MAX && part.names.part.to_str().is_some());
                (path, part)
            })
            .collect();
        for (path, part) in open_at_once {
            part.finish().unwrap();
            assert!(path.exists());
        }
    }
}
