//! Every message survives the wire; nothing that comes over it hurts.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use proptest::collection::vec as many;
use proptest::prelude::*;

use super::codec::{decode, encode};
use super::few::Few;
use super::list::{List, SharedList};
use super::peer::{Open, PeerMessage};
use super::tracker::{
    Address, Announce, Answer, Change, ClientMessage, FileRow, GroupRow, GroupStanding, MemberRow, Notice,
    Page, PeerInfo, Request, Role, Standing, TrackerMessage,
};
use crate::id::{Blake3, DeviceId, FileId, Key, Salt, Sha1};
use crate::limits::{DECODE_BYTES_MAX, FRAME_LEN_MAX};
use crate::name::{FileName, GroupName, UserName};
use crate::piece::{Content, Size};
use crate::refusal::{DiskError, Refusal, Table};
use crate::ticket::{Expulsions, Membership, Removals, Signature, Signed, Ticket, UnixTime};

fn user() -> impl Strategy<Value = UserName> {
    "[a-zé ]{1,20}".prop_map(|text| UserName::new(&text).unwrap())
}

fn group() -> impl Strategy<Value = GroupName> {
    "[a-z]{1,255}".prop_map(|text| GroupName::new(&text).unwrap())
}

fn signed<T: core::fmt::Debug>(body: impl Strategy<Value = T>) -> impl Strategy<Value = Box<Signed<T>>> {
    (body, any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(body, signer, half)| {
        let mut signature = Signature([0; 64]);
        signature.0[..32].copy_from_slice(&half);
        Box::new(Signed { body, signer: DeviceId(signer), signature })
    })
}

fn ticket() -> impl Strategy<Value = Box<Ticket>> {
    let times = (any::<u64>(), any::<u64>(), any::<u64>());
    signed((group(), user(), any::<[u8; 32]>(), times).prop_map(
        |(group, user, device, (epoch, from, until))| {
            let (from, until) = (UnixTime(from), UnixTime(until));
            Membership { group, user, device: DeviceId(device), epoch, from, until }
        },
    ))
}

fn expulsions() -> impl Strategy<Value = Box<Signed<Expulsions>>> {
    let removals = (any::<u64>(), any::<u64>(), many((user(), any::<u64>()), 0..5))
        .prop_map(|(epoch, floor, removed)| Removals { epoch, floor, removed: List::new(removed) });
    signed((group(), removals).prop_map(|(group, removals)| Expulsions { group, removals }))
}

fn name() -> impl Strategy<Value = FileName> {
    "[a-z文]{1,80}".prop_map(|text| FileName::new(&text).unwrap())
}

fn file() -> impl Strategy<Value = FileId> {
    any::<u32>().prop_map(FileId)
}

fn peer_message() -> impl Strategy<Value = PeerMessage> {
    use PeerMessage as M;
    prop_oneof![
        (file(), group(), name(), any::<[u8; 32]>(), any::<u32>()).prop_map(
            |(file, group, name, hashes, count)| {
                M::Open(Box::new(Open { file, group, name, hashes: Blake3(hashes), count }))
            }
        ),
        file().prop_map(|file| M::Decline { file }),
        file().prop_map(|file| M::Close { file }),
        (file(), any::<u32>(), many(any::<u8>(), 0..300)).prop_map(|(file, from, bytes)| M::Bits {
            file,
            from,
            bytes: List::new(bytes)
        }),
        (file(), many(any::<u32>(), 0..300))
            .prop_map(|(file, pieces)| M::Have { file, pieces: Few::new(&pieces) }),
        file().prop_map(|file| M::Whole { file }),
        (file(), any::<u32>()).prop_map(|(file, from)| M::GetHashes { file, from }),
        (file(), any::<u32>(), many(any::<[u8; 20]>(), 0..30)).prop_map(|(file, from, list)| {
            M::Hashes { file, from, list: SharedList::new(list.into_iter().map(Sha1).collect()) }
        }),
        file().prop_map(|file| M::Ask { file }),
        (file(), any::<u16>()).prop_map(|(file, queue)| M::Queued { file, queue }),
        (file(), any::<u16>()).prop_map(|(file, queue)| M::Busy { file, queue }),
        (file(), any::<u16>()).prop_map(|(file, queue)| M::Free { file, queue }),
        file().prop_map(|file| M::Pass { file }),
        (file(), any::<u16>(), any::<Option<u32>>()).prop_map(|(file, queue, hint)| M::Grant {
            file,
            queue,
            hint
        }),
        file().prop_map(|file| M::Withdraw { file }),
        file().prop_map(|file| M::Withdrawn { file }),
        file().prop_map(|file| M::Return { file }),
        (file(), any::<u32>()).prop_map(|(file, piece)| M::Request { file, piece }),
        (file(), any::<u32>()).prop_map(|(file, piece)| M::Cancel { file, piece }),
        (file(), any::<u32>()).prop_map(|(file, piece)| M::Cancelled { file, piece }),
        prop_oneof![Just(M::Ping), Just(M::Pong), Just(M::Bye)],
        prop_oneof![
            ticket().prop_map(M::Show),
            group().prop_map(|group| M::Seen { group }),
            expulsions().prop_map(M::Expulsions),
        ],
    ]
}

