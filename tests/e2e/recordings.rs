//! What a node recorded is lived again by the simulator: the same inputs, the same actions.

use std::path::Path;

use crate::harness::world::group;
use crate::harness::{Client, World};
use sim::relive::{Relived, relive};

fn recorded(world: &World, name: &str, file: &Path) -> Client {
    let home = world.home(name);
    let mut command = home.command();
    command.arg("--record").arg(file);
    let mut client = Client::start_as(home, &mut command);
    client.create_and_log_in();
    client
}

fn live_again(file: &Path) -> Relived {
    let bytes = std::fs::read(file).unwrap();
    relive(&bytes, |_| {}).unwrap_or_else(|failure| panic!("sim replay {}: {failure}", file.display()))
}

#[test]
fn a_tracker_and_two_clients_are_lived_again() {
    let mut world = World::new();
    let file = |name: &str| world.folder().join(name);
    let (of_tracker, of_ann, of_ben) = (file("tracker.rec"), file("ann.rec"), file("ben.rec"));
    assert_eq!(world.tracker.terminate(), 0);
    world.tracker.restart_recording(&of_tracker);
    let (mut ann, mut ben) = (recorded(&world, "ann", &of_ann), recorded(&world, "ben", &of_ben));
    group("physics", &mut ann, &mut [&mut ben]);
    let path = world.file("file.bin", 5 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ben.ok("download_file physics file.bin");
    ben.ok("wait");
    assert_eq!(ben.quit(), 0);
    // Its recording ends wherever it was then.
    ann.kill();
    assert_eq!(world.tracker.terminate(), 0);
    for recording in [&of_tracker, &of_ann, &of_ben] {
        let Relived { inputs, .. } = live_again(recording);
        assert!(inputs >= 20, "{}: {inputs}", recording.display());
    }
    let bytes = std::fs::read(&of_ben).unwrap();
    let cut = &bytes[..bytes.len() / 2];
    assert!(relive(cut, |_| {}).is_ok(), "half of it is a recording, too");
    let mut other = bytes.clone();
    // The last digest: the course is another one now.
    *other.last_mut().unwrap() ^= 1;
    assert!(relive(&other, |_| {}).is_err(), "another course is told apart");
}
