//! The one grammar: a line of text becomes something to do, or a complaint that names the cure.
//!
//! Invariant: no line whatsoever makes this panic, and none is taken for a command with a wrong number of arguments. The disk is looked
//! at only to tell a path from a group, and a destination folder from a destination file.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use engine::name::{BadName, FileName, GroupName, Place, UserName};
use engine::peer::command::{Command, Leaving};

use super::commands::{self, Spec, Switch, Verb};
use super::help;
use super::text::{escape, quoted};
use crate::rate::{BadRate, Rate};

/// How lines are read: differently on a terminal and in a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mode {
    /// Whether somebody can be asked for a password.
    pub(crate) can_ask: bool,
    /// What `~` stands for, if for anything.
    pub(crate) home: Option<PathBuf>,
}

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Line {
    /// Nothing: it is blank, or a comment.
    Nothing,
    /// Help, about one command or all.
    Help(Option<&'static Spec>),
    /// A command for the client.
    Ask(Ask),
}

/// A command for the client, and how to show its answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Ask {
    /// The command.
    pub(crate) what: What,
    /// Whether the answer should be JSON.
    pub(crate) json: bool,
}

/// A command, complete but for passwords.
#[derive(Debug, PartialEq)]
pub(crate) enum What {
    /// One that needs no password.
    Plain(Command),
    /// Make an account.
    CreateUser(UserName, Option<Secret>),
    /// Begin a session.
    Login(UserName, Option<Secret>),
    /// Show how fast pieces may come and go, or change it.
    Limit(Option<(Direction, Option<Rate>)>),
}

/// Which way pieces go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To others.
    Upload,
    /// From others.
    Download,
}

/// A password. It is never printed, not even for debugging.
#[derive(PartialEq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.verb == other.verb
    }
}

/// Why a line asks for nothing that can be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Trouble {
    /// A quote or an escape is not ended.
    OpenQuote,
    /// There is no such command.
    Unknown(String),
    /// Too few or too many arguments, or one that does not fit.
    Usage(&'static Spec),
    /// The command has no such option.
    NoSuchOption(&'static Spec, String),
    /// A password is needed, and nobody can be asked.
    NoPassword(&'static Spec),
    /// A password without characters.
    EmptyPassword,
    /// A word breaks the rules for names.
    Name(String, BadName),
    /// A word is no rate.
    Rate(String, BadRate),
    /// A path has no last part that could be listed.
    NoFileName(String),
    /// The working folder is gone.
    NoWorkingFolder(String),
}

impl Trouble {
    /// Whether the line is wrong in itself, rather than what it names.
    pub(crate) fn is_usage(&self) -> bool {
        !matches!(self, Trouble::Name(..) | Trouble::NoFileName(_) | Trouble::NoWorkingFolder(_))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::OpenQuote => {
                f.write_str("a quote or a backslash at the end has no partner: close the quote")
            }
            Trouble::Unknown(word) => {
                write!(f, "there is no command {}: ", escape(word))?;
                match help::nearest(word) {
                    Some(spec) => write!(f, "did you mean {}?\nusage: {}", spec.name, spec.usage()),
                    None => f.write_str("see help"),
                }
            }
            Trouble::Usage(spec) => write!(f, "usage: {}", spec.usage()),
            Trouble::NoSuchOption(spec, option) => {
                write!(f, "{} has no option {}\nusage: {}", spec.name, escape(option), spec.usage())
            }
            Trouble::NoPassword(spec) => write!(
                f,
                "a password is needed, and there is no terminal to ask for it\nusage: {}",
                spec.usage().replace("[passwd]", "<passwd>")
            ),
            Trouble::EmptyPassword => f.write_str("a password has at least one character"),
            Trouble::Name(word, why) => write!(f, "{} is not a name: {why}", quoted(word)),
            Trouble::Rate(word, why) => write!(f, "{} is not a rate: {why}", quoted(word)),
            Trouble::NoFileName(path) => {
                write!(f, "{} does not end in a file name: name a file", quoted(path))
            }
            Trouble::NoWorkingFolder(why) => {
                write!(f, "the working folder cannot be used ({}): give a full path", escape(why))
            }
        }
    }
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(line: &str, mode: &Mode) -> Result<Line, Trouble> {
    let words = shlex::split(line).ok_or(Trouble::OpenQuote)?;
    let Some((word, rest)) = words.split_first() else { return Ok(Line::Nothing) };
    let spec = commands::find(word).ok_or_else(|| Trouble::Unknown(word.clone()))?;
    let Words { mut arguments, switch } = Words::sort(spec, rest)?;
    if spec.verb == Verb::ListRequests
        && arguments.len() > 1
        && arguments[0].eq_ignore_ascii_case("list_requests")
    {
        arguments.remove(0);
    }
    let copies = if switch == Some(Switch::WhenReplicated) { take_copies(&mut arguments) } else { None };
    drop_lone_q(spec, &mut arguments);
    if !spec.counts.contains(&arguments.len()) {
        return Err(Trouble::Usage(spec));
    }
    let leaving = match switch {
        Some(Switch::WhenReplicated) => Leaving::WhenReplicated(copies),
        _ => Leaving::Now,
    };
    if spec.verb == Verb::Help {
        return help_on(&arguments);
    }
    let what = Arguments { spec, words: &arguments, mode, leaving }.build()?;
    Ok(Line::Ask(Ask { what, json: switch == Some(Switch::Json) }))
}

/// The words after the command word, sorted into arguments and option.
struct Words {
    arguments: Vec<String>,
    switch: Option<Switch>,
}

impl Words {
    /// A word that begins with `--` is an option if the command has any, until a lone `--`.
    fn sort(spec: &'static Spec, words: &[String]) -> Result<Words, Trouble> {
        let mut sorted = Words { arguments: Vec::new(), switch: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                sorted.arguments.extend(words.by_ref().cloned());
            } else if word.starts_with("--") && spec.option.is_some() {
                sorted.take_option(spec, word)?;
            } else {
                sorted.arguments.push(word.clone());
            }
        }
        Ok(sorted)
    }

    fn take_option(&mut self, spec: &'static Spec, word: &str) -> Result<(), Trouble> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        match spec.option {
            Some(switch) if switch.name().eq_ignore_ascii_case(name) => self.switch = Some(switch),
            _ => return Err(Trouble::NoSuchOption(spec, word.to_owned())),
        }
        match (spec.option, value) {
            (_, None) => Ok(()),
            (Some(Switch::WhenReplicated), Some(value)) => {
                self.arguments.push(value.to_owned());
                Ok(())
            }
            _ => Err(Trouble::NoSuchOption(spec, word.to_owned())),
        }
    }
}

