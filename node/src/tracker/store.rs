//! What a tracker keeps on disk beside its key: a secret, its standing among the others, a snapshot and the log after it, in one redb file.
//!
//! Invariants:
//! - A batch is one transaction, and `Durable` only when it is synced.
//! - `DiskFull` means that nothing of the transaction is on disk, and that the store goes on.
//! - The log begins right after the snapshot and has no gap.
//! - Every stored value carries its BLAKE3 sum, so a damaged file is noticed at the start and never served.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use engine::tracker::io::{Batch, Outcome, Stored};
use rand::TryRng as _;
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError,
    WriteTransaction,
};

use super::disk::{DiskFile, Faults};
use crate::data_dir::DataDir;

/// The store's file in the data folder.
const FILE: &str = "tracker.redb";

/// The number of this layout of the store.
const FORMAT: u64 = 3;

/// Facts by name: `format`, `secret`, `standing`, `snapshot` (index, length and sum).
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Sum and encoded entry by log index.
const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// The bytes of the snapshot, in chunks by number.
const SNAPSHOT: TableDefinition<u64, &[u8]> = TableDefinition::new("snapshot");

/// Bytes in a row of a snapshot: a row is written at once and wants contiguous pages.
const CHUNK_LEN: usize = 1024 * 1024;

/// Bytes of the sum before a command.
const SUM_LEN: usize = 16;

/// Bytes that redb may keep in memory: the registry is in memory anyway, and the log is only written.
const CACHE_LEN: usize = 16 * 1024 * 1024;

/// Why the store cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// Its bytes are not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another version of this program wrote it.
    Version {
        /// The file.
        path: PathBuf,
        /// The number of its layout.
        format: u64,
    },
    /// The disk, or the system.
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Damaged { path, what } => write!(
                f,
                "the store {} is damaged ({what}); put back a copy of the data folder, or name a new one with --data-dir",
                path.display()
            ),
            StoreError::Version { path, format } => write!(
                f,
                "the store {} has layout {format}, and this program knows {FORMAT}; run the version that wrote it",
                path.display()
            ),
            StoreError::Io { path, error } => write!(
                f,
                "the store {} cannot be used ({error}); look after its disk, then start again: nothing acknowledged is lost",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// The store of a tracker.
#[derive(Debug)]
pub struct Store {
    db: Database,
    faults: Arc<Faults>,
    dir: Arc<DataDir>,
    secret: [u8; 32],
    /// Whether the last transaction found the disk full.
    full: bool,
}

/// How far the store is: what tells whether a transaction happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Head {
    standing: Option<Box<[u8]>>,
    snapshot: Option<u64>,
    last: Option<u64>,
}

impl Store {
    /// Opens the store in `dir`, or makes it, with a new secret.
    ///
    /// # Errors
    /// If it is damaged or of another version, or the disk does not let us.
    pub fn open(dir: Arc<DataDir>) -> Result<Store, StoreError> {
        let (db, faults) = open_database(&dir)?;
        let secret = secret(&db).map_err(|fault| fault.at(&dir))?;
        Ok(Store { db, faults, dir, secret, full: false })
    }

