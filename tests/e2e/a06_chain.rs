//! A6: a swarm lives on without the one who began it.

use crate::harness::content::assert_same;
use crate::harness::member::{Deed, Shared, Stage, serve};
use crate::harness::world::group;
use crate::harness::{Content, Member, World, until};

#[test]
fn what_was_fetched_is_fetched_on_after_the_first_seeder_left() {
    let world = World::new();
    let (mut ann, mut bob, mut carol) = (world.user("ann"), world.user("bob"), world.user("carol"));
    group("physics", &mut ann, &mut [&mut bob, &mut carol]);
    let path = world.file("file.bin", 8 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("download_file physics file.bin");
    bob.ok("wait");
    assert_eq!(ann.quit(), 0);
    carol.ok("download_file physics file.bin");
    carol.ok("wait");
    assert_same(&path, &carol.home.work.join("file.bin"));
}

#[test]
fn two_who_hold_half_each_finish_from_each_other_after_the_seeder_left() {
    let world = World::new();
    let (mut bob, mut carol) = (world.user("bob"), world.user("carol"));
    group("physics", &mut bob, &mut [&mut carol]);
    let file = Shared::new("physics", "file.bin", Content::new(8 << 20, 1));
    let pieces = file.content.pieces();
    let mut seeder = Member::log_in(&world, "seeder");
    seeder.join("physics", &mut bob);
    seeder.share(&file, pieces);
    // The seeder shows bob one half and carol the other, so that neither can have all of it from there.
    for (client, rest) in [(&mut bob, 0), (&mut carol, 1)] {
        client.ok("download_file physics file.bin");
        let half: Vec<u32> = (0..pieces).filter(|piece| piece % 2 == rest).collect();
        let link = seeder.accept();
        let mut given = 0;
        let link = serve(link, &file, &half, |link, stage| match stage {
            Stage::Requested(theirs, piece) => {
                link.send_piece(theirs, piece, file.content.piece(piece)).unwrap();
                given += 1;
                if given == half.len() { Deed::Stop } else { Deed::Done }
            }
            _ => Deed::Honest,
        });
        client.wait_held(u64::from(pieces / 2));
        link.expect("the client stays").cut();
    }
    drop(seeder);
    for client in [&mut bob, &mut carol] {
        client.ok("wait");
        let copy = std::fs::read(client.home.work.join("file.bin")).unwrap();
        assert!(copy == file.content.bytes);
    }
}

#[test]
fn a_download_without_a_seeder_waits_and_says_so() {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 2 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.ok("stop_share physics file.bin");
    until("the file is marked", || (bob.json("list_files physics")[0]["available"] == false).then_some(()));
    bob.ok("download_file physics file.bin");
    let download = bob.download();
    assert_eq!((&download["state"], &download["unreachable_pieces"]), (&"running".into(), &4.into()));
    ann.ok(&format!("upload_file {} physics", path.display()));
    bob.ok("wait");
    assert_same(&path, &bob.home.work.join("file.bin"));
}
