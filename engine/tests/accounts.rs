//! Accounts, groups and the catalogue, as people meet them: what is done, and how each thing is refused.

use engine::peer::command::{Command, Leaving, News, Reply};
use engine::refusal::{DiskError, Refusal};
use engine::time::Span;
use engine::wire::tracker::{GroupStanding, Notice, Role};
use sim::prose::{download, file, group, pieces, place, user};
use sim::{NodeId, World};

/// alice owns "g", bob is a member, carol is a stranger.
fn village() -> (World, NodeId, NodeId, NodeId) {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.person("alice"), world.person("bob"), world.person("carol"));
    world.make_group(alice, "g", &[(bob, "bob")]);
    (world, alice, bob, carol)
}

fn join(name: &str) -> Command {
    Command::JoinGroup { group: group(name) }
}

fn accept(name: &str, who: &str) -> Command {
    Command::AcceptRequest { group: group(name), user: user(who) }
}

fn reject(name: &str, who: &str) -> Command {
    Command::RejectRequest { group: group(name), user: user(who) }
}

fn remove(name: &str, who: &str) -> Command {
    Command::RemoveMember { group: group(name), user: user(who) }
}

fn promote(name: &str, who: &str) -> Command {
    Command::MakeAdmin { group: group(name), user: user(who) }
}

fn leave(name: &str) -> Command {
    Command::LeaveGroup { group: group(name) }
}

fn upload(name: &str) -> Command {
    Command::UploadFile { group: group("g"), name: file(name), place: place(name) }
}

fn unlist(name: &str) -> Command {
    Command::RemoveFile { group: group("g"), name: file(name) }
}

fn told(world: &World, client: NodeId, notice: &Notice) -> usize {
    world.news(client).iter().filter(|(_, news)| *news == News::Notice(notice.clone())).count()
}

#[test]
fn every_command_asks_to_log_in_first() {
    let mut world = World::new(1);
    let client = world.client();
    let commands = [
        Command::Logout { when: Leaving::Now },
        Command::CreateGroup { group: group("g") },
        join("g"),
        Command::ListRequests { group: group("g") },
        accept("g", "x"),
        reject("g", "x"),
        leave("g"),
        Command::ListMembers { group: group("g") },
        promote("g", "x"),
        remove("g", "x"),
        Command::ListGroups,
        Command::ListFiles { group: group("g") },
        upload("f"),
        download("g", "f"),
        Command::ShowDownloads,
        Command::StopDownload { group: group("g"), name: file("f") },
        Command::StopShare { group: group("g"), name: file("f") },
        unlist("f"),
        Command::FileInfo { group: group("g"), name: file("f") },
        Command::ShowShares,
        Command::WhoAmI,
        Command::Wait { file: None },
    ];
    for command in commands {
        assert_eq!(world.refused(client, command), Refusal::LogInFirst);
    }
}

#[test]
fn failed_logins_tell_a_device_with_an_account_more_than_a_stranger() {
    let mut world = World::new(1);
    let alice = world.client();
    let wrong = world.password("wrong");
    let login = |name: &str| Command::Login { user: user(name), password: wrong };
    assert_eq!(world.refused(alice, login("nobody")), Refusal::LoginFailed);
    world.sign_up(alice, "alice");
    assert_eq!(world.refused(alice, login("alice")), Refusal::AlreadyLoggedIn(user("alice")));
    world.ok(alice, Command::Logout { when: Leaving::Now });
    assert_eq!(world.refused(alice, login("alice")), Refusal::WrongPassword(user("alice")));
    assert_eq!(world.refused(alice, login("nobody")), Refusal::NoSuchUser(user("nobody")));
    let stranger = world.client();
    assert_eq!(world.refused(stranger, login("alice")), Refusal::LoginFailed);
    assert_eq!(world.refused(stranger, login("nobody")), Refusal::LoginFailed);
    let again = Command::CreateUser { user: user("alice"), password: wrong };
    assert_eq!(world.refused(stranger, again), Refusal::UserExists(user("alice")));
}

#[test]
fn guessing_slows_down() {
    let mut world = World::new(1);
    let alice = world.person("alice");
    let wrong = world.password("wrong");
    let guess = Command::Login { user: user("alice"), password: wrong };
    world.ok(alice, Command::Logout { when: Leaving::Now });
    for _ in 0..5 {
        assert_eq!(world.refused(alice, guess.clone()), Refusal::WrongPassword(user("alice")));
    }
    assert_eq!(world.refused(alice, guess), Refusal::TooManyTries { wait_secs: 1 });
    world.advance(Span::from_secs(2));
    world.login(alice, "alice");
}

