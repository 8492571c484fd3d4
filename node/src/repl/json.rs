//! Answers as JSON, one document a listing, on one line. The keys are a promise to scripts: none is renamed or dropped.

use engine::name::is_unprintable;
use engine::peer::command::{DownloadRow, DownloadState, FileInfo, Reply, ShareRow};
use engine::wire::tracker::{FileRow, GroupRow, GroupStanding, MemberRow};
use serde_json::{Value, json};

use super::explain;
use super::render::short_hash;

/// The document of a listing with its newline; none if the answer is no listing.
pub(crate) fn document(reply: &Reply) -> Option<String> {
    let value = match reply {
        Reply::Groups(rows) => rows.iter().map(group).collect(),
        Reply::Members(rows) => rows.iter().map(member).collect(),
        Reply::JoinRequests(users) => users.iter().map(|user| json!({ "user": user.as_str() })).collect(),
        Reply::Files(rows) => rows.iter().map(file).collect(),
        Reply::Downloads(rows) => rows.iter().map(download).collect(),
        Reply::Shares(rows) => rows.iter().map(share).collect(),
        Reply::FileInfo(info) => file_info(info),
        Reply::Explanation(explanation) => explain::document(download(&explanation.row), explanation),
        Reply::WhoAmI { user, device, listen, tracker } => json!({
            "user": user.as_str(),
            "device": device.to_string(),
            "listen": listen.to_string(),
            "tracker": tracker.map(|address| address.to_string()),
        }),
        Reply::Done | Reply::LoggedIn { .. } | Reply::Shared { .. } | Reply::Downloading { .. } => {
            return None;
        }
    };
    Some(safe(&value.to_string()) + "\n")
}

/// A document in which no character is left that a terminal could act on. They stand in strings alone, where `\u` may replace them.
fn safe(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for c in document.chars() {
        if is_unprintable(c) {
            let mut units = [0; 2];
            text.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

fn group(row: &GroupRow) -> Value {
    let role = match row.standing {
        GroupStanding::In(role) => Some(role.to_string()),
        GroupStanding::Pending => Some("pending".to_owned()),
        GroupStanding::Outside => None,
    };
    json!({ "group": row.group.as_str(), "members": row.members, "role": role })
}

fn member(row: &MemberRow) -> Value {
    json!({ "user": row.user.as_str(), "role": row.role.to_string(), "online": row.online })
}

fn file(row: &FileRow) -> Value {
    json!({
        "name": row.name.as_str(),
        "size": row.content.size.bytes(),
        "pieces": row.content.size.pieces(),
        "checksum": row.content.checksum.to_string(),
        "seeders": row.seeders,
        "leechers": row.leechers,
        "available": row.available,
    })
}

fn download(row: &DownloadRow) -> Value {
    let (state, reason) = match &row.state {
        DownloadState::Running => ("running", None),
        DownloadState::Complete => ("complete", None),
        DownloadState::Stopped => ("stopped", None),
        DownloadState::Paused => ("paused", None),
        DownloadState::Failed(why) => ("failed", Some(why.to_string())),
    };
    json!({
        "group": row.group.as_str(),
        "name": row.name.as_str(),
        "path": String::from_utf8_lossy(&row.place.0),
        "state": state,
        "reason": reason,
        "size": row.content.size.bytes(),
        "pieces": row.content.size.pieces(),
        "held_pieces": row.held,
        "held_bytes": row.bytes,
        "rate_bytes_per_s": row.rate,
        "peers": row.peers,
        "unreachable_pieces": row.unreachable,
        "left_s": row.left.map(engine::time::Span::secs_rounded_up),
    })
}

fn share(row: &ShareRow) -> Value {
    json!({
        "group": row.group.as_str(),
        "name": row.name.as_str(),
        "path": String::from_utf8_lossy(&row.place.0),
        "size": row.content.size.bytes(),
        "pieces": row.content.size.pieces(),
        "checksum": row.content.checksum.to_string(),
        "sent_bytes": row.sent,
        "leechers": row.leechers,
    })
}

fn file_info(info: &FileInfo) -> Value {
    let peer = |peer: &engine::wire::tracker::PeerInfo| {
        json!({
            "user": peer.user.as_str(),
            "device": peer.device.to_string(),
            "address": peer.address.0.to_string(),
            "held_pieces": peer.held,
        })
    };
    let hashes = info.hashes.as_ref();
    let mut value = file(&info.row);
    value["sharers"] = info.sharers.iter().map(|user| user.as_str()).collect();
    value["peers"] = info.peers.iter().map(peer).collect();
    value["held_pieces"] = json!(info.held);
    value["sha1"] = json!(hashes.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>()));
    value["short_hash"] = json!(hashes.map(|list| short_hash(list)));
    value
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::{group as physics, info, row};
    use super::*;
    use engine::peer::command::Failure;
    use engine::wire::tracker::Role;

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn read(reply: &Reply) -> Value {
        let text = document(reply).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.trim_end().chars().any(is_unprintable), "{text:?}");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn groups_have_stable_keys() {
        let row = |standing| GroupRow { group: physics(), members: 2, standing };
        let value = read(&Reply::Groups(vec![
            row(GroupStanding::In(Role::Admin)),
            row(GroupStanding::Pending),
            row(GroupStanding::Outside),
        ]));
        assert_eq!(value[0], json!({ "group": "physics", "members": 2, "role": "admin" }));
        assert_eq!(value[1]["role"], "pending");
        assert_eq!(value[2]["role"], Value::Null);
        assert_eq!(read(&Reply::Groups(vec![])), json!([]));
    }

    #[test]
    fn downloads_have_stable_keys_and_harmless_paths() {
        let place = engine::name::Place("/tmp/\u{1b}\u{202e}x".as_bytes().into());
        let value = read(&Reply::Downloads(vec![
            DownloadRow { place, ..row(DownloadState::Running) },
            row(DownloadState::Failed(Failure::Unlisted)),
        ]));
        assert_eq!(
            keys(&value[0]),
            [
                "group",
                "held_bytes",
                "held_pieces",
                "left_s",
                "name",
                "path",
                "peers",
                "pieces",
                "rate_bytes_per_s",
                "reason",
                "size",
                "state",
                "unreachable_pieces"
            ]
        );
        assert_eq!(value[0]["path"], "/tmp/\u{1b}\u{202e}x");
        assert_eq!(value[0]["state"], "running");
        assert_eq!(value[1]["state"], "failed");
        assert_eq!(value[1]["reason"], "it is no longer listed in the group");
    }

    #[test]
    fn file_info_has_stable_keys() {
        let value = read(&Reply::FileInfo(info()));
        assert_eq!(
            keys(&value),
            [
                "available",
                "checksum",
                "held_pieces",
                "leechers",
                "name",
                "peers",
                "pieces",
                "seeders",
                "sha1",
                "sharers",
                "short_hash",
                "size"
            ]
        );
        assert_eq!(keys(&value["peers"][0]), ["address", "device", "held_pieces", "user"]);
        assert_eq!(value["short_hash"], "12121212121212121212f0f0f0f0f0f0f0f0f0f0");
    }

    #[test]
    fn characters_beyond_the_basic_plane_stay_and_hidden_ones_are_escaped() {
        assert_eq!(safe("\"\u{1f600}\u{202e}\u{9b}\""), "\"\u{1f600}\\u202e\\u009b\"");
    }

    #[test]
    fn what_is_no_listing_has_no_document() {
        assert_eq!(document(&Reply::Done), None);
    }
}
