//! A16: one user at two clients.

use crate::harness::content::assert_same;
use crate::harness::world::group;
use crate::harness::{Client, World};

/// Ann at two clients.
fn twice(world: &World) -> (Client, Client) {
    let desk = world.user("ann");
    let mut laptop = world.client("laptop");
    laptop.ok("login ann secret-ann");
    (desk, laptop)
}

#[test]
fn both_work_and_each_is_a_peer_of_its_own() {
    let world = World::new();
    let (mut desk, mut laptop) = twice(&world);
    desk.ok("create_group physics");
    laptop.ok("create_group chemistry");
    assert_eq!(desk.json("list_groups"), laptop.json("list_groups"));
    assert_ne!(desk.json("whoami")["device"], laptop.json("whoami")["device"]);
    let path = world.file("file.bin", 4 << 20, 1);
    desk.ok(&format!("upload_file {} physics", path.display()));
    laptop.ok("download_file physics file.bin");
    laptop.ok("wait");
    assert_same(&path, &laptop.home.work.join("file.bin"));
    assert_eq!(desk.sent(), 4 << 20);
}

#[test]
fn a_third_fetches_from_both() {
    let world = World::new();
    let (mut desk, mut laptop) = twice(&world);
    let mut bob = world.user("bob");
    group("physics", &mut desk, &mut [&mut bob]);
    let path = world.file("file.bin", 32 << 20, 1);
    for client in [&mut desk, &mut laptop] {
        client.ok(&format!("upload_file {} physics", path.display()));
    }
    bob.wait_seeders("physics", 2);
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
    let sent = [desk.sent(), laptop.sent()];
    assert!(sent.iter().all(|sent| (1..32 << 20).contains(sent)), "{sent:?}");
}

#[test]
fn news_come_to_both_and_one_may_leave() {
    let world = World::new();
    let (mut desk, mut laptop) = twice(&world);
    let mut bob = world.user("bob");
    desk.ok("create_group physics");
    bob.ok("join_group physics");
    desk.told("bob asks to join physics");
    laptop.told("bob asks to join physics");
    assert_eq!(desk.quit(), 0);
    laptop.ok("accept_request physics bob");
    let members = laptop.json("list_members physics");
    assert_eq!(members[0]["online"], true);
}
