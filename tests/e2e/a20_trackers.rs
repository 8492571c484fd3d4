//! Three trackers: any of them may die, and nobody loses anything.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::content::{self, assert_same};
use crate::harness::world::group;
use crate::harness::{Cluster, until};

#[test]
fn three_trackers_find_each_other_and_serve_clients_of_any_of_them() {
    let mut cluster = Cluster::new(3);
    let (mut ann, mut bob) = (cluster.user("ann", 1), cluster.user("bob", 3));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = cluster.folder().join("file.bin");
    content::write_file(&path, 2 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.wait_seeders("physics", 1);
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
    assert_eq!(bob.json("list_members physics")[0]["online"], true, "ann is connected to another tracker");
    cluster.same_registry();
}

#[test]
fn a_client_whose_tracker_dies_goes_on_at_another_within_three_seconds() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    let mut ann = cluster.user("ann", leader);
    ann.ok("create_group physics");
    let killed = Instant::now();
    cluster.kill(leader);
    ann.told("a tracker is found");
    ann.ok("create_group chemistry");
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let next = cluster.leader();
    cluster.told(next, "this tracker leads now");
    let clients = cluster.status(1 + leader % 3).text + &cluster.status(1 + (leader + 1) % 3).text;
    assert_eq!(clients.matches("clients   1 connected, 1 logged in").count(), 1, "{clients}");
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 2);
    cluster.start(leader);
    cluster.leader();
    cluster.same_registry();
}

#[test]
fn a_download_does_not_stop_when_the_leader_dies() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    let (mut ann, mut bob) = (cluster.user("ann", leader), cluster.user("bob", leader));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = cluster.folder().join("file.bin");
    content::write_file(&path, 256 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("download_file physics file.bin");
    bob.wait_held(1);
    cluster.kill(leader);
    assert_eq!(bob.download()["state"], "running", "the tracker died during the download");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
    bob.wait_seeders("physics", 2);
}

#[test]
fn all_trackers_killed_and_started_again_know_what_they_knew() {
    let mut cluster = Cluster::new(3);
    let (mut ann, mut bob) = (cluster.user("ann", 1), cluster.user("bob", 2));
    group("physics", &mut ann, &mut [&mut bob]);
    cluster.same_registry();
    (1..=3).for_each(|number| cluster.kill(number));
    ann.told("the tracker is gone");
    (1..=3).for_each(|number| cluster.start(number));
    cluster.leader();
    for client in [&mut ann, &mut bob] {
        client.told("a tracker is found");
        assert_eq!(client.json("list_members physics").as_array().unwrap().len(), 2);
    }
    cluster.same_registry();
}

#[test]
fn a_tracker_that_was_away_catches_up_and_carries_the_whole_load() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    let away = leader % 3 + 1;
    cluster.kill(away);
    let mut ann = cluster.user("ann", leader);
    (0..30).for_each(|number| _ = ann.ok(&format!("create_group group-{number}")));
    cluster.start(away);
    cluster.leader();
    cluster.same_registry();
    cluster.kill(leader);
    cluster.leader();
    ann.told("a tracker is found");
    ann.ok("create_group after");
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 31);
}

#[test]
fn a_leader_that_was_stopped_and_goes_on_follows_the_new_one() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    let mut ann = cluster.user("ann", leader % 3 + 1);
    cluster.signal(leader, Signal::STOP);
    ann.ok("create_group physics");
    cluster.signal(leader, Signal::CONT);
    cluster.leader();
    cluster.same_registry();
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 1);
}

#[test]
fn a_tracker_that_lost_its_disk_is_let_in_again_by_a_person() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader();
    let lost = leader % 3 + 1;
    let mut ann = cluster.user("ann", leader);
    ann.ok("create_group physics");
    cluster.kill(lost);
    std::fs::remove_dir_all(&cluster.trackers[lost - 1].data).unwrap();
    cluster.start(lost);
    cluster.told(leader, &format!("says it is tracker {lost}"));
    ann.ok("create_group chemistry");
    assert!(
        cluster.status(lost).text.contains("waiting for the other trackers"),
        "it begins nothing by itself"
    );
    cluster.type_at(leader, &format!("add {lost}"));
    cluster.told(leader, "refused: tracker");
    let fingerprint = cluster.fingerprint(lost);
    cluster.type_at(leader, &format!("add {lost} {fingerprint}"));
    cluster.told(leader, "on its way");
    until("it follows", || (cluster.status(lost).role == "follower").then_some(()));
    cluster.same_registry();
    cluster.kill(leader);
    cluster.leader();
    ann.told("a tracker is found");
    ann.ok("create_group biology");
}

#[test]
fn one_of_three_trackers_alone_answers_and_says_that_it_may_be_out_of_date() {
    let mut cluster = Cluster::new(3);
    let mut ann = cluster.user("ann", 1);
    ann.ok("create_group physics");
    cluster.kill(2);
    cluster.kill(3);
    until("it knows that it is alone", || cluster.status(1).text.contains("no leader").then_some(()));
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 1);
    ann.told("may be out of date");
    ann.refused("create_group chemistry", "too few trackers are up");
    cluster.start(2);
    cluster.leader();
    ann.ok("create_group biology");
}
