//! The tracker list: a text file that names one tracker a line.
//!
//! A line is `ip:port` or `ip port`, IPv6 as `[::1]:7000` or `::1 7000`, and then, if one likes, the fingerprint that the tracker prints;
//! blank lines are skipped and `#` begins a comment. The number of a tracker is its place among the trackers, from 1. A file is taken whole or refused with the line and the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use engine::id::DeviceId;

use crate::identity::parse_fingerprint;

/// Most trackers of a network: a client tries them in turn, so more would only delay it.
pub const TRACKERS_MAX: usize = 16;

/// Longest tracker list, in bytes: 16 lines and all the comments one could want.
pub const LEN_MAX: usize = 64 * 1024;

/// Longest part of a bad line that a message repeats, in characters.
const QUOTE_LEN_MAX: usize = 60;

/// A tracker of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key, if the list says.
    pub fingerprint: Option<DeviceId>,
}

impl From<SocketAddr> for Tracker {
    fn from(address: SocketAddr) -> Tracker {
        Tracker { address, fingerprint: None }
    }
}

impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fingerprint {
            Some(fingerprint) => write!(f, "{} {fingerprint}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// Why a tracker list is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line, from 1; none if the file as a whole is at fault.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a tracker list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not an address.
    NotAddress(String),
    /// An address without a port.
    NoPort(String),
    /// Not a port.
    NotPort(String),
    /// Port 0 stands for any port, so nobody could find it.
    PortZero,
    /// What follows the address is no fingerprint.
    NotFingerprint(String),
    /// Something follows the address and the fingerprint.
    TooMuch(String),
    /// The same address as on an earlier line.
    Duplicate {
        /// That line, from 1.
        line: usize,
    },
    /// More than [`TRACKERS_MAX`] trackers.
    TooMany,
    /// Bytes that are no text.
    NotText,
    /// No tracker in the file.
    Empty,
    /// A file of more than [`LEN_MAX`] bytes.
    TooLong,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl std::error::Error for BadLine {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotAddress(text) => {
                write!(f, "{} is no IP address; write ip:port, as 192.0.2.1:7401 or [::1]:7401", Quoted(text))
            }
            Reason::NoPort(text) => write!(f, "{} names no port; write ip:port", Quoted(text)),
            Reason::NotPort(text) => write!(f, "{} is no port; ports are 1 to 65535", Quoted(text)),
            Reason::PortZero => f.write_str("port 0 cannot be reached; ports are 1 to 65535"),
            Reason::TooMuch(text) => {
                write!(f, "{} follows the fingerprint; begin a comment with #", Quoted(text))
            }
            Reason::NotFingerprint(text) => write!(
                f,
                "{} is no fingerprint; copy the 64 digits that the tracker prints, or begin a comment with #",
                Quoted(text)
            ),
            Reason::Duplicate { line } => {
                write!(f, "this tracker is on line {line} already; remove one of the two")
            }
            Reason::TooMany => write!(f, "a list has at most {TRACKERS_MAX} trackers; remove some"),
            Reason::NotText => f.write_str("this is not UTF-8 text; write the file with a text editor"),
            Reason::Empty => f.write_str("the file names no tracker; write one a line, as ip:port"),
            Reason::TooLong => {
                write!(f, "the file has more than {LEN_MAX} bytes; is it the list of trackers?")
            }
        }
    }
}

/// Text from the file, made harmless for a terminal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(QUOTE_LEN_MAX).collect();
        let rest = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "\"{}{rest}\"", shown.escape_debug())
    }
}

/// The trackers that `text` lists, in order.
///
/// # Errors
/// The first line at fault, with the reason.
pub fn parse(text: &str) -> Result<Vec<Tracker>, BadLine> {
    if text.len() > LEN_MAX {
        return Err(BadLine { line: None, reason: Reason::TooLong });
    }
    let mut trackers = Vec::new();
    let mut lines = BTreeMap::new();
    for (line, content) in (1..).zip(text.strip_prefix('\u{feff}').unwrap_or(text).lines()) {
        let refuse = |reason| BadLine { line: Some(line), reason };
        let Some(tracker) = parse_line(content).map_err(refuse)? else { continue };
        if let Some(earlier) = lines.insert(tracker.address, line) {
            return Err(refuse(Reason::Duplicate { line: earlier }));
        }
        if trackers.len() == TRACKERS_MAX {
            return Err(refuse(Reason::TooMany));
        }
        trackers.push(tracker);
    }
    if trackers.is_empty() {
        return Err(BadLine { line: None, reason: Reason::Empty });
    }
    Ok(trackers)
}