#[test]
fn groups_are_made_joined_and_listed() {
    let (mut world, alice, bob, carol) = village();
    let again = Command::CreateGroup { group: group("g") };
    assert_eq!(world.refused(bob, again), Refusal::GroupExists(group("g")));
    assert_eq!(world.refused(bob, join("no")), Refusal::NoSuchGroup(group("no")));
    assert_eq!(world.refused(bob, join("g")), Refusal::AlreadyMember(group("g")));
    world.ok(carol, join("g"));
    assert_eq!(world.refused(carol, join("g")), Refusal::AlreadyPending(group("g")));
    for (client, standing) in [
        (alice, GroupStanding::In(Role::Owner)),
        (bob, GroupStanding::In(Role::Member)),
        (carol, GroupStanding::Pending),
    ] {
        let Reply::Groups(rows) = world.ok(client, Command::ListGroups) else { panic!() };
        assert_eq!((rows[0].members, rows[0].standing), (2, standing));
    }
    let Reply::JoinRequests(waiting) = world.ok(alice, Command::ListRequests { group: group("g") }) else {
        panic!()
    };
    assert_eq!(waiting, [user("carol")]);
    let Reply::Members(rows) = world.ok(bob, Command::ListMembers { group: group("g") }) else { panic!() };
    assert_eq!(rows.iter().map(|row| row.role).collect::<Vec<_>>(), [Role::Owner, Role::Member]);
}

#[test]
fn what_the_owner_may_is_refused_to_others_each_in_its_own_words() {
    let (mut world, alice, bob, carol) = village();
    let g = || group("g");
    let list = Command::ListRequests { group: g() };
    for command in [list.clone(), accept("g", "carol"), reject("g", "carol"), remove("g", "alice")] {
        assert_eq!(world.refused(bob, command.clone()), Refusal::NotAdmin(g()));
        assert_eq!(world.refused(carol, command), Refusal::NotMember(g()));
    }
    assert_eq!(world.refused(bob, promote("g", "bob")), Refusal::NotOwner(g()));
    assert_eq!(world.refused(carol, promote("g", "bob")), Refusal::NotMember(g()));
    assert_eq!(world.refused(alice, accept("no", "bob")), Refusal::NoSuchGroup(group("no")));
    assert_eq!(world.refused(alice, accept("g", "carol")), Refusal::NoSuchRequest(g(), user("carol")));
    assert_eq!(world.refused(alice, reject("g", "carol")), Refusal::NoSuchRequest(g(), user("carol")));
    assert_eq!(world.refused(alice, promote("g", "carol")), Refusal::NoSuchMember(g(), user("carol")));
    assert_eq!(world.refused(alice, remove("g", "carol")), Refusal::NoSuchMember(g(), user("carol")));
    assert_eq!(world.refused(alice, remove("g", "alice")), Refusal::LeaveInstead(g()));
    world.ok(alice, promote("g", "bob"));
    assert_eq!(world.refused(alice, promote("g", "bob")), Refusal::AlreadyAdmin(g(), user("bob")));
    assert_eq!(world.refused(bob, remove("g", "alice")), Refusal::OutranksYou(g(), user("alice")));
    assert_eq!(world.refused(carol, leave("g")), Refusal::NotMember(g()));
    for command in
        [Command::ListMembers { group: g() }, Command::ListFiles { group: g() }, download("g", "f")]
    {
        assert_eq!(world.refused(carol, command), Refusal::NotMember(g()));
    }
    assert_eq!(world.refused(bob, download("g", "f")), Refusal::NoSuchFile(g(), file("f")));
}

#[test]
fn the_owner_and_admins_see_a_request_the_moment_it_is_made() {
    let (mut world, alice, bob, carol) = village();
    world.ok(alice, promote("g", "bob"));
    world.ok(carol, join("g"));
    world.advance(Span::from_secs(1));
    let notice = Notice::JoinRequested { group: group("g"), user: user("carol") };
    assert_eq!((told(&world, alice, &notice), told(&world, bob, &notice)), (1, 1));
    assert_eq!(told(&world, bob, &Notice::MadeAdmin { group: group("g") }), 1);
    world.ok(bob, accept("g", "carol"));
    world.advance(Span::from_secs(1));
    assert_eq!(told(&world, carol, &Notice::Accepted { group: group("g") }), 1);
}

