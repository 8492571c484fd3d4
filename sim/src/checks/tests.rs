//! Each checker sees: a world that is broken on purpose does not get past it. And each fault fires, and does no harm.

use super::Sabotage;
use crate::run::{Failure, FailureKind, Run, run, run_broken};
use crate::scenario::{Behaviour, FaultKind, Needs, Scenario};

const SMALL: &str = r#"about = "A few peers."
time_max = "30 min"
checks = true

[line]
up = "4 MiB/s"
down = "16 MiB/s"
latency = "5 ms"

[file.film]
pieces = 120

[class.a-seeder]
count = 1
seeds = true

[class.leecher]
count = 6
"#;

/// The scenario, with more said.
fn small(more: &str) -> Scenario {
    Scenario::parse(&format!("{SMALL}\n{more}")).unwrap_or_else(|why| panic!("{more}: {why}")).remove(0)
}

/// What is found in a world that is broken in this way.
fn found(how: Sabotage, more: &str) -> Failure {
    let sound = run(&small(more), 1);
    assert!(sound.is_ok(), "without {how:?} nothing is found: {:?}", sound.err());
    let failure = run_broken(&small(more), 1, how).err();
    failure.unwrap_or_else(|| panic!("{how:?} is not seen"))
}

fn assert_found(how: Sabotage, more: &str, kind: FailureKind, why: &str) {
    let failure = found(how, more);
    assert_eq!(failure.kind, kind, "{how:?}: {failure}");
    assert!(failure.why.contains(why), "{how:?}: {failure}");
}

const CORRUPTER: &str = "[class.z-corrupter]\ncount = 1\nseeds = true\nbehaviour = \"corrupt\"";

const SEEDER_GOES: &str = "[fault.end]\nkind = \"crash\"\nclass = \"a-seeder\"\nat = \"5 s\"";

#[test]
fn a_piece_that_is_counted_and_not_held() {
    assert_found(Sabotage::ForgetsWrites, "", FailureKind::WrongResult, "as held, and it is not on its disk");
}

#[test]
fn a_file_that_is_reported_and_not_there() {
    assert_found(Sabotage::FinishesNothing, "", FailureKind::WrongResult, "as complete, and it is not there");
}

#[test]
fn a_file_that_is_reported_with_other_bytes() {
    assert_found(Sabotage::FinishesOther, "", FailureKind::WrongResult, "and other bytes are in it");
}

#[test]
fn a_spoilt_piece_that_is_accepted() {
    let why = "a spoilt piece is never written";
    assert_found(Sabotage::FindsSpoiltRight, CORRUPTER, FailureKind::WrongResult, why);
}

#[test]
fn an_acknowledged_change_that_is_lost() {
    let crash = "[fault.end]\nkind = \"tracker-crash\"\nat = \"5 s\"\nuntil = \"6 s\"";
    assert_found(Sabotage::ForgetsChanges, crash, FailureKind::WrongResult, "acknowledged");
}

#[test]
fn bytes_to_somebody_who_is_no_member() {
    let expel = "[fault.end]\nkind = \"expel\"\nclass = \"leecher\"\nat = \"5 s\"\nuntil = \"20 s\"";
    assert_found(Sabotage::SwallowsExpulsions, expel, FailureKind::WrongResult, "who is no member");
}

#[test]
fn bytes_to_an_outcast() {
    let more = "[class.outcast]\ncount = 1\nbehaviour = \"outcast\"\n\
                [fault.end]\nkind = \"expel\"\nclass = \"outcast\"\nat = \"5 s\"";
    assert_found(Sabotage::SwallowsExpulsions, more, FailureKind::WrongResult, "who is no member");
}

#[test]
fn bytes_to_a_thief() {
    let more = "[class.thief]\ncount = 1\nbehaviour = \"thief\"";
    assert_found(Sabotage::FindsSignaturesRight, more, FailureKind::WrongResult, "where nobody is logged in");
}

