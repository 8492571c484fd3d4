//! How far the network model is from fair sharing.
//!
//! In the model an uplink sends one piece after another at its full rate, and a downlink takes in one after another what has left. In a
//! real network all pieces that are under way share the lines, about as fairly as can be: max-min fair, which is the reference here. The
//! transfers of a run of the model, in the same order at each uplink and no sooner than they began, are sent through lines that are shared
//! so, and the times at which they are complete are compared.
//!
//! Measured, in times that the slowest uplink needs for a piece (tau); 64 pieces, one seeder, 24 others, seed 1:
//!
//! | uplinks | downlinks | a piece, mean | a piece, 99 % | the last |
//! |---|---|---|---|---|
//! | all 512 KiB/s | 2 MiB/s | 0.07 | 0.42 | 0.00 of 72 |
//! | 512 KiB/s to 2 MiB/s | 4 MiB/s | 0.03 | 0.27 | 0.31 sooner, of 47 |
//! | 512 KiB/s to 2 MiB/s | 2 MiB/s | 0.43 | 1.30 | 0.16 sooner, of 49 |
//! | the same, and an uplink waits for the downlink | 2 MiB/s | 2.44 | 17.0 | 13.4 later, of 49 |
//!
//! So the model is good to a part of a tau where downlinks are wider than any uplink. Where they are not it is too kind: its uplinks are never
//! held up by a reader that several send to at once. The last row is the worst case, since nobody in it turns elsewhere.

#![expect(clippy::cast_precision_loss, reason = "figures far below 2^52")]

use std::collections::{BTreeMap, VecDeque};

use crate::network::NodeId;
use crate::run::run_watched;
use crate::scenario::Scenario;
use crate::watch::Moved;

/// Rates of the two lines of a node, in bytes a microsecond.
type Lines = BTreeMap<NodeId, (f64, f64)>;

/// A piece on its way.
#[derive(Clone, Debug)]
struct Flow {
    index: usize,
    from: NodeId,
    to: NodeId,
    left: f64,
}

/// Max-min fair rates (progressive filling; Bertsekas, Gallager, Data Networks, 1992, section 6.5.2).
fn fair_rates(flows: &[Flow], lines: &Lines) -> Vec<f64> {
    let mut rates = vec![0.0; flows.len()];
    let mut open: Vec<usize> = (0..flows.len()).collect();
    // Each line, with what is left of it: uplinks first.
    let mut room: BTreeMap<(NodeId, bool), f64> = BTreeMap::new();
    for flow in flows {
        room.insert((flow.from, true), lines[&flow.from].0);
        room.insert((flow.to, false), lines[&flow.to].1);
    }
    while !open.is_empty() {
        let users = |line: (NodeId, bool), open: &[usize]| {
            let uses = |flow: &Flow| if line.1 { flow.from == line.0 } else { flow.to == line.0 };
            open.iter().filter(|at| uses(&flows[**at])).count()
        };
        let shares = room.iter().filter(|(line, _)| users(**line, &open) > 0);
        let step = shares.map(|(line, left)| left / users(*line, &open) as f64).fold(f64::INFINITY, f64::min);
        for at in &open {
            rates[*at] += step;
        }
        for (line, left) in &mut room {
            *left -= step * users(*line, &open) as f64;
        }
        open.retain(|at| {
            let flow = &flows[*at];
            room[&(flow.from, true)] > 1e-9 && room[&(flow.to, false)] > 1e-9
        });
    }
    rates
}

/// What an uplink does while a narrow downlink holds up a piece.
#[derive(Clone, Copy, PartialEq)]
enum Uplink {
    /// It begins the next when it began it in the model, and shares itself.
    Shares,
    /// It waits.
    Waits,
}

/// When each transfer is complete if lines are shared fairly, in microseconds.
fn shared(moved: &[Moved], lines: &Lines, uplink: Uplink) -> Vec<f64> {
    let mut ends = vec![0.0; moved.len()];
    let mut queues: BTreeMap<NodeId, VecDeque<usize>> = BTreeMap::new();
    for (index, piece) in moved.iter().enumerate() {
        queues.entry(piece.from).or_default().push_back(index);
    }
    let is_free = |from: &NodeId, flows: &[Flow]| {
        uplink == Uplink::Shares || flows.iter().all(|flow| flow.from != *from)
    };
    let (mut now, mut flows): (f64, Vec<Flow>) = (0.0, Vec::new());
    while !flows.is_empty() || queues.values().any(|queue| !queue.is_empty()) {
        for (from, queue) in &mut queues {
            while let Some(index) = queue.front().copied()
                && moved[index].began.0 as f64 <= now
                && is_free(from, &flows)
            {
                queue.pop_front();
                let piece = &moved[index];
                flows.push(Flow { index, from: piece.from, to: piece.to, left: f64::from(piece.len) });
            }
        }
        let rates = fair_rates(&flows, lines);
        let first_end = flows.iter().zip(&rates).map(|(flow, rate)| now + flow.left / rate);
        let waiting =
            queues.iter().filter(|(from, _)| is_free(from, &flows)).filter_map(|(_, queue)| queue.front());
        let starts = waiting.map(|index| moved[*index].began.0 as f64);
        let next = first_end.chain(starts).fold(f64::INFINITY, f64::min).max(now);
        for (flow, rate) in flows.iter_mut().zip(&rates) {
            flow.left -= rate * (next - now);
        }
        now = next;
        flows.retain(|flow| {
            let done = flow.left <= 1e-3;
            if done {
                ends[flow.index] = now;
            }
            !done
        });
    }
    ends
}

