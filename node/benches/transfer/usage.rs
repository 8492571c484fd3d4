//! What processes use, as the system counts it.

use std::fs;
use std::time::Duration;

use crate::Result;

/// The unit of CPU time in /proc: 10 ms on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process so far, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?.1;
    let ticks: Vec<u32> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<std::result::Result<_, _>>()?;
    Ok(TICK * ticks.iter().sum())
}

/// CPU time of the whole machine so far, but for what it was idle.
pub(crate) fn cpu_of_machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().ok_or("/proc/stat is empty")?;
    let ticks: Vec<u32> =
        first.split_whitespace().skip(1).map(str::parse).collect::<std::result::Result<_, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq
    let busy =
        ticks.iter().take(7).enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, ticks)| ticks);
    Ok(TICK * busy.sum())
}

/// Memory that a process shares with nobody, in MiB; none if it has ended.
pub(crate) fn private_mib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let Some(line) = status.lines().find(|line| line.starts_with("RssAnon:")) else { return Ok(0) };
    let kib: u64 = line.split_whitespace().nth(1).ok_or("no number in /proc/PID/status")?.parse()?;
    Ok(kib / 1024)
}
