//! Why a download is slow or stuck, in words and as JSON.

use engine::peer::command::DownloadState;
use engine::peer::explain::{Explanation, PeerRow, PeerState};
use serde_json::{Value, json};

use super::render;
use super::text::{Align, count, percent, size, table};
use crate::rate::Rate;

/// The explanation as text: the reason first, then what it rests on. `limit` is what this client takes in at most.
pub(crate) fn text(explanation: &Explanation, limit: Option<Rate>) -> String {
    let Explanation { row, under_way, rarest, absent, peers, .. } = explanation;
    let mut text = format!("{}\nreason:     {}\n", render::download(row), reason(explanation));
    if matches!(row.state, DownloadState::Running | DownloadState::Paused) {
        if limit.is_some() {
            let limit = render::limit(limit);
            text.push_str(&format!(
                "limit:      {limit} for all downloads together; `limit download off` lifts it\n"
            ));
        }
        let missing = row.content.size.pieces() - row.held;
        text.push_str(&format!(
            "missing:    {}, {under_way} of them under way\n",
            count(missing.into(), "piece")
        ));
        if let Some(rarest) = rarest {
            let holders = count(rarest.holders.into(), "peer");
            text.push_str(&format!("rarest:     piece {}, held here by {holders}\n", rarest.piece));
        }
        if !absent.is_empty() {
            let mut named: Vec<String> = absent.iter().map(ToString::to_string).collect();
            if row.unreachable as usize > absent.len() {
                named.push("...".to_owned());
            }
            text.push_str(&format!("nobody has: {}\n", named.join(", ")));
        }
    }
    if !peers.is_empty() {
        text.push('\n');
        text.push_str(&peer_table(explanation));
    }
    text
}

/// The one thing that holds it up most.
fn reason(explanation: &Explanation) -> String {
    let Explanation { row, hashes_known, peers, .. } = explanation;
    match &row.state {
        DownloadState::Complete => return "it is complete".to_owned(),
        DownloadState::Stopped => return "it was stopped: download_file goes on from there".to_owned(),
        DownloadState::Failed(why) => return why.to_string(),
        DownloadState::Paused => return "the disk is full: make room, and it goes on by itself".to_owned(),
        DownloadState::Running => {}
    }
    let missing = row.content.size.pieces() - row.held;
    let all_are = |state| peers.iter().filter(|peer| peer.useful > 0).all(|peer| peer.state == state);
    if missing == 0 {
        "all of it is here, and is being verified".to_owned()
    } else if peers.is_empty() {
        "nobody who holds any of it is online: it goes on when somebody is".to_owned()
    } else if !hashes_known {
        "it waits for the hashes of its pieces, which a peer sends first".to_owned()
    } else if row.unreachable == missing {
        "nobody connected holds what is missing: it goes on when somebody who does comes online".to_owned()
    } else if peers.iter().any(|peer| peer.state == PeerState::Sends) {
        let sending = peers.iter().filter(|peer| peer.state == PeerState::Sends).count() as u64;
        let who = format!("{} {}", count(sending, "peer"), if sending == 1 { "sends" } else { "send" });
        match row.unreachable {
            0 => format!("{who}, as fast as {} can", if sending == 1 { "it" } else { "they" }),
            _ => format!("{who}; for the rest somebody who has it must come online"),
        }
    } else if all_are(PeerState::Rests) {
        "those who hold what is missing do not answer; they are asked again in a while".to_owned()
    } else {
        "those who hold what is missing are busy with others; this client waits for its turn".to_owned()
    }
}

fn peer_table(explanation: &Explanation) -> String {
    let pieces = explanation.row.content.size.pieces();
    let rows: Vec<_> = explanation
        .peers
        .iter()
        .map(|peer| {
            [
                peer.user.as_ref().map_or_else(|| peer.device.to_string(), ToString::to_string),
                percent(peer.held.into(), pieces.into()),
                peer.useful.to_string(),
                peer.rate.map_or_else(|| "not measured".to_owned(), |rate| format!("{}/s", size(rate))),
                state(peer),
            ]
        })
        .collect();
    table(
        [
            ("PEER", Align::Left),
            ("HAS", Align::Right),
            ("OF USE", Align::Right),
            ("RATE", Align::Right),
            ("STATE", Align::Left),
        ],
        &rows,
    )
}

