//! A child process: what it prints, how it is, and its end with the test.

use std::io::{BufRead as _, BufReader, PipeReader, Write as _, pipe};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::DEADLINE;

/// A running program. It is killed when this value goes.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    printed: Arc<Printed>,
}

/// Lines printed so far.
#[derive(Debug, Default)]
struct Printed {
    log: Mutex<Log>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    ended: bool,
}

impl Process {
    /// Starts `command`. Standard output and standard error come out of one pipe, in the order in which they were written.
    pub(crate) fn start(name: &str, command: &mut Command) -> Process {
        let (reader, writer) = pipe().unwrap();
        let child = command
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        // The command holds its ends of the pipe until it is given others.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let printed = Arc::new(Printed::default());
        let mut process = Process { name: name.into(), child, stdin: None, printed: Arc::clone(&printed) };
        process.stdin = process.child.stdin.take();
        thread::spawn(move || printed.gather(reader));
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        let name = &self.name;
        let stdin = self.stdin.as_mut().unwrap_or_else(|| panic!("the input of {name} is closed"));
        let written = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
        if let Err(error) = written {
            panic!("{name} does not read {text:?} ({error}); it printed:\n{}", self.transcript());
        }
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The first line from number `from` on that `wanted` wants, with its number.
    pub(crate) fn wait_line(
        &self,
        what: &str,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> (usize, String) {
        self.try_line(from, wanted)
            .unwrap_or_else(|why| panic!("{}: no {what:?} ({why}) in\n{}", self.name, self.transcript()))
    }

    /// As `wait_line`; or why there is none: the process ended, or it took too long.
    pub(crate) fn try_line(
        &self,
        from: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(usize, String), &'static str> {
        let end = Instant::now() + DEADLINE;
        let mut log = self.printed.log.lock().unwrap();
        let mut next = from;
        loop {
            while next < log.lines.len() {
                if wanted(&log.lines[next]) {
                    return Ok((next, log.lines[next].clone()));
                }
                next += 1;
            }
            if log.ended {
                return Err("it ended");
            }
            let left = end.checked_duration_since(Instant::now()).ok_or("it took too long")?;
            log = self.printed.grown.wait_timeout(log, left).unwrap().0;
        }
    }

    /// Lines `range` of what it printed.
    pub(crate) fn lines(&self, range: std::ops::Range<usize>) -> Vec<String> {
        self.printed.log.lock().unwrap().lines[range].to_vec()
    }

    /// All that it printed.
    pub(crate) fn transcript(&self) -> String {
        self.printed.log.lock().unwrap().lines.join("\n")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, and gives its exit code.
    pub(crate) fn exit_code(&mut self) -> i32 {
        // Nothing matches, so this waits for the end of what it prints.
        let ended = self.try_line(usize::MAX, |_| false);
        assert_eq!(ended, Err("it ended"), "{} printed\n{}", self.name, self.transcript());
        let status = self.child.wait().unwrap();
        status.code().unwrap_or_else(|| panic!("{} was killed: {status}", self.name))
    }

    /// Its open files.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// A figure of `/proc/PID/status`, in KiB.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        figure.unwrap_or_else(|| panic!("no {field} in {status}"))
    }

    /// Processor time that it has used, in clock ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        cpu_ticks(&format!("/proc/{}/stat", self.pid()))
    }

    /// Forgets how much memory it had at most until now.
    pub(crate) fn reset_memory_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only if it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Printed {
    fn gather(&self, reader: PipeReader) {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line).unwrap();
            let mut log = self.log.lock().unwrap();
            if read == 0 {
                log.ended = true;
            } else {
                log.lines.push(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            self.grown.notify_all();
            if read == 0 {
                return;
            }
        }
    }
}

/// Processor time of the calling thread, in clock ticks of 10 ms.
pub(crate) fn own_cpu_ticks() -> u64 {
    cpu_ticks("/proc/thread-self/stat")
}

fn cpu_ticks(path: &str) -> u64 {
    let stat = std::fs::read_to_string(path).unwrap();
    // Behind the name, which may hold anything, the time in the program and in the system are fields 12 and 13.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}
