//! A script: commands from standard input, one a line, or from `-c`.
//!
//! Nothing is echoed and nobody is asked. Data goes to standard output; confirmations, news and errors to standard error. What was told
//! before an answer is printed before it, so the same script prints the same transcript. A failed command does not stop the script;
//! the exit code says that one failed. At the end, and on a signal, the client leaves cleanly.

use std::future::Future;
use std::io::{self, BufRead, Read as _, Write};

use async_channel::{Receiver, Sender};
use engine::peer::command::News;
use futures_lite::future;

use super::grammar::{self, Ask, Line, Mode};
use super::news::Detail;
use super::session::{Door, Outcome, Session};
use super::signals::Stop;
use super::text::printable;
use super::{help, password};
use crate::exit::Exit;

/// The longest line of a script, in bytes: two paths of 4 KiB, quoted, and as much again.
const LINE_LEN_MAX: u64 = 64 * 1024;

/// A command of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Where it stands, for messages.
    pub(crate) place: String,
    /// Its text, or why it has none.
    pub(crate) text: Result<String, &'static str>,
}

/// Reads lines until the input ends or nobody wants more. Blocks.
pub(crate) fn read_lines(mut input: impl BufRead, to: &Sender<Given>) -> io::Result<()> {
    for number in 1_u64.. {
        let mut line = Vec::new();
        if input.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let too_long = !line.ends_with(b"\n") && line.len() as u64 == LINE_LEN_MAX;
        if too_long {
            input.skip_until(b'\n')?;
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let text = match String::from_utf8(line) {
            _ if too_long => Err("the line is longer than 64 KiB: shorten it"),
            Ok(text) => Ok(text),
            Err(_) => Err("the line is not UTF-8: convert the script"),
        };
        if to.send_blocking(Given { place: format!("line {number}"), text }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// A script under way.
pub(crate) struct Script<'a, D> {
    session: Session<D>,
    news: Receiver<News>,
    /// A signal asked the program to end.
    stop: Receiver<Stop>,
    mode: Mode,
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    exit: Exit,
}

/// Why the script does not go on.
enum End {
    /// A `quit`: the client is leaving.
    Left,
    /// A signal.
    Stopped,
    /// The client ended without being asked.
    Ended,
    /// Standard output or standard error is closed.
    Closed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Closed(error)
    }
}

/// What happened first.
enum First<T> {
    Told(News),
    Done(T),
    Stop,
    Ended,
}

impl<'a, D: Door> Script<'a, D> {
    /// A script that prints to `out` and `err`, and ends early when `stop` says so.
    pub(crate) fn new(
        session: Session<D>,
        stop: Receiver<Stop>,
        mode: Mode,
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
    ) -> Script<'a, D> {
        let news = session.door().news();
        Script { session, news, stop, mode, out, err, exit: Exit::Success }
    }

    /// Runs all commands, then leaves.
    pub(crate) async fn run(mut self, commands: Receiver<Given>) -> Exit {
        let mut end = match self.commands(commands).await {
            Err(end) => end,
            Ok(()) => self.leave().await,
        };
        if let End::Left = end {
            end = self.farewell().await;
        }
        match end {
            End::Left => {}
            End::Ended => {
                self.exit = Exit::Broken;
                // If this cannot be printed either, the exit code still says it.
                let _closed = writeln!(self.err, "error: the client ended by itself: see its log");
            }
            End::Stopped => self.leave_after(Exit::Interrupted).await,
            End::Closed(error) => {
                tracing::debug!(%error, "nobody reads what is printed");
                self.leave_after(Exit::Broken).await;
            }
        }
        self.exit
    }

    /// Leaves although something went wrong. Whatever more goes wrong (a second signal, a closed stream) only ends it sooner.
    async fn leave_after(&mut self, exit: Exit) {
        if let End::Left = self.leave().await {
            self.farewell().await;
        }
        self.exit = exit;
    }

    /// Leaves at once, and cleanly.
    async fn leave(&mut self) -> End {
        let session = self.session.clone();
        let reported = match self.meanwhile(session.leave()).await {
            Ok(outcome) => self.report(outcome, "at the end"),
            Err(end) => Err(end),
        };
        reported.err().unwrap_or(End::Left)
    }

    /// Waits until the client that was told to leave has ended, and prints the news of it.
    async fn farewell(&mut self) -> End {
        match self.meanwhile(future::pending::<std::convert::Infallible>()).await {
            Err(End::Ended) => {}
            Err(end) => return end,
            Ok(never) => match never {},
        }
        while let Ok(news) = self.news.try_recv() {
            if let Err(error) = self.tell(&news) {
                return End::Closed(error);
            }
        }
        End::Left
    }

    async fn commands(&mut self, commands: Receiver<Given>) -> Result<(), End> {
        while let Ok(given) = self.meanwhile(commands.recv()).await? {
            match given.text {
                Ok(text) => self.line(&text, &given.place).await?,
                Err(why) => self.fail(&given.place, why, Exit::Usage)?,
            }
        }
        Ok(())
    }

    async fn line(&mut self, text: &str, place: &str) -> Result<(), End> {
        match grammar::parse(text, &self.mode) {
            Ok(Line::Nothing) => Ok(()),
            Ok(Line::Help(spec)) => Ok(self.print(&spec.map_or_else(help::overview, help::about), "")?),
            Ok(Line::Ask(ask)) => self.ask(ask, place).await,
            Err(trouble) => {
                let exit = if trouble.is_usage() { Exit::Usage } else { Exit::Refused };
                self.fail(place, &trouble.to_string(), exit)
            }
        }
    }

    async fn ask(&mut self, mut ask: Ask, place: &str) -> Result<(), End> {
        if self.mode.can_ask {
            let asked = smol::unblock(move || password::complete(&mut ask.what).map(|()| ask));
            match self.meanwhile(asked).await? {
                Ok(complete) => ask = complete,
                Err(why) => return self.fail(place, &why, Exit::Refused),
            }
        }
        let session = self.session.clone();
        let outcome = self.meanwhile(session.ask(ask)).await?;
        self.report(outcome, place)
    }

    fn report(&mut self, outcome: Outcome, place: &str) -> Result<(), End> {
        self.print(&outcome.said.data, &outcome.said.message)?;
        if let Some(refused) = outcome.refused {
            self.fail(place, &refused, Exit::Refused)?;
        }
        if outcome.left { Err(End::Left) } else { Ok(()) }
    }

    /// Waits for `what`, and prints the news that come before it.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>) -> Result<T, End> {
        let mut what = std::pin::pin!(what);
        let door = self.session.door().clone();
        loop {
            let (news, stop) = (self.news.clone(), self.stop.clone());
            let told = async {
                match news.recv().await {
                    Ok(news) => First::Told(news),
                    Err(_) => future::pending().await,
                }
            };
            let stopped = async {
                match stop.recv().await {
                    Ok(_) => First::Stop,
                    Err(_) => future::pending().await,
                }
            };
            let done = async { First::Done(what.as_mut().await) };
            let ended = async {
                door.ended().await;
                First::Ended
            };
            match future::or(future::or(told, done), future::or(stopped, ended)).await {
                First::Told(news) => self.tell(&news)?,
                First::Done(value) => {
                    // What was told before an answer was given stands here already.
                    while let Ok(news) = self.news.try_recv() {
                        self.tell(&news)?;
                    }
                    return Ok(value);
                }
                First::Stop => return Err(End::Stopped),
                First::Ended => return Err(End::Ended),
            }
        }
    }

    fn tell(&mut self, news: &News) -> io::Result<()> {
        let text = self.session.tell(news, Detail::Plain);
        self.print("", &text)
    }

    fn fail(&mut self, place: &str, why: &str, exit: Exit) -> Result<(), End> {
        if exit as u8 > self.exit as u8 {
            self.exit = exit;
        }
        self.print("", &format!("error: {place}: {why}\n"))?;
        Ok(())
    }

    fn print(&mut self, data: &str, message: &str) -> io::Result<()> {
        self.err.write_all(printable(message).as_bytes())?;
        self.out.write_all(printable(data).as_bytes())?;
        self.out.flush()?;
        self.err.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::tests::Fake;
    use super::*;
    use engine::name::GroupName;
    use engine::peer::command::{Command, Reply};
    use engine::refusal::Refusal;
    use engine::wire::tracker::Notice;
    use futures_lite::FutureExt as _;

    /// What a script printed, and its exit code.
    #[derive(Debug, PartialEq)]
    struct Ran {
        out: String,
        err: String,
        exit: Exit,
    }

    fn given(script: &str) -> Receiver<Given> {
        let (to, from) = async_channel::bounded(1_000);
        read_lines(script.as_bytes(), &to).unwrap();
        from
    }

    fn run_until(fake: &Fake, commands: Receiver<Given>, stop: Receiver<Stop>) -> Ran {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let session = Session::new(fake.clone());
        let script = Script::new(session, stop, Mode::default(), &mut out, &mut err);
        let exit = smol::block_on(script.run(commands));
        Ran { out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap(), exit }
    }

    fn run(fake: &Fake, script: &str) -> Ran {
        let (_open, stop) = async_channel::bounded(1);
        run_until(fake, given(script), stop)
    }

    fn physics() -> GroupName {
        GroupName::new("physics").unwrap()
    }

    /// A network in which groups can be made, and each one made is told of before it is confirmed.
    fn network() -> Fake {
        Fake::new(|fake, command| match command {
            Command::CreateGroup { group } if group.as_str() == "taken" => {
                Err(Refusal::GroupExists(group.clone()))
            }
            Command::CreateGroup { group } => {
                let notice = Notice::MadeAdmin { group: group.clone() };
                fake.tell.try_send(News::Notice(notice)).unwrap();
                Ok(Reply::Done)
            }
            Command::ListGroups => Ok(Reply::Groups(Vec::new())),
            Command::ShowDownloads => Err(Refusal::LogInFirst),
            _ => Ok(Reply::Done),
        })
    }

    #[test]
    fn a_session_has_one_transcript_however_often_it_runs() {
        let script = "# a comment\r\n\ncreate_group physics\r\ncreate_group taken\nlist_groups --json\nwhat\nquit\nlist_groups";
        let first = run(&network(), script);
        assert_eq!(first.out, "[]\n");
        assert_eq!(
            first.err,
            "note: you are an admin of physics now\n\
             group physics created\n\
             error: line 4: group taken exists: choose another name, or join_group taken\n\
             error: line 6: there is no command what: see help\n"
        );
        assert_eq!(first.exit, Exit::Usage);
        for _ in 0..20 {
            assert_eq!(run(&network(), script), first);
        }
    }

    #[test]
    fn the_exit_code_says_what_was_worst() {
        assert_eq!(run(&network(), "create_group physics").exit, Exit::Success);
        assert_eq!(run(&network(), "create_group taken\nlist_groups").exit, Exit::Refused);
        assert_eq!(run(&network(), "create_group a/b").exit, Exit::Refused);
        assert_eq!(run(&network(), "create_group\ncreate_group taken").exit, Exit::Usage);
        assert_eq!(run(&network(), "login ann").exit, Exit::Usage);
    }

    #[test]
    fn the_end_of_the_input_leaves_cleanly() {
        let fake = network();
        assert_eq!(run(&fake, "list_groups").exit, Exit::Success);
        let asked = fake.asked.lock().unwrap();
        assert!(matches!(asked.last(), Some(Command::Quit { .. })));
    }

    #[test]
    fn nothing_is_read_after_quit() {
        let fake = network();
        run(&fake, "quit\ncreate_group physics");
        assert!(!fake.asked.lock().unwrap().contains(&Command::CreateGroup { group: physics() }));
    }

    #[test]
    fn a_signal_ends_a_script_that_waits_and_the_client_is_told() {
        let fake = network();
        let (_never, nothing) = async_channel::bounded(1);
        let (to, stop) = async_channel::bounded(1);
        to.try_send(Stop::Interrupt).unwrap();
        assert_eq!(run_until(&fake, nothing, stop).exit, Exit::Interrupted);
        assert!(matches!(fake.asked.lock().unwrap().last(), Some(Command::Quit { .. })));
    }

    #[test]
    fn a_client_that_ends_by_itself_is_a_failure() {
        let fake = Fake::new(|fake, _| {
            fake.die();
            Err(Refusal::SessionEnded)
        });
        let (to, commands) = async_channel::bounded(1);
        to.try_send(Given { place: "line 1".into(), text: Ok("list_groups".into()) }).unwrap();
        let (_open, stop) = async_channel::bounded(1);
        let ran = run_until(&fake, commands, stop);
        assert_eq!(ran.exit, Exit::Broken);
        assert!(ran.err.ends_with("error: the client ended by itself: see its log\n"), "{}", ran.err);
    }

    #[test]
    fn a_closed_output_ends_the_script() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let fake = network();
        let (_open, stop) = async_channel::bounded(1);
        let mut err = Vec::new();
        let (mut out, session) = (Closed, Session::new(fake.clone()));
        let script = Script::new(session, stop, Mode::default(), &mut out, &mut err);
        assert_eq!(
            smol::block_on(script.run(given("list_groups --json\ncreate_group physics"))),
            Exit::Broken
        );
        let asked = fake.asked.lock().unwrap();
        assert!(!asked.contains(&Command::CreateGroup { group: physics() }));
        assert!(matches!(asked.last(), Some(Command::Quit { .. })));
    }

    #[test]
    fn lines_that_are_no_commands_are_wrong_usage_and_the_next_line_counts_on() {
        let mut script = b"create_group \xff\n".to_vec();
        script.extend(std::iter::repeat_n(b'x', 100_000));
        script.extend(b"\nlist_groups");
        let (to, from) = async_channel::bounded(10);
        read_lines(&script[..], &to).unwrap();
        drop(to);
        let lines: Vec<Given> = std::iter::from_fn(|| from.try_recv().ok()).collect();
        assert!(lines[0].text.is_err() && lines[1].text.is_err());
        assert_eq!(lines[2], Given { place: "line 3".into(), text: Ok("list_groups".into()) });
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn news_are_printed_while_a_script_waits_for_its_next_line() {
        let fake = network();
        let (to, commands) = async_channel::bounded(1);
        fake.tell.try_send(News::TrackerLost).unwrap();
        let (_open, stop) = async_channel::bounded(1);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let script = Script::new(Session::new(fake.clone()), stop, Mode::default(), &mut out, &mut err);
        let feed = async {
            // The news are taken before there is any line.
            while !fake.tell.is_empty() {
                futures_lite::future::yield_now().await;
            }
            drop(to);
            futures_lite::future::pending().await
        };
        assert_eq!(smol::block_on(script.run(commands).or(feed)), Exit::Success);
        assert!(String::from_utf8(err).unwrap().starts_with("note: the tracker is gone"));
    }
}
