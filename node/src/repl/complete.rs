//! Completion with the Tab key: commands, options, groups, files, users and paths.
//!
//! What is offered is quoted as the grammar reads it, and never holds a character that a terminal could act on.

use engine::name::is_unprintable;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::commands::{self, COMMANDS, Kind, Spec, Verb};
use super::names::Names;
use super::text::quoted;

/// Knows what can stand where.
pub(crate) struct Complete {
    names: Names,
    paths: FilenameCompleter,
}

impl Complete {
    /// A completer that offers `names`, now and as they grow.
    pub(crate) fn new(names: Names) -> Complete {
        Complete { names, paths: FilenameCompleter::new() }
    }

    /// Where the replaced part begins, and what may stand there.
    fn offers(&self, line: &str, pos: usize) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Begun { before, start, word } = begun(&line[..pos]);
        let Some((command, before)) = before.split_first() else {
            let names = COMMANDS.iter().map(|spec| spec.name.to_owned());
            return Ok((start, fitting(&word.to_lowercase(), names)));
        };
        let Some(spec) = commands::find(command) else { return Ok((start, Vec::new())) };
        if word.starts_with("--") {
            let options = spec.option.map(|option| option.name().to_owned());
            return Ok((start, fitting(&word, options.into_iter())));
        }
        let before = arguments(spec, before);
        let Some(kind) = spec.kinds.get(before.len()) else { return Ok((start, Vec::new())) };
        let group = before.first().map_or("", String::as_str);
        let names = match kind {
            Kind::Free => Vec::new(),
            Kind::Command => COMMANDS.iter().map(|spec| spec.name.to_owned()).collect(),
            Kind::Group => self.names.groups(),
            Kind::File => self.names.files(group),
            Kind::User => self.names.users(group),
            Kind::Path => return self.paths(line, pos),
            Kind::PathOrGroup => {
                let (path_start, paths) = self.paths(line, pos)?;
                let groups = fitting(&word, self.names.groups().into_iter());
                return Ok(match (groups.is_empty(), path_start == start) {
                    (true, _) => (path_start, paths),
                    (false, true) => (start, groups.into_iter().chain(paths).collect()),
                    (false, false) => (start, groups),
                });
            }
        };
        Ok((start, fitting(&word, names.into_iter())))
    }

    fn paths(&self, line: &str, pos: usize) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, mut paths) = self.paths.complete_path(line, pos)?;
        paths.retain(|path| !path.display.chars().any(is_unprintable));
        Ok((start, paths))
    }
}

impl Completer for Complete {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        self.offers(line, pos)
    }
}

impl Hinter for Complete {
    type Hint = String;
}
impl Highlighter for Complete {}
impl Validator for Complete {}
impl Helper for Complete {}

/// The arguments among the words before the cursor: no options, and no second word of `requests list_requests`.
fn arguments(spec: &Spec, before: &[String]) -> Vec<String> {
    let tolerated =
        spec.verb == Verb::ListRequests && before.first().is_some_and(|word| word == "list_requests");
    let words = before.iter().skip(usize::from(tolerated));
    words.filter(|word| !word.starts_with("--")).cloned().collect()
}

/// The candidates that begin with `word`, as they are typed.
fn fitting(word: &str, candidates: impl Iterator<Item = String>) -> Vec<Pair> {
    candidates
        .filter(|candidate| candidate.starts_with(word) && !candidate.chars().any(is_unprintable))
        .map(|candidate| Pair { replacement: quoted(&candidate) + " ", display: candidate })
        .collect()
}

/// A line up to the cursor.
#[derive(Debug, PartialEq)]
struct Begun {
    /// The words before the one under the cursor, unquoted.
    before: Vec<String>,
    /// Where the word under the cursor begins, in bytes.
    start: usize,
    /// The word under the cursor as far as it is typed, unquoted.
    word: String,
}

fn begun(line: &str) -> Begun {
    let start = last_word(line);
    let (before, raw) = line.split_at(start);
    // A word that is still being typed may have an open quote, or end in half an escape.
    let closed =
        [raw.to_owned(), raw.trim_end_matches('\\').to_owned(), format!("{raw}'"), format!("{raw}\"")];
    let word = closed.iter().find_map(|raw| shlex::split(raw)).and_then(|words| words.into_iter().next());
    Begun { before: shlex::split(before).unwrap_or_default(), start, word: word.unwrap_or_default() }
}

