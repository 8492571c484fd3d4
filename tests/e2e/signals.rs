//! A signal ends a client in good order, and the trackers know at once.

use rustix::process::Signal;

use crate::harness::World;
use crate::harness::world::group;

fn ends_in_good_order(signal: Signal) {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 1 << 20, 1);
    bob.ok(&format!("upload_file {} physics", path.display()));
    ann.wait_seeders("physics", 1);
    bob.process.signal(signal);
    assert_eq!(bob.process.exit_code(), 130, "it worked through a script");
    ann.wait_seeders("physics", 0);
}

#[test]
fn a_client_that_is_interrupted_says_goodbye() {
    ends_in_good_order(Signal::INT);
}

#[test]
fn a_client_that_is_terminated_says_goodbye() {
    ends_in_good_order(Signal::TERM);
}
