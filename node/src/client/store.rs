//! What a client remembers over restarts beside its key: how far its requests are numbered, and what each user shares and fetches.
//!
//! One `redb` file. Invariants: what was answered is synced; a number below the first of this run was used only by earlier runs.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bincode::{Decode, Encode};
use engine::id::Sha1;
use engine::name::{FileName, GroupName, Place, UserName};
use engine::peer::io::{Entry, EntryState, Stamp};
use engine::piece::{Content, Hashes};
use engine::refusal::DiskError;
use engine::wire::codec;
use rand::TryRng as _;
use rand::rngs::SysRng;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition};

use super::jobs::disk::{broken, disk_error};
use crate::data_dir::DataDir;

/// The file in the data folder.
pub(super) const FILE: &str = "client.redb";

/// Encoded (user, group, name) to encoded row.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// Numbers, by name.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const NEXT_SEQ: &str = "next_seq";

/// Request numbers that one run may use: more than it can send, so one sync at the start is enough.
const SEQS_PER_RUN: u64 = 1 << 32;

/// A run that begins a second later has numbers that are higher by so many bits: runs do not use them up faster.
const SEQS_PER_SECOND_BITS: u32 = 24;

/// Memory for pages of the database: its working set is a few rows.
const CACHE_BYTES: usize = 1024 * 1024;

/// A client's store.
pub(super) struct Store {
    dir: Arc<DataDir>,
    /// None after a failure that the database does not survive, until it is opened again.
    database: Mutex<Option<Database>>,
}

/// A file that a user shares or fetches, as it is stored.
#[derive(Encode, Decode)]
struct Row {
    content: Content,
    place: Vec<u8>,
    /// Of a complete file that is shared.
    stamp: Option<Stamp>,
    hashes: Option<Vec<Sha1>>,
}

impl Store {
    /// Opens the store in the data folder, which it holds from then on; gives the number of the first request of this run.
    pub(super) fn open(dir: Arc<DataDir>) -> Result<(Store, u64), StoreError> {
        let database = open_database(&dir)?;
        let first_seq = first_seq(&database)?;
        Ok((Store { dir, database: Mutex::new(Some(database)) }, first_seq))
    }

    /// Writes an entry down, synced.
    pub(super) fn remember(&self, entry: &Entry) -> Result<(), DiskError> {
        let (stamp, hashes) = match &entry.state {
            EntryState::Shared { stamp, hashes } => (Some(*stamp), Some(hashes)),
            EntryState::Partial { hashes } => (None, hashes.as_ref()),
        };
        let hashes = hashes.map(|hashes| hashes.list().to_vec());
        let row = Row { content: entry.content, place: entry.place.0.to_vec(), stamp, hashes };
        let (key, row) = (key(&entry.user, &entry.group, &entry.name), codec::encode(&row));
        self.run(|database| {
            let transaction = database.begin_write()?;
            transaction.open_table(ENTRIES)?.insert(key.as_slice(), row.as_slice())?;
            Ok(transaction.commit()?)
        })
    }

    /// Strikes an entry, synced.
    pub(super) fn forget(
        &self,
        user: &UserName,
        group: &GroupName,
        name: &FileName,
    ) -> Result<(), DiskError> {
        let key = key(user, group, name);
        self.run(|database| {
            let transaction = database.begin_write()?;
            transaction.open_table(ENTRIES)?.remove(key.as_slice())?;
            Ok(transaction.commit()?)
        })
    }

    /// All entries of a user.
    pub(super) fn recall(&self, user: &UserName) -> Result<Vec<Entry>, DiskError> {
        let prefix = codec::encode(user);
        self.run(|database| {
            let table = database.begin_read()?.open_table(ENTRIES)?;
            let mut entries = Vec::new();
            for item in table.range(prefix.as_slice()..)? {
                let (key, row) = item?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                entries.push(entry(key.value(), row.value())?);
            }
            Ok(entries)
        })
    }

    fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, DiskError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match &mut *database {
            Some(database) => work(database),
            closed => open_database(&self.dir).and_then(|opened| work(closed.insert(opened))),
        };
        result.map_err(|error| match error {
            StoreError::Io(error) => {
                *database = None;
                match disk_error(&error) {
                    DiskError::DiskFull => DiskError::DiskFull,
                    _ => broken(format_args!("cannot write {} ({error})", self.dir.file(FILE).display())),
                }
            }
            StoreError::Damaged(_) => DiskError::Other(error.to_string()),
        })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn open_database(dir: &DataDir) -> Result<Database, StoreError> {
    let file = dir.open_file(FILE)?;
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_file(file)?)
}

