//! Whether what clients were told can be put into one order: linearizability, by search (Wing and Gong, 1993, with Lowe's memory of
//! configurations that were seen).
//!
//! Each key is a group of its own, whose state is who owns it. A call takes effect at one moment between its beginning and its end; one
//! whose outcome is unknown at any later moment, or never.

use std::collections::HashSet;

use engine::time::Time;

/// What a client does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Makes the group.
    Create,
    /// Leaves it, and so ends it.
    Leave,
    /// Looks whether it is a member.
    Look,
}

/// What it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The group exists.
    Exists,
    /// It does not.
    Missing,
    /// It does, and the client is no member.
    Others,
    /// It does, and the client is a member.
    Mine,
    /// Nothing was done, and nothing said of the group.
    Refused,
    /// Nothing that says whether it was done.
    Unknown,
}

/// One call of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who.
    pub client: usize,
    /// With what.
    pub key: u8,
    /// What.
    pub deed: Deed,
    /// When it was asked for.
    pub began: Time,
    /// When the answer came, if one did.
    pub ended: Option<Time>,
    /// The answer.
    pub outcome: Outcome,
}

/// Who owns the group.
type State = Option<usize>;

impl Call {
    /// What the call does to the state, and what it is told then.
    fn on(&self, state: State) -> (State, Outcome) {
        match (self.deed, state) {
            (Deed::Create, None) => (Some(self.client), Outcome::Done),
            (Deed::Create, Some(_)) => (state, Outcome::Exists),
            (Deed::Leave, Some(owner)) if owner == self.client => (None, Outcome::Done),
            (Deed::Look, Some(owner)) if owner == self.client => (state, Outcome::Mine),
            (Deed::Leave | Deed::Look, Some(_)) => (state, Outcome::Others),
            (Deed::Leave | Deed::Look, None) => (state, Outcome::Missing),
        }
    }

    fn end(&self) -> Time {
        match self.outcome {
            Outcome::Unknown => Time::NEVER,
            _ => self.ended.unwrap_or(Time::NEVER),
        }
    }
}

/// Configurations that are looked at before the search is given up: a sound history of a run here needs a few thousand.
const LOOKS_MAX: usize = 2_000_000;

/// Whether the calls on one key can be put into one order.
///
/// # Panics
/// If there are too many ways to look at all of them.
#[must_use]
pub fn is_linearizable(calls: &[Call]) -> bool {
    // A question without an answer says nothing.
    let says = |call: &&Call| match call.outcome {
        Outcome::Refused => false,
        Outcome::Unknown => call.deed != Deed::Look,
        _ => true,
    };
    let mut calls: Vec<Call> = calls.iter().filter(says).copied().collect();
    calls.sort_by_key(|call| call.began);
    let mut seen = HashSet::new();
    // The first call that is not placed, those beyond it that are, and the state.
    let mut stack: Vec<(usize, Vec<usize>, State)> = vec![(0, Vec::new(), None)];
    while let Some((first, beyond, state)) = stack.pop() {
        if !seen.insert((first, beyond.clone(), state)) {
            continue;
        }
        assert!(seen.len() < LOOKS_MAX, "the history of {} calls has too many orders", calls.len());
        let open: Vec<usize> = (first..calls.len()).filter(|at| !beyond.contains(at)).collect();
        // Nothing may be placed after the end of a call that is not.
        let deadline = open.iter().map(|at| calls[*at].end()).min().unwrap_or(Time::NEVER);
        if deadline == Time::NEVER {
            return true;
        }
        let mut next: Vec<usize> = open.into_iter().take_while(|at| calls[*at].began <= deadline).collect();
        // The one that ends first is tried first, and those of which nothing is known last.
        next.sort_by_key(|at| std::cmp::Reverse(calls[*at].end()));
        for at in next {
            let (after, told) = calls[at].on(state);
            let fits = match calls[at].outcome {
                // Without an effect it may as well have been lost.
                Outcome::Unknown => after != state,
                outcome => told == outcome,
            };
            if fits {
                stack.push(placed(at, first, &beyond, after));
            }
        }
    }
    false
}

/// The configuration with one more call placed.
fn placed(at: usize, first: usize, beyond: &[usize], state: State) -> (usize, Vec<usize>, State) {
    let mut beyond = beyond.to_vec();
    beyond.insert(beyond.partition_point(|other| *other < at), at);
    let in_a_row = beyond.iter().zip(first..).take_while(|(at, expected)| **at == *expected).count();
    beyond.drain(..in_a_row);
    (first + in_a_row, beyond, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(client: usize, deed: Deed, span: (u64, u64), outcome: Outcome) -> Call {
        Call { client, key: 0, deed, began: Time(span.0), ended: Some(Time(span.1)), outcome }
    }

    #[test]
    fn one_after_another_must_agree() {
        let made = call(1, Deed::Create, (0, 1), Outcome::Done);
        assert!(is_linearizable(&[made, call(2, Deed::Create, (2, 3), Outcome::Exists)]));
        assert!(!is_linearizable(&[made, call(2, Deed::Create, (2, 3), Outcome::Done)]), "made twice");
        assert!(!is_linearizable(&[made, call(1, Deed::Look, (2, 3), Outcome::Missing)]), "out of date");
        assert!(!is_linearizable(&[call(1, Deed::Look, (0, 1), Outcome::Mine)]), "from nowhere");
    }

    #[test]
    fn side_by_side_any_order_will_do() {
        let calls = [
            call(1, Deed::Create, (0, 10), Outcome::Exists),
            call(2, Deed::Create, (5, 8), Outcome::Done),
            call(2, Deed::Leave, (9, 12), Outcome::Done),
        ];
        assert!(is_linearizable(&calls));
        assert!(!is_linearizable(&[calls[0], calls[2]]));
    }

    #[test]
    fn what_is_unknown_may_happen_late_or_never() {
        let lost = Call { ended: None, ..call(1, Deed::Create, (0, 0), Outcome::Unknown) };
        let gone = call(2, Deed::Look, (1, 2), Outcome::Missing);
        let there = call(2, Deed::Look, (5, 6), Outcome::Others);
        assert!(is_linearizable(&[lost, gone]));
        assert!(is_linearizable(&[lost, gone, there]));
        assert!(!is_linearizable(&[lost, there, call(2, Deed::Look, (7, 8), Outcome::Missing)]));
    }
}
