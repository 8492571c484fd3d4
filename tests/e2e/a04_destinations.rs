//! A4: where a download may go, and where it may not.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::harness::content::assert_same;
use crate::harness::world::group;
use crate::harness::{Client, World, permissions_bind, program, skip};

/// Ann shares a file of 4 MiB with bob.
fn shared() -> (World, Client, Client, PathBuf) {
    let world = World::new();
    let (mut ann, mut bob) = (world.user("ann"), world.user("bob"));
    group("physics", &mut ann, &mut [&mut bob]);
    let path = world.file("file.bin", 4 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    (world, ann, bob, path)
}

fn download(to: &Path) -> String {
    format!("download_file physics file.bin '{}'", to.display())
}

/// A download is refused or fails, in words that hold `why`.
fn fails(client: &mut Client, to: &Path, why: &str) {
    let reply = client.ask(&download(to));
    if let Some(error) = reply.error() {
        assert!(error.contains(why), "{error}");
    } else {
        client.refused("wait physics file.bin", why);
        assert!(client.ok("show_downloads").starts_with("[E] [physics] file.bin"));
    }
}

#[test]
fn a_folder_takes_the_file_under_its_name_and_another_name_is_used_as_it_is() {
    let (world, _ann, mut bob, path) = shared();
    let folder = world.folder().join("folder");
    fs::create_dir(&folder).unwrap();
    bob.ok(&download(&folder));
    bob.ok("wait");
    assert_same(&path, &folder.join("file.bin"));
    bob.ok("stop_share physics file.bin");
    bob.ok(&download(&folder.join("other.bin")));
    bob.ok("wait");
    assert_same(&path, &folder.join("other.bin"));
}

#[test]
fn a_missing_folder_is_refused() {
    let (world, _ann, mut bob, _path) = shared();
    let missing = world.folder().join("missing");
    fails(&mut bob, &missing.join("file.bin"), "the destination folder does not exist");
    assert!(!missing.exists());
}

#[test]
fn a_used_destination_is_refused_and_left_alone() {
    let (_world, _ann, mut bob, _path) = shared();
    let there = bob.home.work.join("file.bin");
    fs::write(&there, "mine").unwrap();
    fails(&mut bob, &there, "something is there already");
    assert_eq!(fs::read(&there).unwrap(), b"mine");
}

#[test]
fn a_link_at_the_destination_is_not_followed() {
    let (world, _ann, mut bob, _path) = shared();
    let target = world.folder().join("target");
    let there = bob.home.work.join("file.bin");
    symlink(&target, &there).unwrap();
    fails(&mut bob, &there, "something is there already");
    assert!(!target.exists());
}

#[test]
fn a_file_that_appears_during_the_download_is_not_overwritten() {
    let (world, mut ann, mut bob, path) = shared();
    ann.ok("logout");
    bob.ok("download_file physics file.bin");
    let there = bob.home.work.join("file.bin");
    fs::write(&there, "mine").unwrap();
    ann.log_in();
    bob.refused("wait physics file.bin", "something is there already");
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    let elsewhere = world.folder().join("elsewhere.bin");
    bob.ok(&download(&elsewhere));
    bob.ok("wait physics file.bin");
    assert_same(&path, &elsewhere);
}

#[test]
fn a_folder_without_write_permission_is_refused() {
    if !permissions_bind() {
        return skip("root writes everywhere; the read-only file system below is tried instead");
    }
    let (world, _ann, mut bob, _path) = shared();
    let folder = world.folder().join("locked");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    fails(&mut bob, &folder, "permission denied");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// Runs bob's client, which must not be running, with a file system of its own at `folder`. None if this machine does not allow it.
fn with_file_system(bob: Client, folder: &Path, options: &str) -> Option<Client> {
    let mut command = program::command_with_file_system(folder, options)?;
    let home = bob.home.clone();
    assert_eq!(bob.quit(), 0);
    command.args(home.arguments()).current_dir(&home.work);
    let mut client = Client::start_as(home, &mut command);
    client.log_in();
    Some(client)
}

/// The folder as the client sees it.
fn inside(client: &Client, folder: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{}/root{}", client.process.pid(), folder.display()))
}

#[test]
fn a_read_only_file_system_is_refused() {
    let (world, _ann, bob, _path) = shared();
    let folder = world.folder().join("read-only");
    let Some(mut bob) = with_file_system(bob, &folder, "ro") else { return };
    fails(&mut bob, &folder, "");
    assert!(!bob.ok("show_downloads").starts_with("[C]"));
}

#[test]
fn on_a_full_disk_the_download_waits_and_goes_on_when_there_is_room() {
    let (world, _ann, bob, path) = shared();
    let folder = world.folder().join("small");
    let Some(mut bob) = with_file_system(bob, &folder, "size=6m") else { return };
    let seen = inside(&bob, &folder);
    fs::write(seen.join("ballast"), vec![0; 4 << 20]).unwrap();
    let reply = bob.ask(&download(&folder));
    if reply.error().is_none() {
        bob.told("waits for room on the disk");
        assert!(bob.ok("show_downloads").contains("waits for room on the disk"));
    } else {
        assert!(reply.text().contains("the disk is full"), "{}", reply.text());
    }
    assert!(!seen.join("file.bin").exists(), "nothing half-done stands under the final name");
    fs::remove_file(seen.join("ballast")).unwrap();
    if reply.error().is_some() {
        bob.ok(&download(&folder));
    }
    bob.ok("wait physics file.bin");
    assert_same(&path, &seen.join("file.bin"));
}
