//! Memory that the host has: a virtual machine's free pages may have been taken back, and the first touch of such a page costs far more than
//! what is measured here.
//!
//! All free memory but the working set is held; what is left is touched before each run.

use std::fs;

use crate::Result;

/// Memory that stays free, so that touching does not push the page cache out.
const SPARE_MIB: u64 = 400;

/// Most memory that is taken at a time.
const BLOCK_MIB: u64 = 256;

/// Memory that is held.
#[derive(Debug)]
pub(crate) struct Ballast(#[expect(dead_code, reason = "held, not used")] Vec<Vec<u8>>);

impl Ballast {
    /// Holds all memory but so many MiB.
    pub(crate) fn take(leave_mib: u64) -> Result<Ballast> {
        let mut held = Vec::new();
        while free_mib("MemFree:")? > leave_mib + BLOCK_MIB && free_mib("MemAvailable:")? > leave_mib + 3_072
        {
            held.push(touched(BLOCK_MIB)?);
        }
        Ok(Ballast(held))
    }

    /// Touches what is free.
    #[expect(clippy::unused_self, reason = "there is little to touch only while all else is held")]
    pub(crate) fn touch(&self) -> Result<()> {
        let mut held = Vec::new();
        while free_mib("MemFree:")? > SPARE_MIB + BLOCK_MIB {
            held.push(touched(BLOCK_MIB)?);
        }
        Ok(())
    }
}

fn touched(mib: u64) -> Result<Vec<u8>> {
    Ok(vec![1; usize::try_from(mib)? * 1024 * 1024])
}

fn free_mib(name: &str) -> Result<u64> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let line = memory.lines().find(|line| line.starts_with(name)).ok_or("no such line in /proc/meminfo")?;
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number in /proc/meminfo")?.parse()?;
    Ok(kib / 1024)
}
