//! Every maximum of the engine, with the arithmetic that justifies it.
//!
//! A queue, table or loop that input from outside can grow has its bound here.

use crate::time::Span;

/// Longest name, in bytes: what common file systems allow for one path component.
pub const NAME_LEN_MAX: usize = 255;

/// Longest body of a frame, in bytes: a chunk of a piece and its head of 12 bytes.
pub const FRAME_LEN_MAX: usize = CHUNK_LEN_MAX + 12;

/// What decoding one message may allocate, in bytes, as the sum over its collections. A frame of 64 KiB decodes into less.
pub const DECODE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a piece in one data frame. A message behind it waits for 64 KiB, which is 0.5 ms at 1 Gbit/s.
pub const CHUNK_LEN_MAX: usize = 64 * 1024;

/// Most pieces of a file: 2^21 x 512 KiB = 1 TiB.
pub const PIECES_MAX: u32 = 1 << 21;

/// Piece hashes in one message: 3,000 x 20 bytes = 60,000 bytes, inside a frame.
pub const HASHES_PER_MESSAGE: usize = 3_000;

/// Bytes of a bit map in one message: 32 KiB = 262,144 pieces.
pub const BITS_BYTES_PER_MESSAGE: usize = 32 * 1024;

/// Pieces in one message of news: 5,000 x at most 5 bytes = 25,000 bytes, inside a frame.
pub const HAVES_PER_MESSAGE: usize = 5_000;

/// Rows in one page of a listing: a row is at most two names and some numbers, 600 bytes; 100 x 600 = 60,000 bytes.
pub const ROWS_PER_PAGE: usize = 100;

/// Rows of a listing that a client gathers before it gives up: 100,000 rows x about 300 bytes = 30 MB.
pub const ROWS_MAX: usize = 100_000;

/// Peers in one answer to an announce: 50 x at most 320 bytes = 16,000 bytes. 20 to 40 neighbours are enough.
pub const PEERS_PER_ANSWER: usize = 50;

/// Announcements in one message: 100 x at most 570 bytes = 57,000 bytes.
pub const ANNOUNCES_PER_MESSAGE: usize = 100;

/// Notices kept for a user who is away, and sent with the answer to a login: 100 x at most 520 bytes = 52,000 bytes.
pub const INBOX_MAX: usize = 100;

/// Names that one refusal lists: enough to find somebody to talk to.
pub const NAMES_IN_REFUSAL_MAX: usize = 5;

/// Messages on their way out of one link; the shell's queue has as many places. 256 x at most 64 KiB = 16 MiB, reached only by somebody
/// who asks for full pages and reads none; ordinary messages have 20 bytes.
pub const LINK_CREDIT: u32 = 256;

/// Requests of one client that a tracker has not answered yet. A client sends no more.
pub const REQUESTS_PER_LINK: usize = 16;

/// Requests of this client that wait for a tracker: a person types few, a script one after the other.
pub const REQUESTS_WAITING_MAX: usize = 1_024;

/// Commands of the person under way at once.
pub const COMMANDS_MAX: usize = 256;

/// Jobs under way at once; the shell's queue has as many places.
pub const JOBS_MAX: usize = 512;

/// Links of one peer: 200 neighbours for all files together.
pub const LINKS_MAX: usize = 200;

/// Links that one address may open to a tracker or a peer: a lab behind one router.
pub const LINKS_PER_ADDRESS: usize = 128;

/// Links of one tracker.
pub const TRACKER_LINKS_MAX: usize = 20_000;

/// Neighbours that a download seeks: trials found 20 to 40 to be enough.
pub const NEIGHBOURS_WANTED: usize = 30;

/// Files that one client shares and fetches at once.
pub const FILES_MAX: usize = 20_000;

/// Files that a remote may name on one link.
pub const FILES_PER_LINK: usize = 20_000;

/// Buffers of one piece for arriving data: 24 x 512 KiB = 12 MiB.
pub const SLOTS: u16 = 24;

/// Upload slots granted at once, over all links. A piece that has to come from the disk is held until it has left: 8 x 512 KiB = 4 MiB.
pub const GRANTS_MAX: usize = 8;

/// Requests for a slot that wait at an uploader. Two keep an uplink busy; more only strand peers (Mundinger's bound is met within 3 %).
pub const UPLOAD_QUEUE_MAX: usize = 2;

/// Requests for a slot, or for a piece, that one downloader has at one uploader.
pub const OUTSTANDING_PER_LINK: usize = 8;

