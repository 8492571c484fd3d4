//! Trackers killed one after another, under load. `KILLS=200` makes it a long run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Cluster, SetOnDrop};

#[test]
fn nothing_that_was_acknowledged_is_lost_whatever_is_killed() {
    let kills: usize = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6);
    let mut cluster = Cluster::new(3);
    let clients: Vec<_> = (1..=3).map(|first| cluster.user(&format!("user{first}"), first)).collect();
    let done = AtomicBool::new(false);
    let acknowledged: BTreeSet<String> = std::thread::scope(|scope| {
        let end = SetOnDrop(&done);
        let work = clients.into_iter().enumerate().map(|(index, mut client)| {
            let done = &done;
            scope.spawn(move || {
                let mut made = Vec::new();
                for number in 0.. {
                    if done.load(Ordering::Acquire) {
                        break;
                    }
                    let name = format!("group-{index}-{number}");
                    if client.ask(&format!("create_group {name}")).error().is_none() {
                        made.push(name);
                    }
                }
                made
            })
        });
        let work: Vec<_> = work.collect();
        for kill in 0..kills {
            // Not the same one each time, and by turns the leader.
            let victim = if kill % 2 == 0 { cluster.leader() } else { kill % 3 + 1 };
            cluster.kill(victim);
            cluster.start(victim);
            cluster.leader();
        }
        drop(end);
        work.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(acknowledged.len() >= kills, "{} changes are no load", acknowledged.len());
    cluster.same_registry();
    for number in 1..=3 {
        let mut reader = cluster.user(&format!("reader{number}"), number);
        let rows = reader.json("list_groups");
        let known: BTreeSet<String> =
            rows.as_array().unwrap().iter().map(|row| row["group"].as_str().unwrap().to_owned()).collect();
        let lost: Vec<&String> = acknowledged.difference(&known).collect();
        assert!(lost.is_empty(), "tracker {number} lost {lost:?}");
    }
}