/// The tracker on a line; none if the line has nothing but space and comment.
fn parse_line(line: &str) -> Result<Option<Tracker>, Reason> {
    let content = line.split_once('#').map_or(line, |(before, _)| before);
    let mut words = content.split_whitespace();
    let Some(first) = words.next() else { return Ok(None) };
    let address = match first.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => parse_pair(first, words.next())?,
    };
    if address.port() == 0 {
        return Err(Reason::PortZero);
    }
    let fingerprint = match words.next() {
        Some(word) => Some(parse_fingerprint(word).ok_or_else(|| Reason::NotFingerprint(word.into()))?),
        None => None,
    };
    match words.next() {
        Some(rest) => Err(Reason::TooMuch(rest.into())),
        None => Ok(Some(Tracker { address: canonical(address), fingerprint })),
    }
}

/// 127.0.0.1 and ::ffff:127.0.0.1 are one tracker.
fn canonical(tracker: SocketAddr) -> SocketAddr {
    match tracker.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), tracker.port()),
        IpAddr::V6(_) => tracker,
    }
}

fn parse_pair(ip: &str, port: Option<&str>) -> Result<SocketAddr, Reason> {
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    let Ok(address) = bare.parse::<IpAddr>() else {
        return Err(misread(ip));
    };
    let Some(port) = port else { return Err(Reason::NoPort(ip.into())) };
    let digits_only = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits_only => Ok(SocketAddr::new(address, port)),
        Ok(_) | Err(_) => Err(Reason::NotPort(port.into())),
    }
}

/// What is wrong with a word that is neither `ip:port` nor `ip`.
fn misread(word: &str) -> Reason {
    match word.rsplit_once(':') {
        Some((ip, port)) if format!("{ip}:1").parse::<SocketAddr>().is_ok() => Reason::NotPort(port.into()),
        _ => Reason::NotAddress(word.into()),
    }
}

/// The text of a tracker list that [`parse`] reads back.
#[must_use]
pub fn print(trackers: &[Tracker]) -> String {
    trackers.iter().map(|tracker| format!("{tracker}\n")).collect()
}

/// Reads the tracker list at `path`.
///
/// # Errors
/// A message that names the file, the line and the remedy.
pub fn load(path: &Path) -> Result<Vec<Tracker>, String> {
    let shown = path.display();
    let bytes = read(path).map_err(|error| {
        format!("{shown} cannot be read ({error}); name the file that lists the trackers, one ip:port a line")
    })?;
    text(bytes).and_then(|text| parse(&text)).map_err(|bad| format!("{shown}: {bad}"))
}

/// Reads one byte more than a list may have, so that a longer one is noticed and not read.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LEN_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, BadLine> {
    if bytes.len() > LEN_MAX {
        return Err(BadLine { line: None, reason: Reason::TooLong });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        BadLine { line: Some(line), reason: Reason::NotText }
    })
}