/// What the slowest uplinks below, 512 KiB a second, need for a piece.
const TAU_US: f64 = 1e6;

/// How far apart two models are, in tau: single pieces, and the last.
#[derive(Debug)]
struct Apart {
    mean: f64,
    p99: f64,
    last: f64,
}

fn compare(text: &str, uplink: Uplink) -> Apart {
    let scenario = Scenario::parse(text).unwrap().remove(0);
    let world = run_watched(&scenario, 1).unwrap();
    let ends =
        |node: &crate::node::Node| (node.line.access.up as f64 / 1e6, node.line.access.down as f64 / 1e6);
    let lines: Lines = world.nodes.iter().zip(0..).map(|(node, id)| (NodeId(id), ends(node))).collect();
    let moved = &world.watch.moved;
    assert!(moved.len() > 500, "enough to compare: {}", moved.len());
    let ends = shared(moved, &lines, uplink);
    let mut apart: Vec<f64> =
        moved.iter().zip(&ends).map(|(piece, end)| (end - piece.arrived.0 as f64).abs() / TAU_US).collect();
    apart.sort_by(f64::total_cmp);
    let last = |ends: &mut dyn Iterator<Item = f64>| ends.fold(0.0, f64::max);
    let here = last(&mut moved.iter().map(|piece| piece.arrived.0 as f64));
    let there = last(&mut ends.iter().copied());
    Apart {
        mean: apart.iter().sum::<f64>() / apart.len() as f64,
        p99: apart[apart.len() * 99 / 100],
        last: (there - here) / TAU_US,
    }
}

const UNEQUAL: &str = "about = \"Peers on unequal lines.\"\n[file.f]\npieces = 64\n\
    [class.a-seeder]\ncount = 1\nseeds = true\nup = \"2 MiB/s\"\n\
    [class.fast]\ncount = 8\nup = \"1 MiB/s\"\n[class.slow]\ncount = 16\nup = \"512 KiB/s\"\n";
const EQUAL: &str = "about = \"Peers on equal lines.\"\n[file.f]\npieces = 64\n\
    [class.a-seeder]\ncount = 1\nseeds = true\n[class.leecher]\ncount = 24\n";

fn with_lines(text: &str, down: &str) -> String {
    format!("{text}[line]\nup = \"512 KiB/s\"\ndown = \"{down}\"\nlatency = \"10 ms\"\n")
}

#[test]
fn where_all_have_four_times_the_downlink_the_model_is_fair_sharing() {
    for uplink in [Uplink::Shares, Uplink::Waits] {
        let apart = compare(&with_lines(EQUAL, "2 MiB/s"), uplink);
        assert!(apart.mean < 0.15 && apart.p99 < 0.8 && apart.last.abs() < 0.2, "{apart:?}");
    }
}

#[test]
fn where_downlinks_are_twice_the_fastest_uplink_the_model_is_fair_sharing() {
    for uplink in [Uplink::Shares, Uplink::Waits] {
        let apart = compare(&with_lines(UNEQUAL, "4 MiB/s"), uplink);
        assert!(apart.mean < 0.06 && apart.p99 < 0.5 && apart.last.abs() < 0.6, "{apart:?}");
    }
}

#[test]
fn where_downlinks_are_no_wider_than_an_uplink_the_model_is_near_if_uplinks_share_themselves() {
    let apart = compare(&with_lines(UNEQUAL, "2 MiB/s"), Uplink::Shares);
    assert!(apart.mean < 0.8 && apart.p99 < 2.5 && apart.last.abs() < 0.6, "{apart:?}");
}

#[test]
fn rates_are_max_min_fair() {
    let flow = |from, to| Flow { index: 0, from: NodeId(from), to: NodeId(to), left: 1.0 };
    // Two share a downlink of 3; one of them is bound by its uplink of 1, so the other gets 2.
    let lines: Lines =
        [(1, (1.0, 9.0)), (2, (9.0, 9.0)), (3, (9.0, 3.0))].map(|(id, both)| (NodeId(id), both)).into();
    assert_eq!(fair_rates(&[flow(1, 3), flow(2, 3)], &lines), [1.0, 2.0]);
    assert_eq!(fair_rates(&[flow(2, 3), flow(2, 3), flow(2, 1)], &lines), [1.5, 1.5, 6.0]);
}
