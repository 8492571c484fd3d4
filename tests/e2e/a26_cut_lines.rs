//! A line that is cut ends no connection: only silence tells. Trackers on hosts of their own, where the machine allows that.

use crate::harness::content::{self, assert_same};
use crate::harness::world::group;
use crate::harness::{Cluster, Lan, until};

#[test]
fn a_leader_that_is_cut_off_is_followed_by_another_and_follows_it_when_it_is_back() {
    let Some(lan) = Lan::new(3) else { return };
    let mut cluster = Cluster::on(lan, 3);
    let leader = cluster.leader();
    let mut ann = cluster.user("ann", leader);
    ann.ok("create_group physics");
    cluster.cut_off(leader);
    ann.ok("create_group chemistry");
    ann.told("the tracker is gone");
    until("it knows that it leads nobody", || (cluster.status(leader).role != "leader").then_some(()));
    cluster.let_in(leader);
    cluster.leader();
    cluster.same_registry();
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 2);
}

#[test]
fn a_download_goes_on_while_every_tracker_is_cut_off() {
    let Some(lan) = Lan::new(2) else { return };
    let cluster = Cluster::on(lan, 2);
    let (mut ann, mut bob) = (cluster.user("ann", 1), cluster.user("bob", 2));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = cluster.folder().join("file.bin");
    content::write_file(&path, 64 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("limit download 16MiB/s");
    bob.ok("download_file physics file.bin");
    bob.wait_held(1);
    (1..=2).for_each(|number| cluster.cut_off(number));
    assert_eq!(bob.download()["state"], "running", "they were cut off during the download");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
}

#[test]
fn of_two_trackers_that_cannot_see_each_other_one_goes_on() {
    let Some(lan) = Lan::new(2) else { return };
    let mut cluster = Cluster::on(lan, 2);
    let mut ann = cluster.user("ann", 1);
    ann.ok("create_group physics");
    cluster.cut_off(1);
    until("its backup goes on alone", || ann.ask("create_group chemistry").error().is_none().then_some(()));
    assert_eq!(cluster.status(2).role, "leader");
    assert_ne!(cluster.status(1).role, "leader", "never are there two heads");
    cluster.let_in(1);
    cluster.leader();
    cluster.same_registry();
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 2);
}