#[test]
fn who_is_away_hears_at_the_next_login_and_once_only() {
    let (mut world, alice, _, carol) = village();
    world.ok(alice, Command::Logout { when: Leaving::Now });
    world.ok(carol, join("g"));
    world.ok(carol, Command::Logout { when: Leaving::Now });
    world.login(alice, "alice");
    let notice = Notice::JoinRequested { group: group("g"), user: user("carol") };
    assert_eq!(told(&world, alice, &notice), 1);
    world.ok(alice, reject("g", "carol"));
    for _ in 0..2 {
        world.login(carol, "carol");
        assert_eq!(told(&world, carol, &Notice::Rejected { group: group("g") }), 1);
        world.ok(carol, Command::Logout { when: Leaving::Now });
    }
}

#[test]
fn the_longest_standing_admin_inherits_and_requests_survive() {
    let (mut world, alice, bob, carol) = village();
    world.ok(carol, join("g"));
    world.ok(alice, accept("g", "carol"));
    world.ok(alice, promote("g", "carol"));
    let dave = world.person("dave");
    world.ok(dave, join("g"));
    world.ok(alice, leave("g"));
    world.advance(Span::from_secs(1));
    assert_eq!(told(&world, carol, &Notice::MadeOwner { group: group("g") }), 1);
    world.ok(carol, accept("g", "dave"));
    world.ok(carol, leave("g"));
    world.advance(Span::from_secs(1));
    assert_eq!(
        told(&world, bob, &Notice::MadeOwner { group: group("g") }),
        1,
        "else the longest-standing member"
    );
}

#[test]
fn the_last_to_leave_ends_the_group() {
    let (mut world, alice, bob, carol) = village();
    world.ok(carol, join("g"));
    world.ok(bob, leave("g"));
    world.ok(alice, leave("g"));
    world.advance(Span::from_secs(1));
    assert_eq!(told(&world, carol, &Notice::Rejected { group: group("g") }), 1);
    assert_eq!(world.ok(alice, Command::ListGroups), Reply::Groups(vec![]));
    world.ok(carol, Command::CreateGroup { group: group("g") });
}

#[test]
fn a_removed_member_gets_no_more_bytes_and_is_told() {
    let (mut world, alice, bob, _) = village();
    world.share(alice, "g", "f", pieces(1, 2_000));
    world.fetch(bob, "g", "f");
    world.until_held(bob, "f", 10);
    world.ok(alice, remove("g", "bob"));
    world.advance(Span::from_secs(2));
    let received = world.received(bob);
    assert!(world.was_told(bob, |news| matches!(news, News::DownloadFailed { .. })));
    assert_eq!(told(&world, bob, &Notice::Removed { group: group("g") }), 1);
    world.advance(Span::from_secs(60));
    assert_eq!(world.received(bob), received);
    assert_eq!(world.refused(bob, download("g", "f")), Refusal::NotMember(group("g")));
}

#[test]
fn one_name_stands_for_one_content() {
    let (mut world, alice, bob, carol) = village();
    world.share(alice, "g", "f", pieces(1, 3));
    assert_eq!(world.refused(alice, upload("f")), Refusal::AlreadyShared(group("g"), file("f")));
    world.put(bob, "f", pieces(2, 3));
    let Refusal::FileDiffers { sharers, .. } = world.refused(bob, upload("f")) else { panic!() };
    assert_eq!(sharers.to_vec(), [user("alice")]);
    world.share(bob, "g", "f", pieces(1, 3));
    world.advance(Span::from_secs(1));
    let Reply::Files(rows) = world.ok(alice, Command::ListFiles { group: group("g") }) else { panic!() };
    assert_eq!((rows.len(), rows[0].seeders, rows[0].available), (1, 2, true));
    world.put(carol, "f", pieces(1, 3));
    assert_eq!(world.refused(carol, upload("f")), Refusal::NotMember(group("g")));
    assert_eq!(world.refused(bob, upload("missing")), Refusal::Disk(DiskError::Missing));
}

#[test]
fn a_file_that_nobody_online_has_is_listed_and_marked() {
    let (mut world, alice, bob, _) = village();
    world.share(alice, "g", "f", pieces(1, 3));
    world.kill(alice);
    world.advance(Span::from_secs(1));
    let Reply::Files(rows) = world.ok(bob, Command::ListFiles { group: group("g") }) else { panic!() };
    assert_eq!((rows[0].seeders, rows[0].leechers, rows[0].available), (0, 0, false));
}