    /// What this tracker never tells: where its machine's randomness comes from, since its first start.
    #[must_use]
    pub fn secret(&self) -> [u8; 32] {
        self.secret
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> Arc<DataDir> {
        Arc::clone(&self.dir)
    }

    /// Everything that was stored.
    ///
    /// # Errors
    /// If it is damaged, or cannot be read.
    pub fn load(&self) -> Result<Stored, StoreError> {
        guarded(|| load(&self.db)).map_err(|fault| fault.at(&self.dir))
    }

    /// The error for content that is what was written, but makes no sense.
    #[must_use]
    pub fn damaged(&self, what: &str) -> StoreError {
        Fault::Damaged(what.into()).at(&self.dir)
    }

    /// Writes a batch, synced.
    ///
    /// # Errors
    /// If the disk fails other than by being full: whether the batch is stored is then unknown.
    pub fn persist(&mut self, batch: &Batch) -> Result<Outcome, StoreError> {
        self.commit(|transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("standing", &*batch.standing)?;
            let mut log = transaction.open_table(LOG)?;
            let mut chunks = transaction.open_table(SNAPSHOT)?;
            if batch.clears {
                meta.remove("snapshot")?;
                log.retain(|_, _| false)?;
                chunks.retain(|_, _| false)?;
            }
            if let Some((index, bytes)) = &batch.snapshot {
                chunks.retain(|_, _| false)?;
                for (number, chunk) in (0..).zip(bytes.chunks(CHUNK_LEN)) {
                    chunks.insert(number, chunk)?;
                }
                let head = SnapshotHead {
                    index: *index,
                    len: bytes.len() as u64,
                    sum: *blake3::hash(bytes).as_bytes(),
                };
                meta.insert("snapshot", head.encode().as_slice())?;
                log.retain_in(..=*index, |_, _| false)?;
            }
            if let Some((first, _)) = batch.entries.first() {
                log.retain_in(*first.., |_, _| false)?;
            }
            for (index, entry) in &batch.entries {
                let follows = log.last()?.is_none_or(|(last, _)| last.value() + 1 == *index);
                assert!(follows, "the log has no gap and no second entry {index}");
                log.insert(index, [&sum(*index, entry)[..], entry].concat().as_slice())?;
            }
            Ok(())
        })
    }

    /// Writes down what a tracker begins with.
    ///
    /// # Errors
    /// If the disk fails, or is full.
    pub fn begin(&mut self, stored: Stored) -> Result<(), StoreError> {
        let Stored { standing, snapshot, entries } = stored;
        let batch = Batch { standing: standing.unwrap_or_default(), snapshot, clears: true, entries };
        match self.persist(&batch)? {
            Outcome::DiskFull => Err(Fault::Io("the disk is full".into()).at(&self.dir)),
            _ => Ok(()),
        }
    }