/// The address of tracker `number`, from 1.
///
/// # Errors
/// A message that says which numbers there are.
pub fn pick(trackers: &[Tracker], number: usize) -> Result<SocketAddr, String> {
    let tracker = number.checked_sub(1).and_then(|index| trackers.get(index));
    tracker.map(|tracker| tracker.address).ok_or_else(|| match trackers.len() {
        1 => format!("there is no tracker {number}; the list names one, so tracker_no is 1"),
        count => {
            format!("there is no tracker {number}; the list names {count}, so tracker_no is 1 to {count}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(address: &str) -> Tracker {
        Tracker::from(address.parse::<SocketAddr>().unwrap())
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn every_form_of_a_line_is_taken() {
        let text = "\u{feff}# trackers\r\n\n 127.0.0.1:7401 # first\n10.0.0.2 7402\r\n[::1]:7403\n\t::1\t7404#x\n[::1] 7405";
        let expected = ["127.0.0.1:7401", "10.0.0.2:7402", "[::1]:7403", "[::1]:7404", "[::1]:7405"];
        assert_eq!(parse(text), Ok(expected.map(tracker).to_vec()));
    }

    #[test]
    fn a_fingerprint_may_follow_an_address() {
        let device = DeviceId([0xab; 32]);
        let text = format!(
            "127.0.0.1:1 {device}\n::1 2 {} # upper case\n[::1]:3",
            device.to_string().to_uppercase()
        );
        let trackers = parse(&text).unwrap();
        assert_eq!(
            trackers.iter().map(|tracker| tracker.fingerprint).collect::<Vec<_>>(),
            [Some(device), Some(device), None]
        );
        assert_eq!(parse(&print(&trackers)), Ok(trackers));
    }

    #[test]
    fn a_bad_line_is_refused_with_its_number_and_the_reason() {
        let cases = [
            ("# x\n\nlocalhost:7401", "line 3: \"localhost:7401\" is no IP address"),
            ("127.0.0.1", "line 1: \"127.0.0.1\" names no port"),
            ("::1", "line 1: \"::1\" names no port"),
            ("127.0.0.1:x", "line 1: \"x\" is no port"),
            ("127.0.0.1:65536", "line 1: \"65536\" is no port"),
            ("127.0.0.1:", "line 1: \"\" is no port"),
            ("[::1]:-1", "line 1: \"-1\" is no port"),
            ("127.0.0.1 +7401", "line 1: \"+7401\" is no port"),
            ("127.0.0.1:0", "line 1: port 0 cannot be reached"),
            ("127.0.0.1 0", "line 1: port 0 cannot be reached"),
            ("127.0.0.1:7401 7402", "line 1: \"7402\" is no fingerprint"),
            ("127.0.0.1 7401 x", "line 1: \"x\" is no fingerprint"),
            (&format!("127.0.0.1 7401 {} x", "0a".repeat(32)), "line 1: \"x\" follows the fingerprint"),
            ("1.1.1.1:7\n# y\n1.1.1.1 7", "line 3: this tracker is on line 1 already"),
            ("1.1.1.1:7\n::ffff:1.1.1.1 7", "line 2: this tracker is on line 1 already"),
            ("\u{1b}[2J:7", "line 1: \"\\u{1b}[2J:7\" is no IP address"),
            ("", "the file names no tracker"),
            ("\n# none\n", "the file names no tracker"),
        ];
        for (text, message) in cases {
            assert!(refused(text).starts_with(message), "{text:?}: {}", refused(text));
        }
    }

    #[test]
    fn a_list_has_its_limits() {
        let list = |count: usize| (1..=count).map(|port| format!("10.0.0.1:{port}\n")).collect::<String>();
        assert_eq!(parse(&list(TRACKERS_MAX)).map(|trackers| trackers.len()), Ok(TRACKERS_MAX));
        assert!(refused(&list(TRACKERS_MAX + 1)).starts_with("line 17: a list has at most 16"));
        assert!(refused(&"#".repeat(LEN_MAX + 1)).contains("more than 65536 bytes"));
        assert!(refused(&"x".repeat(LEN_MAX)).len() < 200, "a message repeats little of a long line");
    }

    #[test]
    fn a_file_is_read_and_its_faults_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        assert!(load(&path).unwrap_err().contains("cannot be read"));
        std::fs::write(&path, b"127.0.0.1:1\n\xff\n").unwrap();
        assert!(load(&path).unwrap_err().contains("list: line 2: this is not UTF-8 text"));
        std::fs::write(&path, vec![b'\n'; LEN_MAX + 1]).unwrap();
        assert!(load(&path).unwrap_err().contains("more than 65536 bytes"));
        std::fs::write(&path, "127.0.0.1:1\n").unwrap();
        assert_eq!(load(&path), Ok(vec![tracker("127.0.0.1:1")]));
    }

    #[test]
    fn trackers_are_counted_from_one() {
        let trackers = parse("10.0.0.1:1\n10.0.0.2:2").unwrap();
        assert_eq!(pick(&trackers, 1), Ok(trackers[0].address));
        assert_eq!(pick(&trackers, 2), Ok(trackers[1].address));
        assert!(pick(&trackers, 0).unwrap_err().contains("tracker_no is 1 to 2"));
        assert!(pick(&trackers, 3).unwrap_err().contains("tracker_no is 1 to 2"));
        assert!(pick(&trackers[..1], 2).unwrap_err().contains("tracker_no is 1"));
    }
}