/// The number of copies after `--when-replicated`, if there is one. What is left over is counted as any argument is.
fn take_copies(arguments: &mut Vec<String>) -> Option<u32> {
    let copies = arguments.first()?.parse().ok().filter(|copies| *copies > 0)?;
    arguments.remove(0);
    Some(copies)
}

/// Drops a last `q` that no required argument needs, unless it can only be a password.
fn drop_lone_q(spec: &Spec, arguments: &mut Vec<String>) {
    let takes_password = matches!(spec.verb, Verb::CreateUser | Verb::Login);
    if arguments.last().is_some_and(|last| last == "q") {
        let fits_with = spec.counts.contains(&arguments.len());
        let fits_without = spec.counts.contains(&(arguments.len() - 1));
        if fits_without && !(fits_with && takes_password) {
            arguments.pop();
        }
    }
}

fn help_on(arguments: &[String]) -> Result<Line, Trouble> {
    match arguments.first() {
        None => Ok(Line::Help(None)),
        Some(word) => match commands::find(word) {
            Some(spec) => Ok(Line::Help(Some(spec))),
            None => Err(Trouble::Unknown(word.clone())),
        },
    }
}

/// A command's arguments, as many as it may have.
struct Arguments<'a> {
    spec: &'static Spec,
    words: &'a [String],
    mode: &'a Mode,
    leaving: Leaving,
}