fn content() -> impl Strategy<Value = Content> {
    (0..=Size::MAX.bytes(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(size, checksum, hashes)| {
        Content { size: Size::new(size).unwrap(), checksum: Blake3(checksum), hashes: Blake3(hashes) }
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        group().prop_map(|group| Change::CreateGroup { group }),
        group().prop_map(|group| Change::JoinGroup { group }),
        (group(), user()).prop_map(|(group, user)| Change::Accept { group, user }),
        (group(), user()).prop_map(|(group, user)| Change::Reject { group, user }),
        group().prop_map(|group| Change::Leave { group }),
        (group(), user()).prop_map(|(group, user)| Change::MakeAdmin { group, user }),
        (group(), user()).prop_map(|(group, user)| Change::RemoveMember { group, user }),
        (group(), name(), content()).prop_map(|(group, name, content)| Change::AddFile {
            group,
            name,
            content
        }),
        (group(), name()).prop_map(|(group, name)| Change::RemoveFile { group, name }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (user(), any::<[u8; 16]>(), any::<[u8; 32]>()).prop_map(|(user, salt, key)| Request::CreateUser {
            user,
            salt: Salt(salt),
            key: Key(key)
        }),
        user().prop_map(|user| Request::GetSalt { user }),
        (user(), any::<[u8; 32]>()).prop_map(|(user, key)| Request::Login { user, key: Key(key) }),
        Just(Request::Logout),
        change().prop_map(Request::Change),
        proptest::option::of(group()).prop_map(|after| Request::Groups { after }),
        (group(), proptest::option::of(user())).prop_map(|(group, after)| Request::Members { group, after }),
        (group(), proptest::option::of(user()))
            .prop_map(|(group, after)| Request::JoinRequests { group, after }),
        (group(), proptest::option::of(name())).prop_map(|(group, after)| Request::Files { group, after }),
        (group(), name()).prop_map(|(group, name)| Request::File { group, name }),
        (group(), any::<u64>()).prop_map(|(group, known)| Request::Ticket { group, known }),
    ]
}

fn client_message() -> impl Strategy<Value = ClientMessage> {
    let standing = prop_oneof![
        (any::<u32>(), any::<u32>()).prop_map(|(held, reachable)| Standing::Active { held, reachable }),
        Just(Standing::Gone)
    ];
    let announce = (group(), name(), any::<[u8; 32]>(), standing, any::<bool>()).prop_map(
        |(group, name, hashes, state, want_peers)| Announce {
            group,
            name,
            hashes: Blake3(hashes),
            state,
            want_peers,
        },
    );
    prop_oneof![
        any::<SocketAddr>().prop_map(|address| ClientMessage::Hello { listen: canonical(address) }),
        (any::<u64>(), request())
            .prop_map(|(seq, request)| ClientMessage::Request { seq, request: Box::new(request) }),
        many(announce, 0..5).prop_map(|items| ClientMessage::Announce(List::new(items))),
        prop_oneof![Just(ClientMessage::Ping), Just(ClientMessage::Bye)],
    ]
}

/// As an address comes back: IPv4 in its own form, without flow and scope.
fn canonical(address: SocketAddr) -> Address {
    Address(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        Just(Refusal::LogInFirst),
        user().prop_map(Refusal::UserExists),
        any::<u64>().prop_map(|wait_secs| Refusal::TooManyTries { wait_secs }),
        (group(), user()).prop_map(|(group, user)| Refusal::OutranksYou(group, user)),
        (group(), name(), many(user(), 0..=5)).prop_map(|(group, name, users)| Refusal::FileDiffers {
            group,
            name,
            sharers: List::new(users)
        }),
        Just(Refusal::Disk(DiskError::Other(String::from("words")))),
        Just(Refusal::Full(Table::Files)),
    ]
}

fn notice() -> impl Strategy<Value = Notice> {
    prop_oneof![
        (group(), user()).prop_map(|(group, user)| Notice::JoinRequested { group, user }),
        group().prop_map(|group| Notice::Accepted { group }),
        group().prop_map(|group| Notice::MadeOwner { group }),
    ]
}

fn peer_info() -> impl Strategy<Value = PeerInfo> {
    (any::<[u8; 32]>(), user(), any::<SocketAddr>(), any::<u32>()).prop_map(
        |(device, user, address, held)| PeerInfo {
            device: DeviceId(device),
            user,
            address: canonical(address),
            held,
        },
    )
}

fn file_row() -> impl Strategy<Value = FileRow> {
    (name(), content(), any::<u32>(), any::<bool>()).prop_map(|(name, content, seeders, available)| FileRow {
        name,
        content,
        seeders,
        leechers: seeders / 2,
        available,
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Done),
        any::<[u8; 16]>().prop_map(|salt| Answer::Salt(Salt(salt))),
        many(notice(), 0..5).prop_map(|inbox| Answer::LoggedIn { inbox: List::new(inbox) }),
        (many(group(), 0..5), any::<bool>()).prop_map(|(groups, more)| {
            let row = |group| GroupRow { group, members: 3, standing: GroupStanding::In(Role::Admin) };
            Answer::Groups(Page { rows: List::new(groups.into_iter().map(row).collect()), more })
        }),
        (many(user(), 0..5), any::<bool>()).prop_map(|(users, more)| {
            let row = |user| MemberRow { user, role: Role::Member, online: more };
            Answer::Members(Page { rows: List::new(users.into_iter().map(row).collect()), more })
        }),
        (many(file_row(), 0..5), any::<bool>())
            .prop_map(|(rows, more)| Answer::Files(Page { rows: List::new(rows), more })),
        (file_row(), many(user(), 0..=5), many(peer_info(), 0..5)).prop_map(|(row, sharers, peers)| {
            Answer::File { row: Box::new(row), sharers: List::new(sharers), peers: List::new(peers) }
        }),
        (ticket(), expulsions()).prop_map(|(ticket, expulsions)| Answer::Ticket { ticket, expulsions }),
    ]
}

fn tracker_message() -> impl Strategy<Value = TrackerMessage> {
    use TrackerMessage as M;
    prop_oneof![
        (any::<u64>(), answer()).prop_map(|(seq, answer)| M::Answer { seq, answer: Ok(Box::new(answer)) }),
        (any::<u64>(), refusal())
            .prop_map(|(seq, refusal)| M::Answer { seq, answer: Err(Box::new(refusal)) }),
        (group(), name(), many(peer_info(), 0..50), any::<u32>(), any::<u32>()).prop_map(
            |(group, name, peers, seeders, leechers)| {
                M::Swarm { group, name, peers: List::new(peers), seeders, leechers }
            }
        ),
        (group(), name()).prop_map(|(group, name)| M::NotListed { group, name }),
        notice().prop_map(M::Notice),
        (group(), user()).prop_map(|(group, user)| M::Expelled { group, user }),
        Just(M::Pong),
        expulsions().prop_map(M::Expulsions),
    ]
}

/// The bytes of a message, damaged in one of the ways of the world.
fn damaged(mut bytes: Vec<u8>, at: usize, how: u8) -> Vec<u8> {
    let at = at % (bytes.len() + 1);
    match how % 4 {
        0 => bytes.truncate(at),
        1 => bytes.push(how),
        2 if at < bytes.len() => bytes[at] ^= 1 << (how >> 2 & 7),
        _ => {
            bytes.truncate(at);
            bytes.extend([253, 255, 255, 255, 255, 255, 255, 255, 255]);
        }
    }
    bytes
}

macro_rules! survives {
    ($test:ident, $strategy:expr, $type:ty) => {
        proptest! {
            #[test]
            fn $test(message in $strategy, at: usize, how: u8) {
                let bytes = encode(&message);
                prop_assert!(bytes.len() <= FRAME_LEN_MAX);
                prop_assert_eq!(decode::<$type>(&bytes), Ok(message));
                if let Ok(other) = decode::<$type>(&damaged(bytes, at, how)) {
                    prop_assert_eq!(decode::<$type>(&encode(&other)), Ok(other));
                }
            }
        }
    };
}

survives!(what_peers_say_survives_the_wire, peer_message(), PeerMessage);
survives!(what_clients_say_survives_the_wire, client_message(), ClientMessage);
survives!(what_trackers_say_survives_the_wire, tracker_message(), TrackerMessage);

#[test]
fn a_false_length_is_refused_before_anything_is_allocated() {
    // Every list and text, told to be 2^64 - 1 long: the limit of its type comes first.
    let huge = [253, 255, 255, 255, 255, 255, 255, 255, 255];
    for (kind, head) in [(3u8, vec![1, 0]), (4, vec![1]), (6, vec![1, 0])] {
        let mut bytes = vec![kind];
        bytes.extend(head);
        bytes.extend(huge);
        assert!(decode::<PeerMessage>(&bytes).is_err());
    }
    const { assert!(size_of::<PeerInfo>() * crate::limits::PEERS_PER_ANSWER < DECODE_BYTES_MAX) };
    const { assert!(size_of::<Announce>() * crate::limits::ANNOUNCES_PER_MESSAGE < DECODE_BYTES_MAX) };
}

#[test]
fn the_fullest_messages_fit_into_a_frame() {
    use crate::limits::*;
    let long = "x".repeat(NAME_LEN_MAX);
    let (user, group, name) =
        (UserName::new(&long).unwrap(), GroupName::new(&long).unwrap(), FileName::new(&long).unwrap());
    let content = Content { size: Size::MAX, checksum: Blake3([255; 32]), hashes: Blake3([255; 32]) };
    let row = FileRow { name: name.clone(), content, seeders: u32::MAX, leechers: u32::MAX, available: true };
    let peer = PeerInfo {
        device: DeviceId([255; 32]),
        user: user.clone(),
        address: Address(SocketAddr::from(([255; 16], u16::MAX))),
        held: u32::MAX,
    };
    let notice = Notice::JoinRequested { group: group.clone(), user: user.clone() };
    let answers = [
        Answer::Files(Page { rows: List::new(vec![row.clone(); ROWS_PER_PAGE]), more: true }),
        Answer::LoggedIn { inbox: List::new(vec![notice; INBOX_MAX]) },
        Answer::File {
            row: Box::new(row),
            sharers: List::new(vec![user; NAMES_IN_REFUSAL_MAX]),
            peers: List::new(vec![peer; PEERS_PER_ANSWER]),
        },
    ];
    for answer in answers {
        let message = TrackerMessage::Answer { seq: u64::MAX, answer: Ok(Box::new(answer)) };
        assert!(encode(&message).len() <= FRAME_LEN_MAX);
        assert_eq!(decode::<TrackerMessage>(&encode(&message)), Ok(message));
    }
    let state = Standing::Active { held: u32::MAX, reachable: u32::MAX };
    let item = Announce { group, name, hashes: Blake3([255; 32]), state, want_peers: true };
    let announce = ClientMessage::Announce(List::new(vec![item; ANNOUNCES_PER_MESSAGE]));
    assert!(encode(&announce).len() <= FRAME_LEN_MAX);
    assert_eq!(decode::<ClientMessage>(&encode(&announce)), Ok(announce));
    let file = FileId(u32::MAX);
    for message in [
        PeerMessage::Bits { file, from: u32::MAX, bytes: List::new(vec![255; BITS_BYTES_PER_MESSAGE]) },
        PeerMessage::Have { file, pieces: Few::new(&[u32::MAX; HAVES_PER_MESSAGE]) },
        PeerMessage::Hashes {
            file,
            from: u32::MAX,
            list: SharedList::new(vec![Sha1([255; 20]); HASHES_PER_MESSAGE].into()),
        },
    ] {
        assert!(encode(&message).len() <= FRAME_LEN_MAX);
        assert_eq!(decode::<PeerMessage>(&encode(&message)), Ok(message));
    }
}
