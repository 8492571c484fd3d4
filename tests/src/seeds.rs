//! Seeds of the fuzz corpora: a valid one of every kind that leads somewhere else in a decoder, and broken ones of every sort.

use engine::id::{Blake3, DeviceId, FileId, Key, Salt, Sha1};
use engine::limits::NAME_LEN_MAX;
use engine::name::{FileName, GroupName, UserName};
use engine::piece::{Content, Size};
use engine::refusal::{DiskError, Refusal, Table};
use engine::ticket::{Expulsions, Membership, Removals, Signature, Signed, Ticket, UnixTime};
use engine::wire::codec::encode;
use engine::wire::few::Few;
use engine::wire::frame::{self, DataHead, Head, Kind};
use engine::wire::list::{List, SharedList};
use engine::wire::peer::{Open, PeerMessage};
use engine::wire::tracker::{
    Address, Announce, Answer, Change, ClientMessage, FileRow, GroupRow, GroupStanding, Notice, Page,
    PeerInfo, Request, Role, Standing, TrackerMessage,
};

/// A seed: its file's name, and its bytes.
pub type Seed = (&'static str, Vec<u8>);

/// The seeds of `target`.
///
/// # Panics
/// If there is no such target.
#[must_use]
pub fn of(target: &str) -> Vec<Seed> {
    match target {
        "frame" => frames(),
        "message" => [peer_messages(), client_messages(), tracker_messages(), broken_messages()].concat(),
        "tracker_info" => tracker_lists(),
        "ticket" => tickets(),
        "scenario" => scenarios(),
        // What these do is said by bytes that only a fuzzer finds.
        "channel" | "peer" | "tracker" => Vec::new(),
        _ => unreachable!("no target {target}"),
    }
}

fn frames() -> Vec<Seed> {
    let ping = frame::message(&PeerMessage::Ping);
    let data = data_frame(5);
    let head = |kind: u32, len: u32| (kind << 24 | len).to_le_bytes().to_vec();
    vec![
        ("empty", Vec::new()),
        ("ping", ping.clone()),
        ("data", data.clone()),
        ("data_longer", data_frame(300)),
        ("both", [&ping[..], &data, &ping].concat()),
        ("no_body", head(1, 0)),
        ("half_a_head", head(1, 1)[..3].to_vec()),
        ("half_a_message", ping[..ping.len() - 1].to_vec()),
        ("half_a_data_head", data[..9].to_vec()),
        ("message_too_long", head(1, 65_549)),
        ("data_too_long", head(2, 65_549)),
        ("data_without_data", [head(2, 12), vec![0; 12]].concat()),
        ("unknown_kind", head(3, 4)),
        ("text", b"GET / HTTP/1.1\r\nHost: tracker\r\n\r\n".to_vec()),
        ("all_ones", vec![0xff; 16]),
    ]
}

fn data_frame(len: usize) -> Vec<u8> {
    let head = Head { kind: Kind::Data, len: DataHead::LEN + len };
    let data = DataHead { file: FileId(7), piece: 3, offset: 65_536 };
    [&head.encode()[..], &data.encode(), &vec![0xab; len]].concat()
}

fn group() -> GroupName {
    name("a group")
}

fn file() -> FileName {
    name("naïve report.pdf")
}

fn user() -> UserName {
    name("ann")
}

fn name<N: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> N {
    text.parse().expect("a seed's name is a name")
}

fn content() -> Content {
    let size = Size::new(3 * 524_288 + 1).expect("a size below the limit");
    Content { size, checksum: Blake3([1; 32]), hashes: Blake3([2; 32]) }
}

pub(crate) fn ticket() -> Box<Ticket> {
    let (from, until) = (UnixTime(1_800_000_000), UnixTime(1_800_086_400));
    let body =
        Membership { group: group(), user: user(), device: DeviceId([3; 32]), epoch: 70_000, from, until };
    Box::new(Signed { body, signer: DeviceId([7; 32]), signature: Signature([8; 64]) })
}

pub(crate) fn expulsions() -> Box<Signed<Expulsions>> {
    let mut removals = Removals::of_new_group(3);
    removals.add(&user(), 70_000);
    let body = Expulsions { group: group(), removals };
    Box::new(Signed { body, signer: DeviceId([7; 32]), signature: Signature([8; 64]) })
}

fn peer() -> PeerInfo {
    let address = Address(([192, 0, 2, 1], 9_001).into());
    PeerInfo { device: DeviceId([3; 32]), user: user(), address, held: 2 }
}

fn peer_messages() -> Vec<Seed> {
    let file_id = FileId(300);
    let open = Open { file: file_id, group: group(), name: file(), hashes: Blake3([2; 32]), count: 2 };
    let messages = [
        ("peer_open", PeerMessage::Open(Box::new(open))),
        ("peer_bits", PeerMessage::Bits { file: file_id, from: 8, bytes: List::new(vec![0x5a; 20]) }),
        ("peer_have", PeerMessage::Have { file: file_id, pieces: Few::new(&[0, 250, 70_000]) }),
        (
            "peer_hashes",
            PeerMessage::Hashes {
                file: file_id,
                from: 1,
                list: SharedList::new(vec![Sha1([4; 20]); 3].into()),
            },
        ),
        ("peer_queued", PeerMessage::Queued { file: file_id, queue: 2 }),
        ("peer_request", PeerMessage::Request { file: file_id, piece: 2_097_151 }),
        ("peer_bye", PeerMessage::Bye),
        ("peer_show", PeerMessage::Show(ticket())),
        ("peer_seen", PeerMessage::Seen { group: group() }),
        ("peer_expulsions", PeerMessage::Expulsions(expulsions())),
    ];
    messages.into_iter().map(|(name, message)| (name, encode(&message))).collect()
}

fn client_messages() -> Vec<Seed> {
    let request = |request| ClientMessage::Request { seq: 70_000, request: Box::new(request) };
    let add = Change::AddFile { group: group(), name: file(), content: content() };
    let announce =
        |state| Announce { group: group(), name: file(), hashes: Blake3([2; 32]), state, want_peers: true };
    let announces =
        List::new(vec![announce(Standing::Active { held: 1, reachable: 4 }), announce(Standing::Gone)]);
    let listen = Address((std::net::Ipv6Addr::LOCALHOST, 9_001).into());
    let (salt, key) = (Salt([5; 16]), Key([6; 32]));
    let messages = [
        ("client_hello", ClientMessage::Hello { listen }),
        ("client_create_user", request(Request::CreateUser { user: user(), salt, key })),
        ("client_add_file", request(Request::Change(add))),
        ("client_files", request(Request::Files { group: group(), after: Some(file()) })),
        ("client_ticket", request(Request::Ticket { group: group(), known: 7 })),
        ("client_announce", ClientMessage::Announce(announces)),
    ];
    messages.into_iter().map(|(name, message)| (name, encode(&message))).collect()
}

fn tracker_messages() -> Vec<Seed> {
    let answer = |answer| TrackerMessage::Answer { seq: 9, answer: Ok(Box::new(answer)) };
    let refuse = |refusal| TrackerMessage::Answer { seq: 9, answer: Err(Box::new(refusal)) };
    let row = FileRow { name: file(), content: content(), seeders: 1, leechers: 2, available: true };
    let groups = [GroupStanding::In(Role::Admin), GroupStanding::Pending, GroupStanding::Outside];
    let groups = groups.map(|standing| GroupRow { group: group(), members: 3, standing }).to_vec();
    let sharers = List::new(vec![user()]);
    let (peers, some) = (List::new(vec![peer()]), sharers.clone());
    let inbox = List::new(vec![Notice::JoinRequested { group: group(), user: user() }]);
    let swarm =
        TrackerMessage::Swarm { group: group(), name: file(), peers: peers.clone(), seeders: 1, leechers: 0 };
    let messages = [
        ("tracker_logged_in", answer(Answer::LoggedIn { inbox })),
        ("tracker_groups", answer(Answer::Groups(Page { rows: List::new(groups), more: true }))),
        ("tracker_file", answer(Answer::File { row: Box::new(row), sharers, peers })),
        ("tracker_differs", refuse(Refusal::FileDiffers { group: group(), name: file(), sharers: some })),
        ("tracker_ended", refuse(Refusal::DownloadEnded(group(), file(), "it was stopped".into()))),
        ("tracker_disk", refuse(Refusal::Disk(DiskError::DiskFull))),
        ("tracker_full", refuse(Refusal::Full(Table::Members))),
        ("tracker_swarm", swarm),
        ("tracker_ticket", answer(Answer::Ticket { ticket: ticket(), expulsions: expulsions() })),
        ("tracker_expulsions", TrackerMessage::Expulsions(expulsions())),
        ("tracker_expelled", TrackerMessage::Expelled { group: group(), user: user() }),
    ];
    messages.into_iter().map(|(name, message)| (name, encode(&message))).collect()
}

fn broken_messages() -> Vec<Seed> {
    let good = encode(&TrackerMessage::Expelled { group: group(), user: user() });
    let mut dots = good.clone();
    dots[2..9].copy_from_slice(b"../../x");
    let mut escape = good.clone();
    escape[2] = 0x1b;
    let mut no_text = good.clone();
    no_text[2] = 0xff;
    vec![
        ("broken_empty", Vec::new()),
        ("broken_cut", good[..good.len() - 1].to_vec()),
        ("broken_left_over", [&good[..], &[0]].concat()),
        ("broken_kind", vec![200, 1, 2, 3]),
        ("broken_path", dots),
        ("broken_escape", escape),
        ("broken_text", no_text),
        // Lists and texts that claim 2^64 - 1, and one more than their limits.
        ("broken_have_endless", [&[4, 0, 253][..], &[0xff; 8]].concat()),
        ("broken_have_long", vec![4, 0, 251, 0x89, 0x13]),
        ("broken_name_endless", [&[4, 253][..], &[0xff; 8]].concat()),
        ("broken_name_long", [&[4, 251, 0, 1][..], &[b'x'; NAME_LEN_MAX + 1]].concat()),
        ("broken_zeros", vec![0; 64]),
        ("broken_ones", vec![0xff; 64]),
    ]
}

/// As they are, or as what is to be changed in one that was signed: where, in two bytes, and which bits.
fn tickets() -> Vec<Seed> {
    let mut later = ticket();
    later.body.until = UnixTime(u64::MAX);
    let mut stranger = ticket();
    stranger.body.device = DeviceId([9; 32]);
    let mut many = expulsions();
    (0..99).for_each(|at| many.body.removals.add(&name(&format!("user{at}")), 70_001 + at));
    let mut endless = expulsions();
    endless.body.removals.epoch = u64::MAX;
    vec![
        ("unchanged", Vec::new()),
        ("ticket", encode(&*ticket())),
        ("ticket_later", encode(&*later)),
        ("ticket_of_a_stranger", encode(&*stranger)),
        ("expulsions", encode(&*expulsions())),
        ("expulsions_full", encode(&*many)),
        ("expulsions_endless", encode(&*endless)),
        ("change_of_the_first_byte", vec![0, 0, 1]),
        ("change_of_a_name", vec![1, 0, 32]),
        ("change_of_the_device", vec![14, 0, 1]),
        ("change_of_the_signature", vec![150, 0, 128]),
        ("two_changes", vec![20, 0, 1, 120, 0, 1]),
        ("something_behind", vec![0]),
    ]
}

fn tracker_lists() -> Vec<Seed> {
    let many: String = (1..=17).map(|port| format!("10.0.0.1:{port}\n")).collect();
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("one", text("127.0.0.1:7401\n")),
        ("fingerprint", text(&format!("127.0.0.1:1 {}\n::1 2 {}", "0a".repeat(32), "F0".repeat(32)))),
        ("fingerprint_short", text(&format!("127.0.0.1:1 {}", "a".repeat(63)))),
        ("forms", text("# trackers\r\n\n10.0.0.1:1 # a\n10.0.0.2 2\n[::1]:3\n::1 4\n[::1] 5")),
        ("scope", text("[fe80::1%2]:7401\n")),
        ("mapped", text("::ffff:10.0.0.1 7\n")),
        ("sixteen", text(many.trim_end_matches("10.0.0.1:17\n"))),
        ("seventeen", text(&many)),
        ("empty", Vec::new()),
        ("comments_only", text("# none\n\n   # at all")),
        ("host_name", text("localhost:7401\n")),
        ("no_port", text("10.0.0.1\n")),
        ("port_zero", text("10.0.0.1:0\n")),
        ("port_large", text("10.0.0.1:65536\n")),
        ("port_sign", text("10.0.0.1 +7\n")),
        ("twice", text("10.0.0.1:7\n10.0.0.1 7\n")),
        ("too_much", text("10.0.0.1:7 8\n")),
        ("escape", text("\u{1b}]0;title\u{7}:7\n")),
        ("mark", text("\u{feff}10.0.0.1:7\n")),
        ("no_text", vec![b'1', 0xff, 0xfe, b'\n']),
    ]
}

