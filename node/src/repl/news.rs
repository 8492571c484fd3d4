//! What a person is told without asking, as text.

use engine::peer::command::{Giver, News};
use engine::wire::tracker::Notice;

use super::text::{count, place, quoted, span};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What is the same each time: for scripts.
    Plain,
    /// Times and givers as well: for people.
    Full,
}

/// A line or two, ending with a newline.
pub(crate) fn news(news: &News, detail: Detail) -> String {
    match news {
        News::Notice(it) => format!("note: {}\n", notice(it)),
        News::DownloadComplete { group, name, place: at, took, from } => {
            let mut text = format!("[C] [{group}] {name}  complete and verified: {}", place(at));
            if detail == Detail::Full {
                text.push_str(&format!("  ({}{})", span(*took), givers(from)));
            }
            text + "\n"
        }
        News::DownloadFailed { group, name, why } => format!("[E] [{group}] {name}  {why}\n"),
        News::DownloadPaused { group, name } => {
            format!(
                "note: [{group}] {name} waits for room on the disk: make some, and it goes on by itself\n"
            )
        }
        News::PartLeft { group, name, place: at } => format!(
            "note: [{group}] {name} is fetched anew; what an earlier download has of it stays in the partial file of {}, and is not used\n",
            place(at)
        ),
        News::ShareLost { group, name, why } => {
            format!("note: [{group}] {name} is no longer shared from this client: {why}\n")
        }
        News::NoTracker => "note: no tracker answers yet: this client goes on trying\n".to_owned(),
        News::TrackerLost => "note: the tracker is gone: looking for another; downloads go on\n".to_owned(),
        News::TrackerFound(address) if detail == Detail::Full => format!("note: tracker {address} found\n"),
        News::TrackerFound(_) => "note: a tracker is found\n".to_owned(),
        News::TrackerCutOff(true) => {
            "note: the tracker reaches too few others: what it shows may be out of date, and nothing can be changed\n".to_owned()
        }
        News::TrackerCutOff(false) => "note: the tracker reaches the others again\n".to_owned(),
        News::FirstContact { tracker, key } => format!(
            "note: first contact with the tracker at {tracker}; its fingerprint is {key}: compare it with the one that the tracker prints\n"
        ),
        News::TrackerDistrusted(why) => format!("note: {why}\n"),
        News::SessionLost(why) => format!("note: the session is lost ({why}): log in again\n"),
        News::Replicating { files, leechers } => format!("note: {}\n", replicating(*files, *leechers)),
    }
}

/// What must happen before this client leaves.
pub(crate) fn replicating(files: usize, leechers: u32) -> String {
    format!(
        "leaving when others hold what is shared here: {} to go, {} fetching",
        count(files as u64, "file"),
        count(leechers.into(), "peer")
    )
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::JoinRequested { group, user } => {
            let (g, u) = (quoted(group.as_str()), quoted(user.as_str()));
            format!("{user} asks to join {group}: accept_request {g} {u}, or reject_request {g} {u}")
        }
        Notice::Accepted { group } => format!("you are a member of {group} now"),
        Notice::Rejected { group } => format!("your request to join {group} was rejected"),
        Notice::Removed { group } => format!("you were removed from {group}"),
        Notice::MadeAdmin { group } => format!("you are an admin of {group} now"),
        Notice::MadeOwner { group } => format!("{group} is yours now: its owner left"),
    }
}

fn givers(from: &[Giver]) -> String {
    const SHOWN_MAX: usize = 5;
    let mut text = String::new();
    for giver in from.iter().take(SHOWN_MAX) {
        let user = giver.user.as_ref().map_or("a peer", |user| user.as_str());
        text.push_str(&format!(", {} from {user}", count(giver.pieces.into(), "piece")));
    }
    if from.len() > SHOWN_MAX {
        text.push_str(&format!(", and from {} others", from.len() - SHOWN_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::{file, group, user};
    use super::*;
    use engine::id::DeviceId;
    use engine::name::{GroupName, Place};
    use engine::time::Span;

    #[test]
    fn a_request_names_the_commands_that_answer_it() {
        let asked = Notice::JoinRequested { group: GroupName::new("phy sics").unwrap(), user: user("bob") };
        assert_eq!(
            news(&News::Notice(asked), Detail::Full),
            "note: bob asks to join phy sics: accept_request 'phy sics' bob, or reject_request 'phy sics' bob\n"
        );
    }

    #[test]
    fn a_script_hears_nothing_that_differs_from_run_to_run() {
        let complete = |took, pieces| News::DownloadComplete {
            group: group(),
            name: file(),
            place: Place(Box::from(&b"/tmp/a b.txt"[..])),
            took,
            from: vec![Giver { device: DeviceId([1; 32]), user: Some(user("ann")), pieces }],
        };
        let one = complete(Span::from_secs(1), 1);
        assert_eq!(
            news(&one, Detail::Full),
            "[C] [physics] a b.txt  complete and verified: /tmp/a b.txt  (1 s, 1 piece from ann)\n"
        );
        assert_eq!(news(&one, Detail::Plain), news(&complete(Span::from_secs(9), 7), Detail::Plain));
    }
}