/// Where the last word begins: after the last space that is neither quoted nor escaped.
fn last_word(line: &str) -> usize {
    let (mut start, mut quote, mut escaped) = (0, None, false);
    for (index, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ' ' | '\t') => start = index + 1,
            _ => {}
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::{content, user};
    use super::*;
    use engine::name::{FileName, GroupName};
    use engine::peer::command::{Command, News, Reply};
    use engine::wire::tracker::{FileRow, GroupRow, GroupStanding, Notice};

    fn complete() -> Complete {
        let names = Names::default();
        let group = |name| GroupName::new(name).unwrap();
        let row = |name| GroupRow { group: group(name), members: 1, standing: GroupStanding::Outside };
        names.learn(&Command::ListGroups, &Reply::Groups(vec![row("physics"), row("phy sics"), row("art")]));
        let file = |name| FileRow {
            name: FileName::new(name).unwrap(),
            content: content(1),
            seeders: 1,
            leechers: 0,
            available: true,
        };
        names.learn(
            &Command::ListFiles { group: group("phy sics") },
            &Reply::Files(vec![file("it's.txt"), file("b.txt")]),
        );
        names.hear(&News::Notice(Notice::JoinRequested { group: group("physics"), user: user("bob") }));
        Complete::new(names)
    }

    fn offered(line: &str) -> (usize, Vec<String>) {
        let (start, pairs) = complete().offers(line, line.len()).unwrap();
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn commands_come_first() {
        assert_eq!(offered("list_f"), (0, vec!["list_files ".to_owned()]));
        assert_eq!(offered("  LOGI"), (2, vec!["login ".to_owned()]));
        assert_eq!(offered("").1.len(), COMMANDS.len());
        assert_eq!(offered("help whoa"), (5, vec!["whoami ".to_owned()]));
        assert_eq!(offered("xyzzy a"), (6, vec![]));
    }

    #[test]
    fn names_are_offered_where_they_belong_and_quoted() {
        assert_eq!(offered("list_files p"), (11, vec!["'phy sics' ".to_owned(), "physics ".to_owned()]));
        assert_eq!(offered("list_files 'phy s"), (11, vec!["'phy sics' ".to_owned()]));
        assert_eq!(offered("list_files phy\\ s"), (11, vec!["'phy sics' ".to_owned()]));
        assert_eq!(offered("requests list_requests ar"), (23, vec!["art ".to_owned()]));
        assert_eq!(offered("accept_request physics "), (23, vec!["bob ".to_owned()]));
        let (start, files) = offered("download_file 'phy sics' i");
        assert_eq!((start, shlex::split(&files[0]).unwrap()), (25, vec!["it's.txt".to_owned()]));
        assert_eq!(offered("list_files art --j"), (15, vec!["--json ".to_owned()]));
        assert_eq!(offered("list_files art x"), (15, vec![]));
        assert_eq!(offered("login an"), (6, vec![]));
    }

    #[test]
    fn paths_are_offered_without_those_that_a_terminal_would_act_on() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["notes.txt", "no\u{1b}[2J", "other"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let path = folder.path().display();
        assert_eq!(offered(&format!("upload_file {path}/no")).1, [format!("{path}/notes.txt")]);
        assert_eq!(offered(&format!("download_file art b.txt {path}/o")).1, [format!("{path}/other")]);
    }

    #[test]
    fn the_word_under_the_cursor_is_found() {
        let at = |line| (begun(line).start, begun(line).word);
        assert_eq!(at("a b"), (2, "b".to_owned()));
        assert_eq!(at("a "), (2, String::new()));
        assert_eq!(at("a \"b c"), (2, "b c".to_owned()));
        assert_eq!(at("a 'b\\"), (2, "b\\".to_owned()));
        assert_eq!(at("a b\\"), (2, "b".to_owned()));
        assert_eq!(begun("x 'a b' c").before, ["x", "a b"]);
    }
}