/// Pieces received well before rarest first begins.
pub const RANDOM_FIRST_PIECES: u32 = 4;

/// Copies of one piece under way at once in the end game.
pub const END_GAME_COPIES: usize = 2;

/// The same, with those counted that are late: all may have been asked of slow peers.
pub const END_GAME_COPIES_MAX: usize = 4;

/// A copy is late after four times what a piece usually takes, and not before this: on fast links a hiccup is longer than pieces take.
pub const COPY_PATIENCE: Span = Span::from_millis(200);

/// Bad pieces after which a device is banned; after the first it is asked only when nobody else can help.
pub const BAD_PIECES_BAN: u32 = 3;

/// Devices remembered as banned, and devices whose membership is remembered: 4,096 x about 100 bytes each.
pub const DEVICES_REMEMBERED_MAX: usize = 4_096;

/// Files in one group, groups in all, members in one group, groups of one user: 10,000 groups x 1,000 members are 10^7 rows of about 100 bytes.
pub const GROUPS_MAX: usize = 100_000;
/// Members of one group: 131,072 x about 100 bytes = 13 MB, were one group to have everybody.
pub const MEMBERS_PER_GROUP: usize = 1 << 17;
/// Files listed in one group.
pub const FILES_PER_GROUP: usize = 100_000;
/// Requests to join one group that wait for an answer.
pub const JOIN_REQUESTS_PER_GROUP: usize = 1_000;
/// Accounts.
pub const USERS_MAX: usize = 2_000_000;
/// Devices remembered for retries and for the exact answer to a failed login; the oldest is forgotten first.
pub const DEVICES_MAX: usize = 2_000_000;

/// Swarm entries that one device may have: one for each file it shares or fetches.
pub const SWARM_ENTRIES_PER_LINK: usize = FILES_MAX;

/// Changes that wait at a tracker for their agreement: 4,096 x about 600 bytes = 2.4 MB.
pub const PROPOSALS_MAX: usize = 4_096;

/// Trackers of one cluster; the list has as many lines at most.
pub const MEMBERS_MAX: usize = 16;

/// Bytes of one entry of the log: the longest command has two names, a key and some numbers, 700 bytes.
pub const ENTRY_LEN_MAX: usize = 2_048;

/// Bytes of entries in one message between trackers, but for the first entry: with heads inside a frame of 64 KiB.
pub const APPEND_LEN_MAX: usize = 32 * 1024;

/// Entries in one message between trackers: `raft` counts at least 4 bytes for each.
pub const ENTRIES_PER_MESSAGE: usize = APPEND_LEN_MAX / 4 + 1;

/// Messages with entries under way to one tracker: 64 x 32 KiB = 2 MiB. A link has credit for four times as many.
pub const APPENDS_IN_FLIGHT: usize = 64;

/// Bytes of entries that are not agreed yet: 8 MiB are 13,000 changes, three times what may wait for an answer at one tracker.
pub const UNCOMMITTED_LEN_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of a message's context: a number, or a word of `raft`.
pub const RAFT_CONTEXT_LEN_MAX: usize = 64;

/// Bytes of the registry in one message.
pub const SNAPSHOT_PART_LEN_MAX: usize = 48 * 1024;

/// Bytes of a registry that a tracker takes from another: far more than a tracker has memory for today.
pub const SNAPSHOT_LEN_MAX: u64 = 1 << 36;

/// Notes about clients in one message: 100 x at most 570 bytes = 57,000 bytes.
pub const NOTES_PER_MESSAGE: usize = 100;

/// How often `raft` counts. A leader says something every 2 counts, and is taken for dead after 14 to 27: 0.7 s to 1.35 s.
pub const TICK: Span = Span::from_millis(50);

/// How long a change waits for its agreement before whoever asked is told that there is none. Less than a client's patience.
pub const AGREEMENT_PATIENCE: Span = Span::from_secs(8);

/// How long a question waits for a leader before it is answered from what is known here, and said to be.
pub const LEADER_PATIENCE: Span = Span::from_secs(3);

/// How long the first of two trackers may be silent before its backup goes on alone.
pub const TAKEOVER: Span = Span::from_secs(10);

/// Log entries after which the registry is written whole and the log is cut, at least.
pub const SNAPSHOT_EVERY: u64 = 10_000;

/// Bytes of the registry for which the log may have an entry before it is cut, if that is more.
pub const REGISTRY_BYTES_PER_ENTRY: usize = 1_024;