impl Arguments<'_> {
    fn build(&self) -> Result<What, Trouble> {
        let when = self.leaving;
        let command = match self.spec.verb {
            Verb::CreateUser => return Ok(What::CreateUser(self.name(0)?, self.password()?)),
            Verb::Login => return Ok(What::Login(self.name(0)?, self.password()?)),
            // `parse` answers this one itself.
            Verb::Help => return Err(Trouble::Usage(self.spec)),
            Verb::Limit => return Ok(What::Limit(self.limit()?)),
            Verb::Logout => Command::Logout { when },
            Verb::Quit => Command::Quit { when },
            Verb::WhoAmI => Command::WhoAmI,
            Verb::ListGroups => Command::ListGroups,
            Verb::ShowShares => Command::ShowShares,
            Verb::ShowDownloads => Command::ShowDownloads,
            Verb::CreateGroup => Command::CreateGroup { group: self.name(0)? },
            Verb::JoinGroup => Command::JoinGroup { group: self.name(0)? },
            Verb::LeaveGroup => Command::LeaveGroup { group: self.name(0)? },
            Verb::ListRequests => Command::ListRequests { group: self.name(0)? },
            Verb::ListMembers => Command::ListMembers { group: self.name(0)? },
            Verb::ListFiles => Command::ListFiles { group: self.name(0)? },
            Verb::AcceptRequest => Command::AcceptRequest { group: self.name(0)?, user: self.name(1)? },
            Verb::RejectRequest => Command::RejectRequest { group: self.name(0)?, user: self.name(1)? },
            Verb::MakeAdmin => Command::MakeAdmin { group: self.name(0)?, user: self.name(1)? },
            Verb::RemoveMember => Command::RemoveMember { group: self.name(0)?, user: self.name(1)? },
            Verb::Explain => Command::Explain { group: self.name(0)?, name: self.name(1)? },
            Verb::StopDownload => Command::StopDownload { group: self.name(0)?, name: self.name(1)? },
            Verb::StopShare => Command::StopShare { group: self.name(0)?, name: self.name(1)? },
            Verb::RemoveFile => Command::RemoveFile { group: self.name(0)?, name: self.name(1)? },
            Verb::FileInfo => Command::FileInfo { group: self.name(0)?, name: self.name(1)? },
            Verb::Wait => Command::Wait { file: self.file_or_all()? },
            Verb::UploadFile => self.upload()?,
            Verb::DownloadFile => self.download()?,
        };
        Ok(What::Plain(command))
    }

    fn name<T: FromStr<Err = BadName>>(&self, index: usize) -> Result<T, Trouble> {
        name(&self.words[index])
    }

    fn password(&self) -> Result<Option<Secret>, Trouble> {
        match self.words.get(1) {
            Some(word) if word.is_empty() => Err(Trouble::EmptyPassword),
            Some(word) => Ok(Some(Secret(word.clone()))),
            None if self.mode.can_ask => Ok(None),
            None => Err(Trouble::NoPassword(self.spec)),
        }
    }

    fn file_or_all(&self) -> Result<Option<(GroupName, FileName)>, Trouble> {
        if self.words.is_empty() { Ok(None) } else { Ok(Some((self.name(0)?, self.name(1)?))) }
    }

    fn limit(&self) -> Result<Option<(Direction, Option<Rate>)>, Trouble> {
        let [which, rate] = self.words else { return Ok(None) };
        let direction = match which.to_ascii_lowercase().as_str() {
            "upload" | "up" => Direction::Upload,
            "download" | "down" => Direction::Download,
            _ => return Err(Trouble::Usage(self.spec)),
        };
        let rate = match rate.to_ascii_lowercase().as_str() {
            "off" | "none" => None,
            _ => Some(rate.parse().map_err(|why| Trouble::Rate(rate.clone(), why))?),
        };
        Ok(Some((direction, rate)))
    }

    fn upload(&self) -> Result<Command, Trouble> {
        if let Some(size) = self.words.get(2)
            && size.parse::<u64>().is_err()
        {
            return Err(Trouble::Usage(self.spec));
        }
        let (first, second) = (self.path(&self.words[0])?, self.path(&self.words[1])?);
        let (path, group) =
            if there(&first) >= there(&second) { (first, &self.words[1]) } else { (second, &self.words[0]) };
        let listed = path.file_name().ok_or_else(|| Trouble::NoFileName(path.display().to_string()))?;
        let listed = name(&listed.to_string_lossy())?;
        Ok(Command::UploadFile { group: name(group)?, name: listed, place: place(&path) })
    }

    fn download(&self) -> Result<Command, Trouble> {
        let (group, name): (GroupName, FileName) = (self.name(0)?, self.name(1)?);
        let (path, named) = match self.words.get(2) {
            None => (self.path(name.as_str())?, false),
            Some(word) => {
                let path = self.path(word)?;
                let folder = word.ends_with('/') || path.is_dir();
                (if folder { path.join(name.as_str()) } else { path }, true)
            }
        };
        Ok(Command::DownloadFile { group, name, place: place(&path), named })
    }

    /// `word` as an absolute path.
    fn path(&self, word: &str) -> Result<PathBuf, Trouble> {
        if word.is_empty() {
            return Err(Trouble::NoFileName(String::new()));
        }
        let path = match (&self.mode.home, word.strip_prefix('~')) {
            (Some(home), Some("")) => home.clone(),
            (Some(home), Some(rest)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(word),
        };
        std::path::absolute(path).map_err(|error| Trouble::NoWorkingFolder(error.to_string()))
    }
}

fn name<T: FromStr<Err = BadName>>(word: &str) -> Result<T, Trouble> {
    word.parse().map_err(|why| Trouble::Name(word.to_owned(), why))
}

fn place(path: &Path) -> Place {
    Place(path.as_os_str().as_bytes().into())
}

/// What is at a path, in rising order of being what a person shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum There {
    Nothing,
    Something,
    File,
}

fn there(path: &Path) -> There {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => There::File,
        Ok(_) => There::Something,
        // A link to nowhere, or one in a folder that may not be searched, is still something.
        Err(_) if path.is_symlink() => There::Something,
        Err(_) => There::Nothing,
    }
}

#[cfg(test)]
mod tests;
