//! Answers as text for people.
//!
//! Invariant: the same answer gives the same text. Rates, devices and addresses stand only where a command asks for them, so that a
//! script prints the same transcript twice.

use engine::peer::command::{Command, DownloadRow, DownloadState, FileInfo, Reply, ShareRow};
use engine::piece::Content;
use engine::wire::tracker::{FileRow, GroupRow, GroupStanding, MemberRow};

use super::explain;
use super::text::{Align, count, percent, place, size, span, table};
use crate::rate::Rate;

/// What is to be printed. Each part is empty or ends with a newline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// What was asked for: standard output.
    pub(crate) data: String,
    /// What there is to say about it: standard error.
    pub(crate) message: String,
}

impl Said {
    /// Data alone.
    pub(crate) fn data(data: String) -> Said {
        Said { data, message: String::new() }
    }

    /// A message alone, given without its newline.
    pub(crate) fn message(message: impl Into<String>) -> Said {
        let mut message = message.into();
        if !message.is_empty() {
            message.push('\n');
        }
        Said { data: String::new(), message }
    }
}

/// How fast something may go.
pub(crate) fn limit(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "no limit".to_owned(), |rate| format!("{}/s", size(rate.bytes_per_s())))
}

/// The answer to `command`.
pub(crate) fn reply(command: &Command, reply: &Reply) -> Said {
    match reply {
        Reply::Done => Said::message(done(command)),
        Reply::LoggedIn { shares, partial } => Said::message(logged_in(command, *shares, *partial)),
        Reply::Groups(rows) => listing(rows, "no groups yet: create_group <group_id> makes one", groups),
        Reply::Members(rows) => listing(rows, "no members", members),
        Reply::JoinRequests(users) => listing(users, "nobody waits to join", |users| {
            table([("USER", Align::Left)], &users.iter().map(|user| [user.to_string()]).collect::<Vec<_>>())
        }),
        Reply::Files(rows) => {
            listing(rows, "no files yet: upload_file <file_path> <group_id> shares one", files)
        }
        Reply::Downloads(rows) => listing(rows, "no downloads in this session", |rows| {
            rows.iter().map(|row| format!("{}\n", download(row))).collect()
        }),
        Reply::Shares(rows) => listing(rows, "nothing is shared from this client", shares),
        Reply::Shared { content } => {
            Said::message(format!("{} shared: {}", subject(command), extent(content)))
        }
        Reply::Downloading { content, held: 0 } => {
            Said::message(format!("{} is being fetched: {}", subject(command), extent(content)))
        }
        Reply::Downloading { content, held } => Said::message(format!(
            "{} is being fetched: {}, {held} of them here already",
            subject(command),
            extent(content)
        )),
        Reply::FileInfo(info) => Said::data(file_info(command, info)),
        Reply::Explanation(explanation) => Said::data(explain::text(explanation, None)),
        Reply::WhoAmI { user, device, listen, tracker } => {
            let tracker = tracker.map_or("none at present".to_owned(), |address| address.to_string());
            Said::data(format!(
                "user:     {user}\ndevice:   {device}\nlistens:  {listen}\ntracker:  {tracker}\n"
            ))
        }
    }
}

fn listing<T>(rows: &[T], none: &str, text: impl Fn(&[T]) -> String) -> Said {
    if rows.is_empty() { Said::message(none) } else { Said::data(text(rows)) }
}

/// What a command achieved that has no answer but "done".
fn done(command: &Command) -> String {
    match command {
        Command::CreateUser { user, .. } => format!("user {user} created: log in with login {user}"),
        Command::Login { user, .. } => format!("logged in as {user}"),
        Command::Logout { .. } => "logged out".to_owned(),
        Command::CreateGroup { group } => format!("group {group} created"),
        Command::JoinGroup { group } => {
            format!("request to join {group} sent: its owner or an admin must accept")
        }
        Command::AcceptRequest { group, user } => format!("{user} is a member of {group} now"),
        Command::RejectRequest { group, user } => format!("request of {user} to join {group} rejected"),
        Command::LeaveGroup { group } => format!("left group {group}"),
        Command::MakeAdmin { group, user } => format!("{user} is an admin of {group} now"),
        Command::RemoveMember { group, user } => format!("{user} is no longer a member of {group}"),
        Command::StopDownload { .. } => {
            format!("{} stopped: download_file goes on from there", subject(command))
        }
        Command::StopShare { .. } => format!("{} is no longer served from this client", subject(command)),
        Command::RemoveFile { .. } => format!("{} is no longer listed", subject(command)),
        Command::Wait { file: Some(_) } => format!("{} is complete", subject(command)),
        Command::Wait { file: None } => "no download is under way".to_owned(),
        // Whoever leaves needs no word of it; the others have answers of their own.
        Command::Quit { .. }
        | Command::ListRequests { .. }
        | Command::ListMembers { .. }
        | Command::ListGroups
        | Command::ListFiles { .. }
        | Command::UploadFile { .. }
        | Command::DownloadFile { .. }
        | Command::ShowDownloads
        | Command::Explain { .. }
        | Command::FileInfo { .. }
        | Command::ShowShares
        | Command::WhoAmI => String::new(),
    }
}