#[test]
fn after_a_login_what_is_shared_again_is_listed_so() {
    let mut world = World::new(13);
    let alice = world.person("alice");
    world.make_group(alice, "g", &[]);
    world.share(alice, "g", "f", pieces(1, 3));
    world.ok(alice, Command::Logout { when: Leaving::Now });
    assert_eq!(world.login(alice, "alice"), Reply::LoggedIn { shares: 1, partial: 0 });
    let Reply::Files(rows) = world.ok(alice, Command::ListFiles { group: group("g") }) else { panic!() };
    assert_eq!((rows.len(), rows[0].seeders, rows[0].available), (1, 1, true));
}

#[test]
fn a_file_is_unlisted_by_who_shared_it_or_an_admin() {
    let (mut world, alice, bob, carol) = village();
    world.ok(carol, join("g"));
    world.ok(alice, accept("g", "carol"));
    world.share(bob, "g", "f", pieces(1, 3));
    assert_eq!(world.refused(carol, unlist("f")), Refusal::NotSharer(group("g"), file("f")));
    assert_eq!(world.refused(bob, unlist("no")), Refusal::NoSuchFile(group("g"), file("no")));
    world.ok(alice, unlist("f"));
    world.advance(Span::from_secs(1));
    assert!(world.was_told(bob, |news| matches!(news, News::ShareLost { .. })));
    assert_eq!(world.ok(bob, Command::ShowShares), Reply::Shares(vec![]));
    world.share(bob, "g", "f", pieces(2, 3));
    world.ok(bob, unlist("f"));
    assert_eq!(world.ok(bob, Command::ShowShares), Reply::Shares(vec![]));
    let lost = world.news(bob).iter().filter(|(_, news)| matches!(news, News::ShareLost { .. })).count();
    assert_eq!(lost, 1, "who unlists a file need not be told of it");
}

#[test]
fn stopping_what_is_not_there_is_refused() {
    let (mut world, alice, bob, _) = village();
    let (g, f) = (group("g"), file("f"));
    let stop = Command::StopDownload { group: g.clone(), name: f.clone() };
    assert_eq!(world.refused(bob, stop), Refusal::NotDownloading(g.clone(), f.clone()));
    let stop = Command::StopShare { group: g.clone(), name: f.clone() };
    assert_eq!(world.refused(bob, stop), Refusal::NotShared(g.clone(), f.clone()));
    let wait = Command::Wait { file: Some((g.clone(), f.clone())) };
    assert_eq!(world.refused(bob, wait), Refusal::NotDownloading(g.clone(), f.clone()));
    world.share(alice, "g", "f", pieces(1, 500));
    world.fetch(bob, "g", "f");
    assert_eq!(world.refused(bob, download("g", "f")), Refusal::AlreadyDownloading(g.clone(), f.clone()));
    let wait = world.command(bob, Command::Wait { file: None });
    world.ok(bob, Command::StopDownload { group: g.clone(), name: f.clone() });
    assert_eq!(world.answer(bob, wait), Some(&Err(Refusal::DownloadEnded(g, f, "it was stopped".into()))));
}

#[test]
fn more_rows_than_a_page_are_listed_in_order() {
    let (mut world, alice, ..) = village();
    for number in 0..250 {
        world.ok(alice, Command::CreateGroup { group: group(&format!("group {number:03}")) });
    }
    let Reply::Groups(rows) = world.ok(alice, Command::ListGroups) else { panic!() };
    assert_eq!(rows.len(), 251);
    assert!(rows.is_sorted_by_key(|row| row.group.clone()));
}

#[test]
fn without_a_tracker_a_command_is_refused_in_time() {
    let (mut world, alice, ..) = village();
    world.kill_tracker();
    let began = world.now();
    assert_eq!(world.refused(alice, Command::ListGroups), Refusal::NoTracker);
    assert!(world.now().since(began) < Span::from_secs(20));
    assert!(world.was_told(alice, |news| matches!(news, News::TrackerLost)));
}

#[test]
fn a_full_disk_makes_the_tracker_read_only_until_there_is_room() {
    let (mut world, alice, bob, _) = village();
    world.fill_tracker_disk(true);
    let create = |name: &str| Command::CreateGroup { group: group(name) };
    assert_eq!(world.refused(alice, create("h")), Refusal::TrackerReadOnly);
    assert!(matches!(world.ok(bob, Command::ListGroups), Reply::Groups(rows) if rows.len() == 1));
    world.fill_tracker_disk(false);
    world.until_tracker_leads();
    world.ok(alice, create("h"));
}