fn state(peer: &PeerRow) -> String {
    match peer.state {
        PeerState::Sends => format!("sends {}", count(peer.owed.into(), "piece")),
        PeerState::Queued => "this client waits in its queue".to_owned(),
        PeerState::Busy => "busy: its queue is full".to_owned(),
        PeerState::Rests => "did not answer in time; asked again in a while".to_owned(),
        PeerState::NothingUseful => "has nothing that is missing here".to_owned(),
        PeerState::UnderWay => "what it has comes from others already".to_owned(),
        PeerState::Free => "free".to_owned(),
    }
}

/// The explanation as JSON, beside what a listing says of the download.
pub(crate) fn document(mut value: Value, explanation: &Explanation) -> Value {
    let peer = |peer: &PeerRow| {
        json!({
            "user": peer.user.as_ref().map(|user| user.as_str()),
            "device": peer.device.to_string(),
            "held_pieces": peer.held,
            "useful_pieces": peer.useful,
            "rate_bytes_per_s": peer.rate,
            "owed_pieces": peer.owed,
            "state": word(peer.state),
        })
    };
    value["why"] = json!(reason(explanation));
    value["under_way_pieces"] = json!(explanation.under_way);
    value["rarest_piece"] =
        json!(explanation.rarest.map(|it| json!({ "piece": it.piece, "holders": it.holders })));
    value["absent_pieces"] = json!(explanation.absent);
    value["peers_by_rate"] = explanation.peers.iter().map(peer).collect();
    value
}

const fn word(state: PeerState) -> &'static str {
    match state {
        PeerState::Sends => "sends",
        PeerState::Queued => "queued",
        PeerState::Busy => "busy",
        PeerState::Rests => "rests",
        PeerState::NothingUseful => "nothing-useful",
        PeerState::UnderWay => "under-way",
        PeerState::Free => "free",
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::row;
    use super::*;
    use engine::id::DeviceId;
    use engine::name::UserName;
    use engine::peer::explain::Rarest;

    fn peer(name: &str, state: PeerState) -> PeerRow {
        let user = UserName::new(name).ok();
        PeerRow { device: DeviceId([7; 32]), user, held: 1, useful: 1, rate: Some(1 << 20), owed: 2, state }
    }

    fn explanation(peers: Vec<PeerRow>) -> Explanation {
        let mut row = row(DownloadState::Running);
        (row.held, row.unreachable) = (0, 0);
        let rarest = Some(Rarest { piece: 1, holders: 1 });
        Explanation { row, hashes_known: true, under_way: 1, rarest, absent: Vec::new(), peers }
    }

    #[test]
    fn the_reason_is_what_holds_it_up_most() {
        let states =
            |states: &[PeerState]| explanation(states.iter().map(|state| peer("ann", *state)).collect());
        assert!(reason(&states(&[])).contains("nobody who holds any of it is online"));
        assert!(reason(&states(&[PeerState::Busy, PeerState::Queued])).contains("busy with others"));
        assert!(reason(&states(&[PeerState::Rests, PeerState::Rests])).contains("do not answer"));
        assert!(reason(&states(&[PeerState::Sends, PeerState::Busy])).starts_with("1 peer sends,"));
        let mut absent = states(&[PeerState::Free]);
        absent.row.unreachable = absent.row.content.size.pieces();
        assert!(reason(&absent).contains("nobody connected holds what is missing"));
    }

    #[test]
    fn each_peer_stands_with_its_rate_and_what_it_does() {
        let mut stuck = explanation(vec![peer("ann", PeerState::Sends), peer("bob", PeerState::Busy)]);
        (stuck.absent, stuck.row.unreachable) = (vec![0], 2);
        let text = text(&stuck, None);
        for part in [
            "rarest:     piece 1, held here by 1 peer",
            "nobody has: 0, ...",
            "1.0 MiB/s  sends 2 pieces",
            "busy: its queue is full",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let document = document(json!({}), &stuck);
        assert_eq!(document["peers_by_rate"][1]["state"], "busy");
        assert_eq!(document["rarest_piece"]["piece"], 1);
    }
}