/// `[group] name` of the file that a command is about.
fn subject(command: &Command) -> String {
    match command {
        Command::UploadFile { group, name, .. }
        | Command::DownloadFile { group, name, .. }
        | Command::StopDownload { group, name }
        | Command::StopShare { group, name }
        | Command::RemoveFile { group, name }
        | Command::FileInfo { group, name }
        | Command::Wait { file: Some((group, name)) } => format!("[{group}] {name}"),
        _ => "file".to_owned(),
    }
}

fn logged_in(command: &Command, shares: usize, partial: usize) -> String {
    let mut text = done(command);
    if shares > 0 {
        text.push_str(&format!("; {} shared again", count(shares as u64, "file")));
    }
    if partial > 0 {
        text.push_str(&format!(
            "; {} not ended: download_file goes on with it",
            count(partial as u64, "earlier download")
        ));
    }
    text
}

fn extent(content: &Content) -> String {
    format!("{} in {}", size(content.size.bytes()), count(content.size.pieces().into(), "piece"))
}

fn groups(rows: &[GroupRow]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let role = match row.standing {
                GroupStanding::In(role) => role.to_string(),
                GroupStanding::Pending => "pending".to_owned(),
                GroupStanding::Outside => "-".to_owned(),
            };
            [row.group.to_string(), row.members.to_string(), role]
        })
        .collect();
    table([("GROUP", Align::Left), ("MEMBERS", Align::Right), ("ROLE", Align::Left)], &rows)
}

fn members(rows: &[MemberRow]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let presence = if row.online { "online" } else { "offline" };
            [row.user.to_string(), row.role.to_string(), presence.to_owned()]
        })
        .collect();
    table([("USER", Align::Left), ("ROLE", Align::Left), ("STATUS", Align::Left)], &rows)
}

fn files(rows: &[FileRow]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let status = if row.available { "available" } else { "incomplete" };
            [
                row.name.to_string(),
                size(row.content.size.bytes()),
                row.seeders.to_string(),
                row.leechers.to_string(),
                status.to_owned(),
            ]
        })
        .collect();
    let header = [
        ("FILE", Align::Left),
        ("SIZE", Align::Right),
        ("SEEDERS", Align::Right),
        ("LEECHERS", Align::Right),
        ("STATUS", Align::Left),
    ];
    table(header, &rows)
}

fn shares(rows: &[ShareRow]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.group.to_string(),
                row.name.to_string(),
                size(row.content.size.bytes()),
                size(row.sent),
                row.leechers.to_string(),
                place(&row.place),
            ]
        })
        .collect();
    let header = [
        ("GROUP", Align::Left),
        ("FILE", Align::Left),
        ("SIZE", Align::Right),
        ("SENT", Align::Right),
        ("LEECHERS", Align::Right),
        ("PATH", Align::Left),
    ];
    table(header, &rows)
}

/// A download in a line.
pub(crate) fn download(row: &DownloadRow) -> String {
    let mark = match row.state {
        DownloadState::Running | DownloadState::Paused => 'D',
        DownloadState::Complete => 'C',
        DownloadState::Stopped => 'S',
        DownloadState::Failed(_) => 'E',
    };
    let done = percent(row.bytes, row.content.size.bytes());
    let how = match &row.state {
        DownloadState::Running => format!("{done}  {}", progress(row)),
        DownloadState::Complete => {
            format!("100.0%  {}  {}", size(row.content.size.bytes()), place(&row.place))
        }
        DownloadState::Stopped => format!("{done}  stopped: download_file goes on from there"),
        DownloadState::Paused => format!("{done}  waits for room on the disk"),
        DownloadState::Failed(why) => format!("{done}  {why}"),
    };
    format!("[{mark}] [{}] {}  {how}", row.group, row.name)
}

