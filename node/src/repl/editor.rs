//! The line that a person types: on a thread of its own, because the line editor blocks.
//!
//! Invariants: a line that may hold a password is never kept in the history. While a command is under way nothing is read, and the
//! terminal is in its ordinary mode, so that Ctrl-C is a signal.

use std::io;
use std::path::{Path, PathBuf};

use async_channel::{Receiver, Sender};
use rustyline::config::{BellStyle, CompletionType};
use rustyline::error::{ReadlineError, Signal};
use rustyline::history::FileHistory;
use rustyline::{Cmd, Config, Editor, ExternalPrinter as _, KeyEvent, Movement};

use super::commands::{self, Spec, Verb};
use super::complete::Complete;
use super::grammar::{self, Ask, Line, Mode};
use super::names::Names;
use super::screen::{Above, Screen};
use super::text::escape;
use super::{help, password};

/// Lines that the history keeps.
const HISTORY_LEN_MAX: usize = 1_000;

/// What the person typed.
#[derive(Debug)]
pub(crate) enum Typed {
    /// A command. The editor waits for [`Next`] before it reads on.
    Ask(Ask),
    /// Ctrl-D. The editor has ended.
    Leave,
}

/// What the editor does after a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// Read on.
    Read,
}

/// An editor with its ends of the channels.
pub(crate) struct Typist {
    /// What completion and the prompt know.
    pub(crate) names: Names,
    /// Where to print.
    pub(crate) screen: Screen,
    /// Where the history is kept.
    pub(crate) history: PathBuf,
    /// To whom commands go.
    pub(crate) typed: Sender<Typed>,
    /// From whom the editor hears that a command is done.
    pub(crate) next: Receiver<Next>,
}

impl Typist {
    /// Reads and hands on commands until the person leaves or nobody listens. Blocks. `above` gets the means to print above a
    /// half-typed line.
    pub(crate) fn run(self, above: &Sender<Above>) {
        let result = self.editor().and_then(|mut editor| {
            // Whoever started the editor has ended if nobody takes it.
            if above.send_blocking(printer(&mut editor)).is_ok() { self.read(&mut editor) } else { Ok(()) }
        });
        if let Err(error) = result {
            self.screen.show(&format!("error: the terminal cannot be read: {error}\n"));
        }
        // Nobody listens if the program is ending already.
        let _ended = self.typed.send_blocking(Typed::Leave);
    }

    fn editor(&self) -> rustyline::Result<Editor<Complete, FileHistory>> {
        let config = Config::builder()
            .max_history_size(HISTORY_LEN_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .bell_style(BellStyle::None)
            .build();
        let mut editor = Editor::with_config(config)?;
        // So that Ctrl-C, which only clears the line, can be told from a SIGINT, which ends the program.
        let clear = Cmd::Kill(Movement::WholeBuffer);
        editor.bind_sequence(KeyEvent::ctrl('C'), clear);
        editor.set_helper(Some(Complete::new(self.names.clone())));
        match editor.load_history(&self.history) {
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, path = %self.history.display(), "the history cannot be read");
            }
            Ok(()) => {}
        }
        Ok(editor)
    }

    fn read(&self, editor: &mut Editor<Complete, FileHistory>) -> rustyline::Result<()> {
        let mode = Mode { can_ask: true, home: std::env::home_dir() };
        loop {
            let prompt = format!("{}> ", escape(&self.names.user().unwrap_or_default()));
            match editor.readline(&prompt) {
                Ok(line) => {
                    remember(editor, &line, &self.history);
                    if !self.act(&line, &mode) {
                        return Ok(());
                    }
                }
                Err(ReadlineError::Signal(Signal::Resize)) => {}
                // Ctrl-D, or a SIGINT from outside.
                Err(ReadlineError::Eof | ReadlineError::Interrupted | ReadlineError::Signal(_)) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Does what a line asks for; false when nobody listens any more.
    fn act(&self, line: &str, mode: &Mode) -> bool {
        match grammar::parse(line, mode) {
            Ok(Line::Nothing) => true,
            Ok(Line::Help(spec)) => {
                self.screen.show(&spec.map_or_else(help::overview, help::about));
                true
            }
            Ok(Line::Ask(mut ask)) => match password::complete(&mut ask.what) {
                Ok(()) => {
                    self.typed.send_blocking(Typed::Ask(ask)).is_ok() && self.next.recv_blocking().is_ok()
                }
                Err(why) => {
                    self.screen.show(&format!("error: {why}\n"));
                    true
                }
            },
            Err(trouble) => {
                self.screen.show(&format!("error: {trouble}\n"));
                true
            }
        }
    }
}

/// The means to print above the line; on a terminal that cannot do that, to print.
fn printer(editor: &mut Editor<Complete, FileHistory>) -> Above {
    match editor.create_external_printer() {
        Ok(mut printer) => Box::new(move |text| printer.print(text).map_err(io::Error::other)),
        Err(error) => {
            tracing::debug!(%error, "news cannot be printed above the line");
            Box::new(|text| io::Write::write_all(&mut io::stdout(), text.as_bytes()))
        }
    }
}

fn remember(editor: &mut Editor<Complete, FileHistory>, line: &str, path: &Path) {
    if line.trim().is_empty() || may_hold_password(line) {
        return;
    }
    let kept =
        editor.add_history_entry(line).and_then(|new| if new { editor.append_history(path) } else { Ok(()) });
    if let Err(error) = kept {
        tracing::warn!(%error, path = %path.display(), "the history cannot be written");
    }
}

/// Whether a line is a command with a password, or looks like a mistyped one.
fn may_hold_password(line: &str) -> bool {
    let takes_password = |spec: &Spec| matches!(spec.verb, Verb::CreateUser | Verb::Login);
    // A line with an open quote has no words yet; what stands before the first space is enough.
    let words = shlex::split(line);
    let word = match &words {
        Some(words) => words.first().map(String::as_str),
        None => line.split_whitespace().next(),
    };
    let word = word.unwrap_or_default().trim_matches(['\'', '"', '\\']);
    commands::find(word).or_else(|| help::nearest(word)).is_none_or(takes_password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_may_hold_a_password_are_not_kept() {
        for line in [
            "login ann secret",
            "  LOGIN ann secret",
            "create_user ann secret",
            "'login' ann secret",
            "lgoin ann secret",
            "create_usr ann secret",
            "login ann 'secret",
            "'login ann secret",
            "secret",
        ] {
            assert!(may_hold_password(line), "{line}");
        }
        for line in ["list_groups", "list_gruops", "download_file g 'a b'", "logout", "help login"] {
            assert!(!may_hold_password(line), "{line}");
        }
    }

    #[test]
    fn the_history_on_disk_holds_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let mut editor = Editor::with_config(Config::default()).unwrap();
        for line in ["list_groups", "login ann secret", "", "whoami"] {
            remember(&mut editor, line, &path);
        }
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(kept.ends_with("list_groups\nwhoami\n"), "{kept}");
    }
}