#[test]
fn blame_of_the_honest() {
    assert_found(Sabotage::SpoilsInTransit, "", FailureKind::WrongResult, "blames the honest");
}

#[test]
fn a_table_beyond_its_limit() {
    let why = "pieces on the uplink, and the limit is";
    assert_found(Sabotage::RepeatsTransfers, "", FailureKind::WrongResult, why);
}

#[test]
fn a_breach_of_the_contract_with_the_shell() {
    assert_found(Sabotage::RefundsTwice, "", FailureKind::Crash, "no more credit comes back than was spent");
}

#[test]
fn peers_that_wait_in_vain() {
    assert_found(Sabotage::NeverHashes, "", FailureKind::NoProgress, "peers are not done");
}

#[test]
fn a_file_that_nobody_can_complete_and_that_is_not_reported() {
    assert_found(Sabotage::ListsAllAsAvailable, SEEDER_GOES, FailureKind::NoProgress, "are with nobody");
}

#[test]
fn a_run_that_beats_its_bound() {
    assert_found(Sabotage::IsTooFast, "", FailureKind::WrongResult, "the simulator is wrong");
}

/// What a kind of fault needs to be said, so that it strikes within the run.
fn said(kind: FaultKind) -> String {
    let needs = match kind.needs() {
        Needs::Nothing => "",
        Needs::Chance => "chance = 0.2",
        Needs::Amount => "amount = \"300 ms\"",
        Needs::ChanceAndAmount => "chance = 0.2\namount = \"50 ms\"",
        Needs::Factor => "factor = 5",
        Needs::PerS => "per_s = 0.5",
    };
    let back = if kind.takes_away() || kind.is_the_trackers() { "back_after = \"3 s\"" } else { "" };
    let share = if kind.is_the_trackers() { "" } else { "share = 0.5" };
    let name = kind.name();
    format!("[fault.it]\nkind = \"{name}\"\nat = \"0 s\"\nuntil = \"12 s\"\n{share}\n{needs}\n{back}\n")
}

fn fires(name: &str, more: &str) -> Run {
    let run = run(&small(more), 2).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    assert!(run.fired.get(name).is_some_and(|times| *times > 0), "{name} fires: {:?}", run.fired);
    run
}

#[test]
fn every_fault_fires_and_everything_completes_all_the_same() {
    for kind in FaultKind::ALL {
        let run = fires(kind.name(), &said(*kind));
        let done = run.peers.iter().filter(|peer| peer.completed.is_some()).count();
        let excused =
            matches!(kind, FaultKind::CorruptPieces | FaultKind::CorruptDisk | FaultKind::WrongDigest);
        assert!(done == 6 || excused, "{kind:?}: {done} of 6 complete");
    }
}

#[test]
fn whoever_intrudes_tries_and_is_survived() {
    for behaviour in Behaviour::INTRUDERS {
        let name = behaviour.name();
        let run = fires(name, &format!("[class.z-bad]\ncount = 2\nbehaviour = \"{name}\"\n"));
        let done = run.peers.iter().filter(|peer| peer.counts && peer.completed.is_some()).count();
        assert_eq!(done, 6, "{name}");
        let wanted = *behaviour == Behaviour::Outcast;
        assert_eq!(run.outcast_pieces > 0, wanted, "{name} got {} pieces", run.outcast_pieces);
    }
}

#[test]
fn every_way_to_break_the_rules_is_survived() {
    for behaviour in Behaviour::BAD {
        let name = behaviour.name();
        let more = format!("[class.z-bad]\ncount = 2\nseeds = true\nbehaviour = \"{name}\"\n");
        let run = fires(name, &more);
        let done = run.peers.iter().filter(|peer| peer.counts && peer.completed.is_some()).count();
        assert_eq!(done, 6, "{name}");
        assert_eq!(run.honest_banned, 0, "{name}");
    }
}