/// Failed logins of a user from a network that are answered at once.
pub const LOGIN_TRIES_FREE: u32 = 5;
/// The longest wait between failed logins of a user from a network.
pub const LOGIN_WAIT_MAX: Span = Span::from_secs(60);
/// Pairs of user and network whose failed logins are remembered.
pub const LOGIN_TRIES_REMEMBERED: usize = 100_000;

/// A link that said nothing for this long is dead; the other side says something every third of it.
pub const IDLE: Span = Span::from_secs(90);

/// How long a handshake may take; the shell keeps it.
pub const HANDSHAKE: Span = Span::from_secs(5);

/// How long one frame may take from its first byte to its last; the shell keeps it. 64 KiB in 15 s is 4.3 KiB/s.
pub const FRAME: Span = Span::from_secs(15);

/// Users that a group's list of the removed holds: 100 x at most 264 bytes = 26,400 bytes, inside a frame.
pub const REMOVED_MAX: usize = 100;

/// How far a client can make the epochs of groups leap ahead at once: 2^32 such leaps, each a change in the log, would use them up.
pub const EPOCH_LEAP_MAX: u64 = 1 << 32;

/// Keys of trackers that a client takes tickets from: those of its list, and what they had before.
pub const SIGNERS_MAX: usize = 64;

/// Openings of files on one link that wait until both sides have shown their tickets; tickets of a link that are being verified.
pub const VOUCHES_PER_LINK: usize = 64;

/// Files remembered as listed, for when no tracker answers: 10,000 x at most 650 bytes = 6.5 MB, of names as long as they may be.
pub const LISTED_REMEMBERED_MAX: usize = 10_000;

/// Shares that are being looked at side by side after a login.
pub const OPENING_MAX: usize = 32;

/// Dials to peers under way at once.
pub const DIALS_MAX: usize = 16;

/// Peers of one file that are remembered for dialling: twice the neighbours wanted.
pub const CANDIDATES_MAX: usize = 64;

/// A piece faster than this is on a fast link, where more of them must be under way to hide the round trips.
pub const FAST_PIECE: Span = Span::from_millis(20);

/// Pieces under way between two peers, or granted at an uploader, on a link that is not fast: one moves while the next is arranged.
pub const OUTSTANDING_SLOW: usize = 2;

/// Pieces sent side by side on a fast uplink; on others they go one after another, so that each can be served on the sooner.
pub const SENDS_FAST: usize = 4;

/// How often downloads, uploads and waiting commands are looked over.
pub const SWEEP: Span = Span::from_secs(1);

/// How long news of pieces is gathered before it is sent.
pub const HAVE_DELAY: Span = Span::from_millis(5);

/// How often a download tells the tracker how far it is, and asks for peers if it has few.
pub const ANNOUNCE: Span = Span::from_secs(5);

/// How long a tracker of which something was asked may say nothing before it is asked whether it is there.
pub const TRACKER_QUIET: Span = Span::from_secs(1);

/// How long it may take to answer that. One that is cut off, or whose machine is dead, is left for the next after 5 s in all; writing a
/// registry of half a million users takes a tracker no longer.
pub const TRACKER_SILENCE: Span = Span::from_secs(4);

/// How long a command waits for a tracker.
pub const TRACKER_PATIENCE: Span = Span::from_secs(15);

/// The longest time between tries to reach a tracker.
pub const TRACKER_RETRY_MAX: Span = Span::from_secs(4);

/// How long nothing may come from a peer that owes a piece before the piece is asked of others; doubles each time it happens.
pub const STALL: Span = Span::from_secs(10);

/// How long a peer that could not be reached, or that left, is not dialled again.
pub const REDIAL: Span = Span::from_secs(10);

/// How long a slot or a place is kept free for somebody who says nothing, before another gets one as well: far longer than an answer takes.
pub const ANSWER_PATIENCE: Span = Span::from_secs(1);

/// How long a client that its person ends goes on with the pieces that it is sending: one takes that long at 256 KiB/s.
pub const LAST_SENDS: Span = Span::from_secs(2);

/// How long a granted slot may stay unused.
pub const GRANT_PATIENCE: Span = Span::from_secs(30);

/// How often a download that waits for room on the disk tries again.
pub const DISK_RETRY: Span = Span::from_secs(10);

/// Verified pieces after which a partial file is synced: 2,048 x 512 KiB = 1 GiB. After a crash what was written since is read back and
/// verified, which takes a second or two; a sync more often holds the writes up for as long.
pub const PIECES_PER_SYNC: u32 = 2_048;
