//! Memory that the host has: a virtual machine's free pages are taken back after some seconds, and the first touch of such a page costs ten times as
//! much as the write that is measured here.
//!
//! All free memory is held, touched, until the clock starts, and given out again block by block as the transfer uses it: first a spare, so that
//! what is taken first was just touched, too. It is held in huge pages: memory that was torn into small ones stays slow to use.

use std::fs;

use memmap2::{Advice, MmapMut};

use crate::Result;

/// Memory that stays free, so that what the transfer needs next is there.
const SPARE_MIB: u64 = 512;

/// Memory that is left alone, for everybody else.
const REST_MIB: u64 = 256;

/// What is taken or given out at a time.
const BLOCK_MIB: u64 = 64;

/// Memory that is held.
#[derive(Debug, Default)]
pub(crate) struct Ballast(Vec<MmapMut>);

impl Ballast {
    /// Holds all memory that is free but the spare. Of that the part that the system gives first was just touched.
    pub(crate) fn fill(&mut self) -> Result<()> {
        while free_mib()? > REST_MIB + BLOCK_MIB {
            let mut block = MmapMut::map_anon(usize::try_from(BLOCK_MIB)? * 1024 * 1024)?;
            block.advise(Advice::HugePage)?;
            block.fill(1);
            self.0.push(block);
        }
        self.refill_spare()
    }

    /// Gives memory out until the spare is free again.
    pub(crate) fn refill_spare(&mut self) -> Result<()> {
        self.give_out(SPARE_MIB)
    }

    /// Gives memory out until so much is free.
    pub(crate) fn give_out(&mut self, mib: u64) -> Result<()> {
        while free_mib()? < mib && self.0.pop().is_some() {}
        Ok(())
    }
}

fn free_mib() -> Result<u64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let line =
        memory.lines().find(|line| line.starts_with("MemFree:")).ok_or("no MemFree in /proc/meminfo")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number in /proc/meminfo")?.parse()?;
    Ok(kib / 1024)
}