fn progress(row: &DownloadRow) -> String {
    let mut text = format!("{}/s  {}", size(row.rate), count(row.peers.into(), "peer"));
    if row.held == row.content.size.pieces() {
        text.push_str("  being verified");
    } else if let Some(left) = row.left {
        text.push_str(&format!("  {} left", span(left)));
    }
    if row.unreachable > 0 {
        text.push_str(&format!(
            "  waits for {} that nobody here has",
            count(row.unreachable.into(), "piece")
        ));
    }
    text
}

/// The first 20 hex digits of each piece's SHA-1, joined.
pub(crate) fn short_hash(hashes: &[engine::id::Sha1]) -> String {
    hashes.iter().flat_map(|hash| hash.0.iter().take(10)).map(|byte| format!("{byte:02x}")).collect()
}

fn file_info(command: &Command, info: &FileInfo) -> String {
    let content = &info.row.content;
    let (bytes, pieces) = (content.size.bytes(), content.size.pieces());
    let here = match info.held {
        None => "nothing".to_owned(),
        Some(held) => format!("{held} of {}", count(pieces.into(), "piece")),
    };
    let hashes = match &info.hashes {
        Some(hashes) => short_hash(hashes),
        None => "known once the file is shared here or its download has begun".to_owned(),
    };
    let names: Vec<_> = info.sharers.iter().map(ToString::to_string).collect();
    let status =
        if info.row.available { "available" } else { "incomplete: those online do not hold all of it" };
    let mut text = format!(
        "file:       {}\nsize:       {} ({bytes} bytes)\npieces:     {pieces}\nchecksum:   {}\nhashes:     {hashes}\n\
         shared by:  {}\nhere:       {here}\nonline:     {}, {}\nstatus:     {status}\n",
        subject(command),
        size(bytes),
        content.checksum,
        names.join(", "),
        count(info.row.seeders.into(), "seeder"),
        count(info.row.leechers.into(), "leecher"),
    );
    if !info.peers.is_empty() {
        text.push('\n');
        text.push_str(&holders(info, pieces));
    }
    text
}

