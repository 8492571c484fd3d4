//! Backups of trackers.

use crate::harness::{Client, Cluster, program};

#[test]
fn what_a_running_tracker_backed_up_begins_another() {
    let mut cluster = Cluster::new(1);
    let mut ann = cluster.user("ann", 1);
    ann.ok("create_group physics");
    let backup = cluster.folder().join("backup");
    cluster.type_at(1, &format!("backup {}", backup.display()));
    cluster.told(1, "backup written");
    ann.ok("create_group afterwards");
    cluster.kill(1);
    std::fs::remove_dir_all(&cluster.trackers[0].data).unwrap();
    for (expected, says) in [(0, ""), (3, "there is a tracker in")] {
        let mut restore = program::command();
        restore.arg("restore").arg(cluster.list()).arg("1").arg(&backup);
        restore.arg("--data-dir").arg(&cluster.trackers[0].data);
        let output = restore.output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    }
    cluster.start(1);
    cluster.leader();
    // The tracker has a new key, which the old client must not take for the old one.
    drop(ann);
    std::fs::remove_file(cluster.folder().join("ann/data/known_trackers")).unwrap();
    let mut ann = Client::start(cluster.home("ann", 1));
    ann.log_in();
    assert_eq!(ann.json("list_groups").as_array().unwrap().len(), 1);
}