    /// What fails on the disk, for tests.
    #[cfg(test)]
    pub(super) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    fn commit(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<Outcome, StoreError> {
        let before = self.head()?;
        match transact(&self.db, change) {
            Ok(()) => {
                self.note_full(false);
                Ok(Outcome::Durable)
            }
            Err(error) if self.faults.only_full() => {
                self.note_full(true);
                self.reopen()?;
                // A transaction that stands although its writes failed would be a riddle: better to start over from what is on disk.
                if self.head()? == before { Ok(Outcome::DiskFull) } else { Err(self.broken(error)) }
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Says once that the disk is full, and once that it no longer is.
    fn note_full(&mut self, full: bool) {
        match (self.full, full) {
            (false, true) => tracing::warn!(
                path = %self.dir.path().display(),
                "the disk is full: changes are refused until there is room on it"
            ),
            (true, false) => tracing::warn!("the disk has room again: changes are taken"),
            _ => {}
        }
        self.full = full;
    }

    /// redb refuses everything after a failed write, until its file is opened anew.
    fn reopen(&mut self) -> Result<(), StoreError> {
        (self.db, self.faults) = open_database(&self.dir)?;
        Ok(())
    }

    fn head(&self) -> Result<Head, StoreError> {
        head(&self.db).map_err(|fault| fault.at(&self.dir))
    }

    fn broken(&self, error: redb::Error) -> StoreError {
        Fault::from(error).at(&self.dir)
    }
}

/// What is wrong, before it is known where.
#[derive(Debug)]
enum Fault {
    Damaged(String),
    Version(u64),
    Io(Box<dyn std::error::Error + Send + Sync>),
}

impl Fault {
    fn at(self, dir: &DataDir) -> StoreError {
        let path = dir.file(FILE);
        match self {
            Fault::Damaged(what) => StoreError::Damaged { path, what },
            Fault::Version(format) => StoreError::Version { path, format },
            Fault::Io(error) => StoreError::Io { path, error },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        match error.into() {
            redb::Error::Corrupted(what) => Fault::Damaged(what),
            redb::Error::Io(error) if is_damage(&error) => Fault::Damaged(error.to_string()),
            redb::Error::Io(error) => Fault::Io(error.into()),
            error @ (redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }) => Fault::Damaged(error.to_string()),
            error => Fault::Io(error.into()),
        }
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
}

/// Runs `read`; a panic in redb, which trusts the bytes of its file, means that they are damaged.
fn guarded<T>(read: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Fault::Damaged("its pages do not fit together".into())))
}

fn open_database(dir: &DataDir) -> Result<(Database, Arc<Faults>), StoreError> {
    let faults = Arc::new(Faults::default());
    let open = || {
        let file = dir.open_file(FILE).map_err(|error| Fault::Io(error.into()))?;
        let file = DiskFile { file, faults: Arc::clone(&faults) };
        Ok(Builder::new().set_cache_size(CACHE_LEN).create_with_backend(file)?)
    };
    let db = guarded(open).map_err(|fault| fault.at(dir))?;
    Ok((db, faults))
}

fn transact(
    db: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    change(&transaction)?;
    Ok(transaction.commit()?)
}

/// The secret in the store; at the first start, a new one.
fn secret(db: &Database) -> Result<[u8; 32], Fault> {
    if let Some(secret) = guarded(|| read_secret(db))? {
        return Ok(secret);
    }
    let mut secret = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut secret).map_err(|error| Fault::Io(error.into()))?;
    transact(db, |transaction| {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
        meta.insert("secret", secret.as_slice())?;
        transaction.open_table(LOG)?;
        transaction.open_table(SNAPSHOT)?;
        Ok(())
    })?;
    Ok(secret)
}

fn read_secret(db: &Database) -> Result<Option<[u8; 32]>, Fault> {
    let meta = match db.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta?,
    };
    let format = meta.get("format")?.and_then(|value| value.value().try_into().ok());
    match format.map(u64::from_le_bytes) {
        Some(FORMAT) => {}
        Some(format) => return Err(Fault::Version(format)),
        None => return Err(Fault::Damaged("it does not say its format".into())),
    }
    let secret = meta.get("secret")?.and_then(|value| value.value().try_into().ok());
    secret.map(Some).ok_or_else(|| Fault::Damaged("its secret is missing".into()))
}

fn head(db: &Database) -> Result<Head, Fault> {
    let transaction = db.begin_read()?;
    let snapshot = SnapshotHead::read(&transaction)?.map(|head| head.index);
    let last = transaction.open_table(LOG)?.last()?.map(|(index, _)| index.value());
    Ok(Head { standing: standing(&transaction)?, snapshot, last })
}

fn standing(transaction: &redb::ReadTransaction) -> Result<Option<Box<[u8]>>, Fault> {
    Ok(transaction.open_table(META)?.get("standing")?.map(|value| value.value().into()))
}

fn load(db: &Database) -> Result<Stored, Fault> {
    let transaction = db.begin_read()?;
    let snapshot = match SnapshotHead::read(&transaction)? {
        Some(head) => Some((head.index, head.registry(&transaction)?)),
        None => None,
    };
    let mut entries = Vec::new();
    let mut expected = snapshot.as_ref().map(|(index, _)| index + 1);
    for row in transaction.open_table(LOG)?.iter()? {
        let (index, value) = row?;
        let index = index.value();
        if expected.is_some_and(|expected| expected != index) {
            return Err(Fault::Damaged(format!("entries before {index} are missing from its log")));
        }
        expected = Some(index + 1);
        entries.push((index, unsealed(index, value.value())?));
    }
    Ok(Stored { standing: standing(&transaction)?, snapshot, entries })
}

/// The entry in a row of the log, if its sum is right.
fn unsealed(index: u64, row: &[u8]) -> Result<Box<[u8]>, Fault> {
    match row.split_at_checked(SUM_LEN) {
        Some((stored, command)) if stored == sum(index, command) => Ok(command.into()),
        _ => Err(Fault::Damaged(format!("entry {index} of its log has a wrong checksum"))),
    }
}

/// The index is part of the sum, so that an entry in another's place is noticed.
fn sum(index: u64, command: &[u8]) -> [u8; SUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&index.to_le_bytes()).update(command);
    let mut sum = [0; SUM_LEN];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// What the store says about its snapshot.
struct SnapshotHead {
    index: u64,
    len: u64,
    sum: [u8; 32],
}

impl SnapshotHead {
    fn encode(&self) -> Vec<u8> {
        [&self.index.to_le_bytes()[..], &self.len.to_le_bytes(), &self.sum].concat()
    }