/// Sets request numbers aside for this run; gives the first of them.
fn first_seq(database: &Database) -> Result<u64, StoreError> {
    let transaction = database.begin_write()?;
    // Made here, so that it can be read before anything was written.
    transaction.open_table(ENTRIES)?;
    let mut meta = transaction.open_table(META)?;
    let after_last = read_meta(&meta, NEXT_SEQ)?.map_or(1, u64::from_le_bytes);
    // The time tells a folder that was restored from an old copy from the runs that came after that copy.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first_seq = after_last.max(since_epoch.as_secs() << SEQS_PER_SECOND_BITS);
    meta.insert(NEXT_SEQ, first_seq.saturating_add(SEQS_PER_RUN).to_le_bytes().as_slice())?;
    drop(meta);
    transaction.commit()?;
    Ok(first_seq)
}

fn read_meta<const LEN: usize>(
    meta: &redb::Table<'_, &str, &[u8]>,
    name: &str,
) -> Result<Option<[u8; LEN]>, StoreError> {
    let Some(value) = meta.get(name)? else { return Ok(None) };
    match value.value().try_into() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(StoreError::Damaged(format!("{name} is of a wrong length"))),
    }
}

/// Bytes from the system that nobody can guess.
pub(super) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn key(user: &UserName, group: &GroupName, name: &FileName) -> Vec<u8> {
    codec::encode(&(user, group, name))
}

fn entry(key: &[u8], row: &[u8]) -> Result<Entry, StoreError> {
    let damaged = |_| StoreError::Damaged("an entry does not decode".into());
    let (user, group, name) =
        codec::decode_stored::<(UserName, GroupName, FileName)>(key).map_err(damaged)?;
    let Row { content, place, stamp, hashes } = codec::decode_stored(row).map_err(damaged)?;
    let state = match (stamp, hashes.map(Hashes::new)) {
        (Some(stamp), Some(hashes)) => EntryState::Shared { stamp, hashes },
        (None, hashes) => EntryState::Partial { hashes },
        (Some(_), None) => return Err(StoreError::Damaged("a share has no piece hashes".into())),
    };
    Ok(Entry { user, group, name, content, place: Place(place.into()), state })
}

/// Why the store cannot be used.
#[derive(Debug)]
pub(super) enum StoreError {
    /// The disk says no.
    Io(io::Error),
    /// The database is not what was written.
    Damaged(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io(error) => error.fmt(f),
            StoreError::Damaged(how) => write!(
                f,
                "it is damaged ({how}): move {FILE} away to start with an empty one, and share the files again"
            ),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        StoreError::Io(error)
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> StoreError {
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                StoreError::Damaged(error.to_string())
            }
            redb::Error::Io(error) => StoreError::Io(error),
            redb::Error::PreviousIo => StoreError::Io(io::Error::other("an earlier failure of the disk")),
            other => StoreError::Damaged(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> StoreError {
                StoreError::from(redb::Error::from(error))
            }
        })*
    };
}

from_redb!(StorageError, redb::DatabaseError, redb::TransactionError, redb::TableError, redb::CommitError);

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::Blake3;
    use engine::piece::Size;

    fn store(folder: &std::path::Path) -> (Store, u64) {
        Store::open(Arc::new(DataDir::open(folder).unwrap())).unwrap()
    }

    fn entry(user: &str, name: &str, state: EntryState) -> Entry {
        let size = Size::new(7).unwrap();
        Entry {
            user: UserName::new(user).unwrap(),
            group: GroupName::new("g").unwrap(),
            name: FileName::new(name).unwrap(),
            content: Content { size, checksum: Blake3([1; 32]), hashes: Blake3([2; 32]) },
            place: Place(b"/somewhere/\xff".as_slice().into()),
            state,
        }
    }

    #[test]
    fn numbers_grow_from_run_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path()).1;
        assert!(store(folder.path()).1 >= first + SEQS_PER_RUN);
    }

    #[test]
    fn what_is_remembered_is_recalled_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = Stamp { inode: (1, 2), len: 7, modified: (-3, 4) };
        let shared = EntryState::Shared { stamp, hashes: Hashes::new(vec![Sha1([5; 20])]) };
        let (a, b) = (entry("ann", "a", shared), entry("ann", "b", EntryState::Partial { hashes: None }));
        let (store_1, _) = store(folder.path());
        let partial = EntryState::Partial { hashes: Some(Hashes::new(vec![Sha1([6; 20])])) };
        let c = entry("anna", "c", partial);
        for entry in [&a, &b, &c] {
            store_1.remember(entry).unwrap();
        }
        drop(store_1);
        let (store, _) = store(folder.path());
        assert_eq!(store.recall(&a.user).unwrap(), vec![a.clone(), b.clone()]);
        store.forget(&a.user, &a.group, &a.name).unwrap();
        assert_eq!(store.recall(&a.user).unwrap(), vec![b]);
        assert_eq!(store.recall(&c.user).unwrap(), vec![c]);
        assert_eq!(store.recall(&UserName::new("bob").unwrap()).unwrap(), vec![]);
    }

    #[test]
    fn a_damaged_store_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), vec![7; 10_000]).unwrap();
        let error = Store::open(Arc::new(DataDir::open(folder.path()).unwrap())).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
    }
}
