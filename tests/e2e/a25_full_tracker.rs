//! A tracker whose disk is full says so, and goes on when there is room.

use std::fs;
use std::path::PathBuf;

use crate::harness::client::{Client, Home};
use crate::harness::process::Process;
use crate::harness::{program, until, world};

#[test]
fn changes_are_refused_while_the_disk_is_full_and_taken_when_there_is_room() {
    let folder = tempfile::Builder::new().prefix("e2e-").tempdir().unwrap();
    let (disk, list) = (folder.path().join("disk"), folder.path().join("tracker_info.txt"));
    let Some(mut command) = program::command_with_file_system(&disk, "size=4m") else { return };
    fs::write(&list, format!("{}\n", world::free_address())).unwrap();
    command.arg("tracker").arg(&list).args(["1", "--data-dir"]).arg(disk.join("tracker"));
    let tracker = Process::start("tracker 1", &mut command);
    tracker.wait_line("it listens", 0, |line| line.contains("listens on"));
    let mut ann = Client::start(Home::new("ann", &folder.path().join("ann"), &list));
    ann.create_and_log_in();
    ann.ok("create_group physics");
    // As the tracker sees it.
    let ballast = PathBuf::from(format!("/proc/{}/root{}/ballast", tracker.pid(), disk.display()));
    let full = fs::write(&ballast, vec![0; 8 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let refused = until("a change is refused", || {
        let reply = ann.ask("create_group chemistry");
        reply.error().map(str::to_owned)
    });
    assert!(refused.contains("the tracker cannot write to its disk"), "{refused}");
    ann.ok("list_members physics");
    fs::remove_file(&ballast).unwrap();
    until("changes are taken again", || ann.ask("create_group biology").error().is_none().then_some(()));
    drop(tracker);
}
