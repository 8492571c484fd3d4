//! What trackers can do in a second, and what a swarm costs them.
//!
//! `LARGE=1` makes the runs long enough for figures; both print what they found, with `--nocapture`.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use engine::limits::{ANNOUNCES_PER_MESSAGE, REQUESTS_PER_LINK};
use engine::name::{FileName, GroupName};
use engine::wire::list::List;
use engine::wire::tracker::{
    Announce, Answer, Change, ClientMessage, GroupRow, Request, Standing, TrackerMessage,
};

use crate::harness::content::Content;
use crate::harness::member::group_name;
use crate::harness::{Cluster, Member, World};

/// Private memory of a tracker for one peer's part in one swarm.
const BYTES_PER_ENTRY_MAX: u64 = 512;

fn is_large() -> bool {
    std::env::var_os("LARGE").is_some()
}

fn member_at(tracker: SocketAddr, name: &str) -> Member {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    Member::log_in_from(tracker, name, listener, listen)
}

/// Groups that one member makes at most: all together stay below what a tracker takes.
const GROUPS_EACH_MAX: usize = 6_000;

/// Makes changes, as many at once as a link takes, each acknowledged before its successor is asked for.
fn change_for(member: &mut Member, index: usize, time: Duration) -> Vec<GroupName> {
    let began = Instant::now();
    let (mut asked, mut granted): (Vec<(u64, GroupName)>, Vec<GroupName>) = Default::default();
    for number in 0.. {
        let over = number >= GROUPS_EACH_MAX || began.elapsed() >= time;
        if over && asked.is_empty() {
            return granted;
        }
        if !over {
            let group = group_name(&format!("group-{index}-{number}"));
            let change = Change::CreateGroup { group: group.clone() };
            asked.push((member.send_request(Request::Change(change)), group));
        }
        while asked.len() >= REQUESTS_PER_LINK || over && !asked.is_empty() {
            if let TrackerMessage::Answer { seq, answer } = member.told() {
                assert_eq!(*answer.unwrap(), Answer::Done);
                let which = asked.iter().position(|(number, _)| *number == seq).unwrap();
                granted.push(asked.swap_remove(which).1);
            }
        }
    }
    unreachable!("there is always a next number")
}

fn all_groups(member: &mut Member) -> BTreeSet<GroupName> {
    let mut found = BTreeSet::new();
    loop {
        let after = found.last().cloned();
        let Ok(Answer::Groups(page)) = member.request(Request::Groups { after }) else {
            panic!("groups are listed")
        };
        let more = page.more;
        found.extend(page.rows.into_vec().into_iter().map(|row: GroupRow| row.group));
        if !more {
            return found;
        }
    }
}

/// Gives the changes that were acknowledged in a second.
fn many_changes(trackers: usize) -> f64 {
    let time = if is_large() { Duration::from_secs(3) } else { Duration::from_secs(1) };
    let mut cluster = Cluster::new(trackers);
    let addresses: Vec<SocketAddr> = cluster.trackers.iter().map(|tracker| tracker.address).collect();
    let mut members: Vec<Member> =
        (0..16).map(|index| member_at(addresses[index % trackers], &format!("user{index}"))).collect();
    let began = Instant::now();
    let granted: Vec<GroupName> = std::thread::scope(|scope| {
        let work: Vec<_> = members
            .iter_mut()
            .enumerate()
            .map(|(index, member)| scope.spawn(move || change_for(member, index, time)))
            .collect();
        work.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = began.elapsed();
    let granted: BTreeSet<GroupName> = granted.into_iter().collect();
    cluster.same_registry();
    for member in members.iter_mut().take(trackers) {
        assert_eq!(all_groups(member), granted);
    }
    granted.len() as f64 / took.as_secs_f64()
}

#[test]
fn one_tracker_acknowledges_many_changes_and_keeps_each() {
    println!("one tracker: {:.0} acknowledged changes a second, of 16 clients", many_changes(1));
}

#[test]
fn three_trackers_acknowledge_many_changes_and_each_keeps_all() {
    println!("three trackers: {:.0} acknowledged changes a second, of 16 clients", many_changes(3));
}

#[test]
fn swarms_cost_a_tracker_little_memory_and_announces_little_time() {
    let (people, files, rounds) = if is_large() { (64, 4_000, 400) } else { (32, 200, 4) };
    let group = group_name("physics");
    let content = Content::new(1, 1).listed();
    let name = |number: usize| FileName::new(&format!("file-{number}")).unwrap();
    let world = World::new();
    let mut members: Vec<Member> =
        (0..people).map(|number| Member::log_in(&world, &format!("user{number}"))).collect();
    let (owner, others) = members.split_first_mut().unwrap();
    owner.request(Request::Change(Change::CreateGroup { group: group.clone() })).unwrap();
    for number in 0..files {
        let add = Change::AddFile { group: group.clone(), name: name(number), content };
        owner.request(Request::Change(add)).unwrap();
    }
    for other in others {
        other.request(Request::Change(Change::JoinGroup { group: group.clone() })).unwrap();
        let accept = Change::Accept { group: group.clone(), user: other.user.clone() };
        owner.request(Request::Change(accept)).unwrap();
    }
    let announce = |number: usize, want_peers: bool| Announce {
        group: group.clone(),
        name: name(number),
        hashes: content.hashes,
        state: Standing::Active { held: 1, reachable: 1 },
        want_peers,
    };
    // A question that is answered says that all before it was taken in.
    let settle = |member: &mut Member| drop(member.request(Request::Groups { after: None }).unwrap());
    let memory = || world.tracker.process.memory_kib("RssAnon") * 1_024;
    let before = memory();
    for member in &mut members {
        for first in (0..files).step_by(ANNOUNCES_PER_MESSAGE) {
            let some = (first..files).take(ANNOUNCES_PER_MESSAGE).map(|number| announce(number, false));
            member.tracker.send(&ClientMessage::Announce(List::new(some.collect()))).unwrap();
        }
        settle(member);
    }
    let entries = (people * files) as u64;
    let each = memory().saturating_sub(before) / entries;
    let (ticks, began) = (world.tracker.process.cpu_ticks(), Instant::now());
    std::thread::scope(|scope| {
        for member in members.iter_mut().take(4) {
            scope.spawn(|| {
                for round in 0..rounds {
                    let some = (0..ANNOUNCES_PER_MESSAGE).map(|at| announce((round + at) % files, true));
                    member.tracker.send(&ClientMessage::Announce(List::new(some.collect()))).unwrap();
                    let mut answers = 0;
                    while answers < ANNOUNCES_PER_MESSAGE {
                        answers += usize::from(matches!(member.told(), TrackerMessage::Swarm { .. }));
                    }
                }
            });
        }
    });
    let announces = (4 * rounds * ANNOUNCES_PER_MESSAGE) as f64;
    let cpu_s = (world.tracker.process.cpu_ticks() - ticks).max(1) as f64 / 100.0;
    println!(
        "{entries} swarm entries: {each} bytes each; {:.0} announces for each second of the tracker's processor time, {:.0} a second of the \
         clock, each answered with up to 50 peers",
        announces / cpu_s,
        announces / began.elapsed().as_secs_f64()
    );
    assert!(each <= BYTES_PER_ENTRY_MAX, "{each} bytes for each of {entries} entries");
}