    fn read(transaction: &redb::ReadTransaction) -> Result<Option<SnapshotHead>, Fault> {
        let meta = transaction.open_table(META)?;
        let Some(value) = meta.get("snapshot")? else { return Ok(None) };
        let bytes: [u8; 48] = value
            .value()
            .try_into()
            .map_err(|_| Fault::Damaged("the head of its snapshot has a wrong length".into()))?;
        let (mut index, mut len, mut sum) = ([0; 8], [0; 8], [0; 32]);
        index.copy_from_slice(&bytes[..8]);
        len.copy_from_slice(&bytes[8..16]);
        sum.copy_from_slice(&bytes[16..]);
        Ok(Some(SnapshotHead { index: u64::from_le_bytes(index), len: u64::from_le_bytes(len), sum }))
    }

    fn registry(&self, transaction: &redb::ReadTransaction) -> Result<Box<[u8]>, Fault> {
        let mut registry = Vec::new();
        for row in transaction.open_table(SNAPSHOT)?.iter()? {
            registry.extend_from_slice(row?.1.value());
        }
        if registry.len() as u64 != self.len || *blake3::hash(&registry).as_bytes() != self.sum {
            return Err(Fault::Damaged("its snapshot has a wrong checksum".into()));
        }
        Ok(registry.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::Ordering;

    fn open(folder: &Path) -> Result<Store, StoreError> {
        Store::open(Arc::new(DataDir::open(folder).unwrap()))
    }

    fn log(entries: &[(u64, Box<[u8]>)]) -> Batch {
        Batch { standing: (*b"in term 1").into(), entries: entries.to_vec(), ..Batch::default() }
    }

    fn snapshot(index: u64, bytes: &[u8]) -> Batch {
        Batch { snapshot: Some((index, bytes.into())), ..log(&[]) }
    }

    fn stored(snapshot: Option<(u64, Box<[u8]>)>, entries: Vec<(u64, Box<[u8]>)>) -> Stored {
        Stored { standing: Some((*b"in term 1").into()), snapshot, entries }
    }

    fn entries(range: std::ops::Range<u64>) -> Vec<(u64, Box<[u8]>)> {
        range.map(|index| (index, format!("command {index}").into_bytes().into())).collect()
    }

    #[test]
    fn what_was_stored_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        let secret = store.secret();
        assert_eq!(store.load().unwrap(), Stored::default());
        assert_eq!(store.persist(&log(&entries(1..4))).unwrap(), Outcome::Durable);
        assert_eq!(store.persist(&log(&entries(4..5))).unwrap(), Outcome::Durable);
        drop(store);
        let store = open(folder.path()).unwrap();
        assert_eq!(store.secret(), secret);
        assert_eq!(store.load().unwrap(), stored(None, entries(1..5)));
    }

    #[test]
    fn a_snapshot_takes_the_place_of_the_entries_up_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        store.persist(&log(&entries(1..6))).unwrap();
        let large: Box<[u8]> = (0..=250).cycle().take(3 * CHUNK_LEN + 7).collect();
        assert_eq!(store.persist(&snapshot(3, &large)).unwrap(), Outcome::Durable);
        assert_eq!(store.load().unwrap(), stored(Some((3, large)), entries(4..6)));
        assert_eq!(store.persist(&snapshot(5, b"small")).unwrap(), Outcome::Durable);
        store.persist(&log(&entries(6..7))).unwrap();
        drop(store);
        let expected = stored(Some((5, (*b"small").into())), entries(6..7));
        assert_eq!(open(folder.path()).unwrap().load().unwrap(), expected);
    }

