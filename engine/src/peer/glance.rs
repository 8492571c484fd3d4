//! Where in memory an input will lead.
//!
//! Whoever runs very many machines waits for memory most of the time: each input concerns another machine, of which no cache holds anything. So
//! it may ask beforehand where an input will lead, and have those lines fetched meanwhile. A way through memory has several steps, each of
//! which begins where the one before has led; the next is asked for when the lines of the last have come. Nothing is changed here, and what
//! is forgotten costs time only.

use core::ptr;

use super::Peer;
use super::file::File;
use crate::id::LinkId;
use crate::table::Table;

/// How many steps there are.
pub const STEPS: usize = 5;

/// Bytes that processors fetch at once.
const LINE: usize = 64;

/// What is said of an input before it is given.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    /// From which link it comes, if from any.
    pub link: Option<LinkId>,
    /// Which piece it is about, if that is known.
    pub piece: Option<u32>,
}

impl Peer {
    /// Names the lines of memory that an input needs and that can be known at this step: the first is 0. It is taken to be about the first file.
    pub fn glance(&self, glance: Glance, step: usize, fetch: &mut impl FnMut(*const u8)) {
        let file = || self.files.table.values().next();
        match step {
            0 => {
                start(&self.alarms, fetch);
                start(&self.files.table, fetch);
                start(&self.links.table, fetch);
                start(&self.uploads, fetch);
                start(&self.jobs, fetch);
                start(&self.free_slots, fetch);
            }
            1 => {
                if glance.link.is_some() {
                    keys(&self.links.table, fetch);
                }
                keys(&self.files.table, fetch);
                file().into_iter().for_each(|file| start(file, fetch));
                start(&self.uploads.places[..], fetch);
            }
            2 => {
                let there = glance.link.and_then(|link| self.links.get(link));
                there.into_iter().for_each(|there| there.glance(fetch));
                file().into_iter().for_each(|file| file.glance(fetch));
            }
            3 => file().into_iter().for_each(|file| file.glance_behind(fetch)),
            _ => file().into_iter().for_each(|file| file.glance_further(glance, fetch)),
        }
    }
}

impl File {
    /// What is in it.
    fn glance(&self, fetch: &mut impl FnMut(*const u8)) {
        start(&self.phase, fetch);
        start(&self.held, fetch);
        start(&self.neighbours, fetch);
        start(&self.content, fetch);
        start(&self.hashes, fetch);
    }

    /// What that leads to.
    fn glance_behind(&self, fetch: &mut impl FnMut(*const u8)) {
        keys(&self.neighbours, fetch);
        self.download().into_iter().for_each(|download| whole(&download.picker, fetch));
    }

    /// And what that does.
    fn glance_further(&self, glance: Glance, fetch: &mut impl FnMut(*const u8)) {
        let neighbour = glance.link.and_then(|link| self.neighbours.get(&link));
        neighbour.into_iter().for_each(|neighbour| whole(neighbour, fetch));
        if let Some((download, piece)) = self.download().zip(glance.piece) {
            download.picker.glance(piece, fetch);
        }
    }
}

/// Names the lines of a value.
pub fn whole<T: ?Sized>(of: &T, fetch: &mut impl FnMut(*const u8)) {
    let from = ptr::from_ref(of).cast::<u8>();
    (0..size_of_val(of)).step_by(LINE).for_each(|at| fetch(from.wrapping_add(at)));
}

/// Names the line in which a value begins.
pub fn start<T: ?Sized>(of: &T, fetch: &mut impl FnMut(*const u8)) {
    fetch(ptr::from_ref(of).cast());
}

/// Names the lines that say where an entry is.
fn keys<K, V>(table: &Table<K, V>, fetch: &mut impl FnMut(*const u8)) {
    whole(table.key_slice(), fetch);
}
