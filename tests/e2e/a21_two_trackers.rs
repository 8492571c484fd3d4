//! Two trackers: the second is the backup of the first.

use crate::harness::{Cluster, until};

fn generation(cluster: &mut Cluster, number: usize) -> String {
    let text = cluster.status(number).text;
    text.rsplit("generation ").next().unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn the_backup_goes_on_alone_and_the_first_follows_it_when_it_returns() {
    let mut cluster = Cluster::new(2);
    let mut ann = cluster.user("ann", 1);
    ann.ok("create_group physics");
    cluster.same_registry();
    cluster.kill(1);
    cluster.told(2, "this one goes on alone");
    ann.told("a tracker is found");
    until("the backup leads", || (cluster.status(2).role == "leader").then_some(()));
    ann.ok("create_group chemistry");
    assert_eq!(generation(&mut cluster, 2), "2");
    cluster.start(1);
    cluster.told(1, "this one follows it");
    until("it is let in again", || (cluster.status(1).role != "none").then_some(()));
    cluster.leader();
    cluster.same_registry();
    assert_eq!(generation(&mut cluster, 1), "2");
    ann.ok("create_group biology");
    // Now the first is the backup.
    cluster.kill(2);
    cluster.told(1, "this one goes on alone");
    ann.told("a tracker is found");
    until("the first leads", || (cluster.status(1).role == "leader").then_some(()));
    ann.ok("create_group geology");
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 4);
}

#[test]
fn the_first_without_its_backup_answers_and_is_made_to_go_on_alone() {
    let mut cluster = Cluster::new(2);
    let mut ann = cluster.user("ann", 1);
    ann.ok("create_group physics");
    cluster.kill(2);
    until("it knows that it is alone", || cluster.status(1).text.contains("no leader").then_some(()));
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 1);
    ann.refused("create_group chemistry", "too few trackers are up");
    ann.ok("logout");
    // The password may have been changed where this tracker does not see it.
    ann.refused("login ann wrong", "too few trackers are up");
    until("its link stands again", || ann.ask("login ann secret-ann").error().is_none().then_some(()));
    cluster.type_at(1, "force_single");
    cluster.told(1, "this tracker goes on alone");
    cluster.leader();
    ann.ok("create_group biology");
    cluster.start(2);
    cluster.told(2, "this one follows it");
    until("it is let in again", || (cluster.status(2).role != "none").then_some(()));
    cluster.leader();
    cluster.same_registry();
}