    #[test]
    fn entries_take_the_place_of_those_from_the_first_of_them_on_and_a_new_beginning_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        store.persist(&log(&entries(1..6))).unwrap();
        let other: Vec<(u64, Box<[u8]>)> = vec![(4, (*b"another").into())];
        store.persist(&log(&other)).unwrap();
        let expected = [entries(1..4), other].concat();
        assert_eq!(store.load().unwrap(), stored(None, expected));
        store.persist(&Batch { clears: true, ..snapshot(9, b"nine") }).unwrap();
        assert_eq!(store.load().unwrap(), stored(Some((9, (*b"nine").into())), vec![]));
        store.persist(&Batch { clears: true, ..log(&[]) }).unwrap();
        assert_eq!(store.load().unwrap(), stored(None, vec![]));
    }

    #[test]
    fn two_trackers_have_two_secrets() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [first, second] = folders.each_ref().map(|folder| open(folder.path()).unwrap().secret());
        assert_ne!(first, second);
    }

    /// A copy of the file while the store is open is what a crash would leave.
    #[test]
    fn a_crash_loses_nothing_that_was_durable() {
        let (folder, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut store = open(folder.path()).unwrap();
        store.persist(&log(&entries(1..3))).unwrap();
        store.persist(&snapshot(2, b"two")).unwrap();
        store.persist(&log(&entries(3..9))).unwrap();
        std::fs::copy(folder.path().join(FILE), crashed.path().join(FILE)).unwrap();
        let expected = stored(Some((2, (*b"two").into())), entries(3..9));
        assert_eq!(open(crashed.path()).unwrap().load().unwrap(), expected);
    }

    #[test]
    fn a_full_disk_keeps_what_was_there_and_the_store_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        store.persist(&log(&entries(1..3))).unwrap();
        let large = vec![7; 8 * CHUNK_LEN];
        for _ in 0..2 {
            store.faults.len_max.store(1, Ordering::Release);
            assert_eq!(store.persist(&log(&[(3, large.clone().into())])).unwrap(), Outcome::DiskFull);
            store.faults.len_max.store(1, Ordering::Release);
            assert_eq!(store.persist(&snapshot(2, &large)).unwrap(), Outcome::DiskFull);
            assert_eq!(store.load().unwrap(), stored(None, entries(1..3)));
        }
        assert_eq!(store.persist(&log(&entries(3..4))).unwrap(), Outcome::Durable);
        assert_eq!(store.load().unwrap().entries, entries(1..4));
    }

    #[test]
    fn a_failed_sync_is_an_error_even_if_the_disk_was_full() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        store.faults().break_syncs();
        let error = store.persist(&log(&entries(1..2))).unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(error.to_string().contains("look after its disk"), "{error}");
    }

    #[test]
    #[should_panic(expected = "the log has no gap")]
    fn a_gap_in_the_log_is_a_mistake_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        store.persist(&log(&entries(1..2))).unwrap();
        let _ = store.persist(&log(&entries(3..4)));
    }

    #[test]
    fn another_layout_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        transact(&store.db, |transaction| {
            transaction.open_table(META)?.insert("format", 9_u64.to_le_bytes().as_slice())?;
            Ok(())
        })
        .unwrap();
        drop(store);
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Version { format: 9, .. }), "{error}");
    }

    /// Whatever is overwritten, the store is refused or serves exactly what was written.
    #[test]
    fn damage_is_noticed_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path()).unwrap();
        store.persist(&log(&entries(1..40))).unwrap();
        store.persist(&snapshot(9, &vec![5; 3 * CHUNK_LEN])).unwrap();
        let expected = store.load().unwrap();
        drop(store);
        let path = folder.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        let mut refused = 0;
        for place in (0..good.len()).step_by(good.len() / 31) {
            let mut bad = good.clone();
            let end = (place + 600).min(bad.len());
            bad[place..end].fill(0xa5);
            std::fs::write(&path, &bad).unwrap();
            match open(folder.path()).and_then(|store| store.load()) {
                Ok(stored) => assert!(stored == expected, "wrong content after damage at {place}"),
                Err(error) => refused += usize::from(matches!(error, StoreError::Damaged { .. })),
            }
        }
        assert!(refused > 3, "{refused}");
        std::fs::write(&path, b"not a store, but a text that somebody put here").unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}
