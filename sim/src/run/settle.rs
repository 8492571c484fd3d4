//! When a run is over: everything that can complete has, and what cannot is reported as such.

use super::Runner;
use super::actor::{Actor, Life};
use crate::scenario::End;

/// How many of those who wait are named in a report.
const NAMED_MAX: usize = 3;

impl Runner<'_> {
    /// Everybody honest who is there, may have the files, and lacks something.
    fn waiting(&self) -> impl Iterator<Item = (usize, &Actor)> {
        let members: Vec<bool> =
            (0..self.scenario.classes.len()).map(|class| self.is_member(class) != Some(false)).collect();
        self.actors.iter().enumerate().filter(move |(_, actor)| {
            actor.life == Life::Up
                && members[actor.class]
                && actor.completed.is_none()
                && !self.scenario.classes[actor.class].seeds
                && self.world.is_sound(actor.node)
        })
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.scenario.end, End::Settled(_))
            && self.changes_ahead == 0
            && !self.world.tracker_is_settling()
            && (self.listed == Some(false) || self.waiting().next().is_none())
    }

    /// Whether somebody is there on whom nobody can count, so that the tracker may be told of pieces that nobody gets.
    fn somebody_lies(&self) -> bool {
        let mut there = self.actors.iter().filter(|actor| actor.life == Life::Up);
        there.any(|actor| !self.world.is_sound(actor.node))
    }

    /// Whether some piece of a file is with nobody who is online and honest.
    pub(super) fn is_lost(&self, name: &str) -> bool {
        let mut files = self.scenario.files.iter().zip(&self.files);
        files.any(|(file, whole)| file.name == name && !self.world.watch.lost(whole.content).is_empty())
    }

    /// Once everybody who waits has all that there is, the tracker is asked whether it says so.
    pub(super) fn ask_about_lost(&mut self) {
        if self.changes_ahead > 0 || matches!(self.scenario.end, End::After(_)) {
            return;
        }
        self.listed = None;
        let asker = self.waiting().next().map(|(at, _)| at);
        if let Some(asker) = asker.filter(|_| self.nothing_is_left()) {
            if self.somebody_lies() {
                self.listed = Some(false);
            } else {
                self.lists(asker);
            }
        }
    }

    fn nothing_is_left(&self) -> bool {
        let watch = &self.world.watch;
        let has_all = |actor: &Actor, at: usize| {
            let content = self.files[at].content;
            actor.has[at] || (!watch.lost(content).is_empty() && watch.has_what_there_is(actor.node, content))
        };
        self.waiting().all(|(_, actor)| (0..self.files.len()).all(|at| has_all(actor, at)))
    }

    /// Who lacks what they could have.
    pub(super) fn who_waits(&self) -> String {
        let total = self.scenario.pieces();
        let all = self.waiting().count();
        let named = self.waiting().take(NAMED_MAX).map(|(_, actor)| {
            let held: u32 =
                self.files.iter().map(|whole| self.world.watch.held(actor.node, whole.content)).sum();
            let class = &self.scenario.classes[actor.class].name;
            let login = if actor.logged_in { "" } else { ", not logged in" };
            format!("{class} at {:?} has {held} of {total} pieces{login}", actor.node)
        });
        let named = named.collect::<Vec<_>>().join("; ");
        let lost: usize = self.files.iter().map(|whole| self.world.watch.lost(whole.content).len()).sum();
        format!("{all} peers are not done, of {total} pieces {lost} are with nobody: {named}")
    }
}
