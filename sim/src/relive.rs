//! A recording of a real node, lived again: the same inputs go into the same machine, which must do the same.

use engine::peer::Peer;
use engine::recording::{Digest, Record, records};
use engine::time::Time;
use engine::tracker::Tracker;

use crate::narrate::line;
use crate::run::{Failure, catch};

/// What was lived again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relived {
    /// How many inputs.
    pub inputs: u64,
    /// When the last was, on the machine's clock.
    pub until: Time,
    /// The digest of all actions.
    pub digest: u64,
}

/// The machine that was recorded.
enum Machine {
    Peer(Box<Peer>),
    Tracker(Box<Tracker>),
}

/// Feeds a recording to a machine made as the recorded one was, and says each input in a line.
///
/// # Errors
/// `WrongResult` if the machine acts otherwise than it did, or the bytes are no recording; `Crash` if it panics, or an invariant is broken.
pub fn relive(bytes: &[u8], mut says: impl FnMut(&str)) -> Result<Relived, Failure> {
    catch(|| {
        let mut records = records(bytes).map_err(|_| no_recording())?;
        let mut machine = match records.next() {
            Some(Ok(Record::Peer(config, seed))) => Machine::Peer(Box::new(Peer::new(*config, seed))),
            Some(Ok(Record::Tracker(config, stored))) => {
                Machine::Tracker(Box::new(Tracker::new(*config, &stored).map_err(|_| no_recording())?))
            }
            _ => return Err(no_recording()),
        };
        let mut digest = Digest::default();
        let mut relived = Relived { inputs: 0, until: Time::default(), digest: digest.take(&[(); 0]) };
        for record in records {
            match record.map_err(|_| no_recording())? {
                Record::Acted(recorded) if recorded == relived.digest => {}
                Record::Acted(recorded) => return Err(acts_otherwise(&relived, recorded)),
                input => machine.step(input, &mut digest, &mut relived, &mut says)?,
            }
        }
        Ok(relived)
    })
}

impl Machine {
    fn step(
        &mut self,
        input: Record,
        digest: &mut Digest,
        relived: &mut Relived,
        says: &mut impl FnMut(&str),
    ) -> Result<(), Failure> {
        relived.inputs += 1;
        match (self, input) {
            (Machine::Peer(peer), Record::PeerInput(now, input)) => {
                says(&line(now, "peer", &format!("{input:?}")));
                let mut actions = Vec::new();
                peer.handle(now, *input, &mut actions);
                peer.check();
                (relived.until, relived.digest) = (now, digest.take(&actions));
            }
            (Machine::Tracker(tracker), Record::TrackerInput(now, input)) => {
                says(&line(now, "tracker", &format!("{input:?}")));
                let mut actions = Vec::new();
                tracker.handle(now, *input, &mut actions);
                tracker.check();
                (relived.until, relived.digest) = (now, digest.take(&actions));
            }
            _ => return Err(no_recording()),
        }
        Ok(())
    }
}

fn no_recording() -> Failure {
    Failure::wrong(
        "this is no recording that this version can read; make one with `node client --record FILE`".into(),
    )
}

fn acts_otherwise(relived: &Relived, recorded: u64) -> Failure {
    let Relived { inputs, until, digest } = relived;
    Failure::wrong(format!(
        "after input {inputs}, at {until}, the machine has acted otherwise than the recorded one: digest {digest:016x}, then {recorded:016x}; \
         replay it with the version that recorded it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::FailureKind;
    use engine::peer::io::{Config, Input};
    use engine::recording::{MAGIC, of_peer};
    use engine::seed::Seed;

    /// A peer that wakes up, looks for its tracker, and does not reach it.
    fn recording(seed: Seed) -> Vec<u8> {
        let config = Config {
            device: engine::id::DeviceId([1; 32]),
            listen: ([127, 0, 0, 1], 4_000).into(),
            trackers: vec![([127, 0, 0, 1], 5_000).into()],
            signers: Vec::new(),
            strategy: engine::peer::strategy::Strategy::default(),
            neighbours: 20,
            first_seq: 1,
        };
        let mut bytes = Vec::from(MAGIC);
        bytes.extend(Record::Peer(Box::new(config.clone()), Seed([7; 32])).framed());
        let (mut peer, mut digest, mut actions) = (Peer::new(config, seed), Digest::default(), Vec::new());
        let mut now = Time::default();
        for _ in 0..20 {
            let dial = actions.iter().find_map(|action| match action {
                engine::peer::io::Action::Dial { dial, .. } => Some(*dial),
                _ => None,
            });
            let why = engine::peer::io::DialFailure::Unreachable;
            let input = dial.map_or(Input::Wake, |dial| Input::DialFailed { dial, why });
            if input == Input::Wake {
                now = peer.next_wakeup().expect("after a dial that failed it tries again");
            }
            bytes.extend(of_peer(now, &input).framed());
            actions.clear();
            peer.handle(now, input, &mut actions);
            bytes.extend(Record::Acted(digest.take(&actions)).framed());
        }
        bytes
    }

    #[test]
    fn a_recording_is_lived_again_a_line_an_input() {
        let mut lines = 0;
        let relived = relive(&recording(Seed([7; 32])), |_| lines += 1).unwrap();
        assert_eq!((relived.inputs, lines), (20, 20));
    }

    #[test]
    fn a_machine_that_acts_otherwise_is_told_apart() {
        let failure = relive(&recording(Seed([8; 32])), |_| {}).unwrap_err();
        assert_eq!(failure.kind, FailureKind::WrongResult);
        assert!(failure.why.contains("acted otherwise"), "{failure}");
        assert!(relive(b"no such thing", |_| {}).unwrap_err().why.contains("no recording"));
    }
}
