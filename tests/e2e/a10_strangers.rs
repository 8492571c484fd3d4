//! A10: somebody who is no member, but knows a peer's address, gets nothing, and learns nothing.

use std::net::SocketAddr;

use engine::ticket::{Ticket, UnixTime};
use engine::wire::codec;
use engine::wire::peer::PeerMessage;

use crate::harness::member::{FILE, Shared, answer, open_as_member};
use crate::harness::wire::Frame;
use crate::harness::world::shared;
use crate::harness::{Client, Member, World};

#[test]
fn a_stranger_cannot_tell_whether_a_file_or_a_group_exists() {
    let (world, mut ann, address, file) = shared();
    let stranger = Member::log_in(&world, "eve");
    let declined = Some(PeerMessage::Decline { file: FILE });
    assert_eq!(answer(&stranger, address, &file), declined);
    let elsewhere = |group, name| Shared::new(group, name, file.content.clone());
    assert_eq!(answer(&stranger, address, &elsewhere("physics", "no such file")), declined);
    assert_eq!(answer(&stranger, address, &elsewhere("no such group", "file.bin")), declined);
    assert_eq!(ann.sent(), 0);
}

#[test]
fn a_stranger_who_asks_all_the_same_gets_no_byte() {
    let (world, mut ann, address, file) = shared();
    let stranger = Member::log_in(&world, "eve");
    for message in [
        PeerMessage::Ask { file: FILE },
        PeerMessage::Request { file: FILE, piece: 0 },
        PeerMessage::GetHashes { file: FILE, from: 0 },
    ] {
        let mut link = stranger.dial(address);
        link.send(&file.open(0)).unwrap();
        assert_eq!(link.peer_message(), Some(PeerMessage::Decline { file: FILE }));
        link.send(&message).unwrap();
        // Whether the link is ended or stays silent: nothing but small talk comes.
        link.send(&PeerMessage::Bye).ok();
        while let Some(frame) = link.receive() {
            let Frame::Message(_) = frame else { panic!("a stranger got data") };
        }
    }
    assert_eq!(ann.sent(), 0);
}

#[test]
fn a_device_that_never_logged_in_gets_nothing() {
    let (world, mut ann, address, file) = shared();
    let mut nobody = Member::log_in(&world, "eve");
    nobody.identity = node::identity::Identity::from_seed([9; 32]);
    assert_eq!(answer(&nobody, address, &file), Some(PeerMessage::Decline { file: FILE }));
    assert_eq!(ann.sent(), 0);
}

#[test]
fn an_asker_who_waits_to_be_accepted_gets_nothing_and_a_member_does() {
    let (world, mut ann, address, file) = shared();
    let mut eve = Member::log_in(&world, "eve");
    assert_eq!(answer(&eve, address, &file), Some(PeerMessage::Decline { file: FILE }));
    eve.join("physics", &mut ann);
    let mut link = eve.dial(address);
    open_as_member(&mut link, &file);
}

/// Whoever shows this ticket gets no byte, and hears the same whether or not the file is there.
fn gets_nothing(ann: &mut Client, address: SocketAddr, stranger: &Member, ticket: &Ticket, file: &Shared) {
    let other = Shared::new(file.group.as_str(), "no such file", file.content.clone());
    let answers = [file, &other].map(|file| {
        let mut link = stranger.dial(address);
        let _ended = link.send(&PeerMessage::Show(Box::new(ticket.clone())));
        let _ended = link.send(&file.open(0));
        for message in [
            PeerMessage::GetHashes { file: FILE, from: 0 },
            PeerMessage::Ask { file: FILE },
            PeerMessage::Bye,
        ] {
            let _ended = link.send(&message);
        }
        let mut answers = Vec::new();
        while let Some(frame) = link.receive() {
            let Frame::Message(body) = frame else { panic!("a stranger got data") };
            answers.push(codec::decode::<PeerMessage>(&body).unwrap());
        }
        let said =
            |message: &PeerMessage| matches!(message, PeerMessage::Decline { file: FILE } | PeerMessage::Bye);
        assert!(answers.iter().all(said), "{answers:?}");
        answers
    });
    // A forged ticket ends the link when it has been verified, which may be before the next message is answered: then nothing was said.
    if answers.iter().all(|said| !said.is_empty()) {
        assert_eq!(answers[0], answers[1], "whether a file exists is not said");
    }
    assert_eq!(ann.sent(), 0);
}