fn holders(info: &FileInfo, pieces: u32) -> String {
    let mut peers: Vec<_> = info.peers.iter().collect();
    peers.sort_by(|a, b| b.held.cmp(&a.held).then_with(|| a.user.cmp(&b.user)));
    let rows: Vec<_> = peers
        .iter()
        .map(|peer| {
            let share = percent(peer.held.into(), pieces.into());
            [peer.user.to_string(), format!("{} of {pieces}", peer.held), share]
        })
        .collect();
    table([("PEER", Align::Left), ("PIECES", Align::Right), ("SHARE", Align::Right)], &rows)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use engine::id::{Blake3, DeviceId, Sha1};
    use engine::name::{FileName, GroupName, Place, UserName};
    use engine::peer::command::Failure;
    use engine::piece::Size;
    use engine::refusal::DiskError;
    use engine::time::Span;
    use engine::wire::tracker::{Address, PeerInfo, Role};

    pub(in crate::repl) fn group() -> GroupName {
        GroupName::new("physics").unwrap()
    }

    pub(in crate::repl) fn file() -> FileName {
        FileName::new("a b.txt").unwrap()
    }

    pub(in crate::repl) fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    pub(in crate::repl) fn content(bytes: u64) -> Content {
        Content { size: Size::new(bytes).unwrap(), checksum: Blake3([0xab; 32]), hashes: Blake3([0; 32]) }
    }

    pub(in crate::repl) fn row(state: DownloadState) -> DownloadRow {
        DownloadRow {
            group: group(),
            name: file(),
            place: Place(Box::from(&b"/tmp/\x1b[2J"[..])),
            state,
            content: content(4 * 524_288),
            held: 3,
            bytes: 3 * 524_288,
            rate: 1_572_864,
            peers: 2,
            unreachable: 0,
            left: Some(Span::from_secs(75)),
        }
    }

    pub(in crate::repl) fn info() -> FileInfo {
        let peer = |name, held| PeerInfo {
            device: DeviceId([7; 32]),
            user: user(name),
            address: Address("127.0.0.1:9000".parse().unwrap()),
            held,
        };
        FileInfo {
            row: FileRow {
                name: file(),
                content: content(524_289),
                seeders: 1,
                leechers: 1,
                available: true,
            },
            sharers: vec![user("ann"), user("bob")],
            peers: vec![peer("bob", 1), peer("ann", 2)],
            held: None,
            hashes: Some(vec![Sha1([0x12; 20]), Sha1([0xf0; 20])]),
        }
    }

    #[test]
    fn a_download_is_a_line_that_begins_with_its_mark() {
        assert_eq!(
            download(&row(DownloadState::Running)),
            "[D] [physics] a b.txt  75.0%  1.5 MiB/s  2 peers  1 min 15 s left"
        );
        let waiting = DownloadRow { unreachable: 1, left: None, rate: 0, ..row(DownloadState::Running) };
        assert_eq!(
            download(&waiting),
            "[D] [physics] a b.txt  75.0%  0 B/s  2 peers  waits for 1 piece that nobody here has"
        );
        assert_eq!(
            download(&row(DownloadState::Complete)),
            "[C] [physics] a b.txt  100.0%  2.0 MiB  /tmp/\\u{1b}[2J"
        );
        assert_eq!(
            download(&row(DownloadState::Paused)),
            "[D] [physics] a b.txt  75.0%  waits for room on the disk"
        );
        assert!(download(&row(DownloadState::Stopped)).starts_with("[S] [physics] a b.txt  75.0%"));
        let full = download(&row(DownloadState::Failed(Failure::Disk(DiskError::DiskFull))));
        assert_eq!(full, "[E] [physics] a b.txt  75.0%  the disk is full: make room, then ask again");
    }

    #[test]
    fn listings_are_tables() {
        let rows = vec![
            GroupRow { group: group(), members: 3, standing: GroupStanding::In(Role::Owner) },
            GroupRow { group: GroupName::new("x").unwrap(), members: 10, standing: GroupStanding::Outside },
        ];
        let said = reply(&Command::ListGroups, &Reply::Groups(rows));
        assert_eq!(said.data, "GROUP    MEMBERS  ROLE\nphysics        3  owner\nx             10  -\n");
        assert_eq!(said.message, "");
        let none = reply(&Command::ListGroups, &Reply::Groups(vec![]));
        assert_eq!(none.data, "");
        assert!(none.message.starts_with("no groups yet"));
    }

    #[test]
    fn a_file_that_nobody_online_can_complete_is_marked() {
        let row =
            |available| FileRow { name: file(), content: content(0), seeders: 0, leechers: 2, available };
        let text = files(&[row(false), row(true)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "FILE     SIZE  SEEDERS  LEECHERS  STATUS");
        assert_eq!(lines[1], "a b.txt   0 B        0         2  incomplete");
        assert_eq!(lines[2], "a b.txt   0 B        0         2  available");
    }

    #[test]
    fn file_info_says_everything() {
        let command = Command::FileInfo { group: group(), name: file() };
        let text = reply(&command, &Reply::FileInfo(info())).data;
        for line in [
            "file:       [physics] a b.txt",
            "size:       512.0 KiB (524289 bytes)",
            "pieces:     2",
            "hashes:     12121212121212121212f0f0f0f0f0f0f0f0f0f0",
            "shared by:  ann, bob",
            "here:       nothing",
            "online:     1 seeder, 1 leecher",
            "ann   2 of 2  100.0%",
            "bob   1 of 2   50.0%",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let unknown = FileInfo { hashes: None, ..info() };
        assert!(reply(&command, &Reply::FileInfo(unknown)).data.contains("known once"));
    }

    #[test]
    fn success_is_one_short_line() {
        let said = |command: &Command, answer| reply(command, &answer).message;
        assert_eq!(said(&Command::CreateGroup { group: group() }, Reply::Done), "group physics created\n");
        let fetch = Command::DownloadFile {
            group: group(),
            name: file(),
            place: Place(Box::default()),
            named: false,
        };
        assert_eq!(
            said(&fetch, Reply::Downloading { content: content(524_289), held: 1 }),
            "[physics] a b.txt is being fetched: 512.0 KiB in 2 pieces, 1 of them here already\n"
        );
        let login = Command::Login { user: user("ann"), password: engine::id::Password(0) };
        assert_eq!(
            said(&login, Reply::LoggedIn { shares: 2, partial: 1 }),
            "logged in as ann; 2 files shared again; 1 earlier download not ended: download_file goes on with it\n"
        );
        assert_eq!(said(&login, Reply::LoggedIn { shares: 0, partial: 0 }), "logged in as ann\n");
    }
}
