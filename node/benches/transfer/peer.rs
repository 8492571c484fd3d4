//! A process of a swarm, and what a tool must do to be measured.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::{LOOK, PATIENCE, Result};

/// A program that moves files.
pub(crate) trait Tool {
    fn name(&self) -> &'static str;

    /// Starts seeders of `source`, and whatever else there must be before leechers come; they serve when this returns.
    fn seed(&self, place: &Path, source: &Path, seeders: usize, leechers: usize) -> Result<Vec<Peer>>;

    /// Starts a leecher.
    fn leech(&self, place: &Path, number: usize) -> Result<Peer>;
}

/// Addresses on which nobody listens: what is free now will be so in a moment, on a machine that does nothing else.
pub(crate) fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    Ok(listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?)
}

/// A running process, killed when this value goes.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    output: PathBuf,
    /// Of a leecher: where its copy will be.
    pub(crate) copy: Option<PathBuf>,
    /// What it prints when it is complete.
    complete: &'static str,
}

impl Peer {
    /// Starts `command`; what it prints goes to the file `output`.
    pub(crate) fn start(command: &mut Command, output: PathBuf) -> Result<Peer> {
        let file = File::create(&output)?;
        let child = command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Peer { child, output, copy: None, complete: "" })
    }

    /// It is a leecher, whose copy will be there when it has printed that.
    pub(crate) fn fetching(mut self, copy: PathBuf, complete: &'static str) -> Peer {
        (self.copy, self.complete) = (Some(copy), complete);
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes lines to its standard input.
    pub(crate) fn say(&mut self, lines: &[&str]) -> Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or("it has no standard input")?;
        stdin.write_all((lines.join("\n") + "\n").as_bytes())?;
        Ok(stdin.flush()?)
    }

    /// Waits until it has printed something.
    pub(crate) fn wait_for(&mut self, text: &str) -> Result<()> {
        let began = Instant::now();
        while !self.printed()?.contains(text) {
            self.check_alive()?;
            if began.elapsed() > PATIENCE {
                return Err(format!("no {text:?} in {:?}", self.printed()?).into());
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// Whether the leecher is complete.
    pub(crate) fn is_done(&mut self) -> Result<bool> {
        let done = self.printed()?.contains(self.complete);
        if !done {
            self.check_alive()?;
        }
        Ok(done)
    }

    fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("it ended ({status}): {}", self.printed()?).into()),
            None => Ok(()),
        }
    }

    pub(crate) fn printed(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.output)?).into_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It fails only when it has ended already.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