/// Somebody who is logged in, and a member.
fn thief_and_member(world: &World, ann: &mut Client) -> (Member, Member) {
    let (eve, mut bob) = (Member::log_in(world, "eve"), Member::log_in(world, "bob"));
    bob.join("physics", ann);
    (eve, bob)
}

#[test]
fn somebody_elses_ticket_is_worth_nothing() {
    let (world, mut ann, address, file) = shared();
    let (eve, bob) = thief_and_member(&world, &mut ann);
    gets_nothing(&mut ann, address, &eve, &bob.ticket.unwrap(), &file);
}

#[test]
fn a_ticket_of_another_group_is_worth_nothing() {
    let (world, mut ann, address, file) = shared();
    let mut bob = world.user("bob");
    bob.ok("create_group chemistry");
    let mut eve = Member::log_in(&world, "eve");
    eve.join("chemistry", &mut bob);
    gets_nothing(&mut ann, address, &eve, &eve.ticket.clone().unwrap(), &file);
}

#[test]
fn a_ticket_from_before_a_removal_is_worth_nothing() {
    let (world, mut ann, address, file) = shared();
    let mut eve = Member::log_in(&world, "eve");
    eve.join("physics", &mut ann);
    let mut link = eve.dial(address);
    let open = open_as_member(&mut link, &file);
    ann.ok("remove_member physics eve");
    assert_eq!(link.peer_message(), Some(PeerMessage::Close { file: open.file }));
    gets_nothing(&mut ann, address, &eve, &eve.ticket.clone().unwrap(), &file);
}

#[test]
fn a_ticket_that_no_tracker_signed_is_worth_nothing() {
    let (world, mut ann, address, file) = shared();
    let (eve, bob) = thief_and_member(&world, &mut ann);
    let theirs = bob.ticket.clone().unwrap();
    let mut stolen = theirs.clone();
    stolen.body.device = eve.identity.device();
    // In the tracker's name, with the signature of something else.
    gets_nothing(&mut ann, address, &eve, &stolen, &file);
    stolen.signature = eve.identity.sign(&stolen.body.layout());
    gets_nothing(&mut ann, address, &eve, &stolen, &file);
    // In the thief's own name.
    stolen.signer = eve.identity.device();
    gets_nothing(&mut ann, address, &eve, &stolen, &file);
    let mut longer = theirs;
    longer.body.until.0 += 1;
    gets_nothing(&mut ann, address, &bob, &longer, &file);
}

/// The same ticket with another time, signed by the tracker's own key.
fn at(world: &World, ticket: &Ticket, from: u64, until: u64) -> Ticket {
    let mut ticket = ticket.clone();
    (ticket.body.from, ticket.body.until) = (UnixTime(from), UnixTime(until));
    ticket.signature = world.tracker.key().sign(&ticket.body.layout());
    ticket
}

#[test]
fn a_ticket_is_good_for_its_time_and_no_longer() {
    let (world, mut ann, address, file) = shared();
    let (_, mut bob) = thief_and_member(&world, &mut ann);
    let ticket = bob.ticket.clone().unwrap();
    let (from, until) = (ticket.body.from.0, ticket.body.until.0);
    assert_eq!(until - from, 24 * 60 * 60);
    gets_nothing(&mut ann, address, &bob, &at(&world, &ticket, from - 90_000, from - 1), &file);
    gets_nothing(&mut ann, address, &bob, &at(&world, &ticket, from + 90_000, until + 90_000), &file);
    bob.ticket = Some(at(&world, &ticket, from - 80_000, from + 600));
    open_as_member(&mut bob.dial(address), &file);
}
