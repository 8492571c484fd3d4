//! A3: what can be shared, and what cannot.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use sha1::Digest as _;

use crate::harness::content::{assert_same, checksum};
use crate::harness::world::group;
use crate::harness::{Client, PIECE, World, permissions_bind, skip};

fn owner() -> (World, Client) {
    let world = World::new();
    let mut ann = world.user("ann");
    ann.ok("create_group physics");
    (world, ann)
}

fn upload(path: &Path) -> String {
    format!("upload_file '{}' physics", path.display())
}

#[test]
fn a_folder_is_refused() {
    let (world, mut ann) = owner();
    fs::create_dir(world.folder().join("folder")).unwrap();
    ann.refused(&upload(&world.folder().join("folder")), "not a regular file");
}

#[test]
fn a_device_is_refused() {
    let (_world, mut ann) = owner();
    ann.refused(&upload(Path::new("/dev/zero")), "not a regular file");
}

#[test]
fn a_missing_file_is_refused() {
    let (world, mut ann) = owner();
    ann.refused(&upload(&world.folder().join("missing")), "no such file");
}

#[test]
fn a_link_is_refused_wherever_it_leads() {
    let (world, mut ann) = owner();
    let path = world.file("notes.txt", 1_000, 1);
    symlink(&path, world.folder().join("link")).unwrap();
    ann.refused(&upload(&world.folder().join("link")), "not a regular file");
    symlink(world.folder().join("missing"), world.folder().join("dangling")).unwrap();
    ann.refused(&upload(&world.folder().join("dangling")), "not a regular file");
}

#[test]
fn an_unreadable_file_is_refused() {
    if !permissions_bind() {
        return skip("root reads every file");
    }
    let (world, mut ann) = owner();
    let path = world.file("notes.txt", 1_000, 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    ann.refused(&upload(&path), "permission denied");
}

#[test]
fn a_file_goes_only_to_a_group_of_ones_own() {
    let (world, mut ann) = owner();
    let path = world.file("notes.txt", 1_000, 1);
    let mut bob = world.user("bob");
    bob.refused(&upload(&path), "you are not a member of physics");
    ann.refused(&format!("upload_file {} chemistry", path.display()), "there is no group chemistry");
}

#[test]
fn the_same_name_with_other_content_is_refused_and_who_shares_it_is_named() {
    let (world, mut ann) = owner();
    let mut bob = world.user("bob");
    crate::harness::world::join("physics", &mut ann, &mut bob);
    ann.ok(&upload(&world.file("notes.txt", 1_000, 1)));
    fs::create_dir(world.folder().join("other")).unwrap();
    bob.refused(&upload(&world.file("other/notes.txt", 1_000, 2)), "shared by ann: rename yours");
    fs::create_dir(world.folder().join("same")).unwrap();
    bob.ok(&upload(&world.file("same/notes.txt", 1_000, 1)));
    ann.wait_seeders("physics", 2);
    ann.refused(&upload(&world.folder().join("notes.txt")), "you share notes.txt from this client already");
}

#[test]
fn both_orders_of_the_arguments_and_many_groups_are_fine() {
    let (world, mut ann) = owner();
    ann.ok("create_group chemistry");
    ann.ok("create_group biology");
    let path = world.file("notes.txt", 1_000, 1);
    let path = path.display();
    ann.ok(&format!("upload_file {path} physics"));
    ann.ok(&format!("upload_file chemistry {path}"));
    ann.ok(&format!("upload_file biology {path} 1000"));
    assert_eq!(ann.json("show_shares").as_array().map(Vec::len), Some(3));
}

/// Shares a file of `len` bytes and fetches it.
fn there_and_back(len: u64) {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", len, len);
    ann.ok(&upload(&path));
    bob.ok("download_file physics file.bin");
    bob.ok("wait physics file.bin");
    assert_same(&path, &bob.home.work.join("file.bin"));
    assert!(bob.ok("show_downloads").starts_with("[C] [physics] file.bin"));
    let listed = &bob.json("list_files physics")[0];
    assert_eq!(listed["size"], len);
    assert_eq!(listed["pieces"], len.div_ceil(PIECE as u64));
    assert_eq!(listed["checksum"], checksum(&path).to_hex().as_str());
}

#[test]
fn an_empty_file_works() {
    there_and_back(0);
}

#[test]
fn a_file_of_one_byte_works() {
    there_and_back(1);
}

#[test]
fn a_file_one_byte_short_of_a_piece_works() {
    there_and_back(524_287);
}

#[test]
fn a_file_of_exactly_a_piece_works() {
    there_and_back(524_288);
}

#[test]
fn a_file_one_byte_longer_than_a_piece_works() {
    there_and_back(524_289);
}

#[test]
fn a_file_of_64_mib_works() {
    there_and_back(64 << 20);
}

#[test]
fn files_of_1_gib_and_10_gib_work() {
    if std::env::var_os("LARGE").is_none() {
        return skip("set LARGE=1 to move 11 GiB");
    }
    there_and_back(1 << 30);
    there_and_back(10 << 30);
}

#[test]
fn hashes_agree_with_common_tools() {
    let (world, mut ann) = owner();
    let path = world.file("file.bin", PIECE as u64 * 2 + 77, 3);
    ann.ok(&upload(&path));
    let info = ann.json("file_info physics file.bin");
    let bytes = fs::read(&path).unwrap();
    let sha1: Vec<String> = bytes.chunks(PIECE).map(|piece| hex(&sha1::Sha1::digest(piece))).collect();
    assert_eq!(info["sha1"], serde_json::json!(sha1));
    let short: String = sha1.iter().map(|hash| &hash[..20]).collect();
    assert_eq!(info["short_hash"], short);
    assert_eq!(info["checksum"], blake3::hash(&bytes).to_hex().as_str());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