/// A scenario that is read.
const SCENARIO: &str = r#"about = "A few peers."

[line]
up = "1 MiB/s"
down = "4 MiB/s"
latency = "10 ms"

[file.film]
pieces = 24

[class.seeder]
count = 1
seeds = true

[class.leecher]
count = 6

[band.completed_percent]
min = 100
"#;

fn scenarios() -> Vec<Seed> {
    let with = |more: &str| format!("{SCENARIO}\n{more}").into_bytes();
    let changed = |from: &str, to: &str| SCENARIO.replacen(from, to, 1).into_bytes();
    let leechers = |said: &str| changed("count = 6", said);
    let head = |said: &str| format!("{said}\n{SCENARIO}");
    let by_chance = "per_s = 2.5\ndwell_mean = \"4 s\"";
    vec![
        ("small", SCENARIO.into()),
        ("numbers", changed("\"1 MiB/s\"", "1048576")),
        ("seeds", head("seeds = [1, 2, 3]\nheavy = true").into()),
        ("arrivals", leechers("count = 6\nat = \"2 s\"\nover = \"1 min\"")),
        ("by_chance", head("duration = \"1 min\"").replace("count = 6", by_chance).into()),
        ("leave", leechers("count = 6\nleave_after_uploads = 24")),
        ("liar", leechers("count = 6\nbehaviour = \"liar\"")),
        ("churn", with("[fault.a]\nkind = \"churn\"\nper_s = 0.3\nuntil = 60\nback_after = \"8 s\"\n")),
        ("partition", with("[fault.cut]\nkind = \"partition\"\nshare = 0.3\nat = 5\nuntil = 9\n")),
        ("variants", with("[variant.many]\nclass.leecher.count = 9\n[variant.few]\nheavy = true\n")),
        ("strange_name", changed("[file.film]", "[file.\"fi\u{301}lm\"]")),
        ("strange_text", changed("A few peers.", "\u{301} \\\"few\\\" \\\\ {peers}")),
        ("slow", changed("1 MiB/s", "1 B/s")),
        ("broken_text", changed("A few peers.", "\\u0007")),
        ("broken_number", changed("min = 100", "min = nan")),
        ("broken_bound", changed("min = 100", "max = inf")),
        ("broken_empty", Vec::new()),
        ("broken_key", leechers("cuont = 6")),
        ("broken_unit", changed("\"1 MiB/s\"", "\"1 furlong\"")),
        ("broken_escape", leechers("cuont = 6 # \u{202e}\u{1b}]0;title")),
        ("broken_long_line", leechers(&format!("cuont = 6 # {}", "x".repeat(2_000)))),
        ("broken_long_key", leechers(&format!("\"{}\" = 6", "\u{540d}".repeat(350)))),
        ("broken_table", changed("[line]", "[line")),
    ]
}
