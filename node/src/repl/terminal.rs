//! A person at a terminal: a prompt that stays free, news above it, progress below.
//!
//! The editor reads on a thread of its own, and another prints the news, because both block; commands and their answers cross over
//! channels of one place. The editor never waits for the news, so neither can keep the other from going on.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender, bounded};
use engine::name::GroupName;
use engine::peer::command::{Command, Leaving, News};
use futures_lite::future;
use smol::Timer;

use super::editor::{Next, Typed, Typist};
use super::grammar::{Ask, What};
use super::news::{self, Detail};
use super::progress::{self, Show};
use super::screen::{Above, Screen};
use super::session::{Door, Outcome, Session};
use super::signals::Stop;
use crate::exit::Exit;

/// Listings that wait to be fetched for completion; more are not needed at once.
const REFRESH_MAX: usize = 32;

/// A terminal under way.
struct Terminal<D> {
    session: Session<D>,
    screen: Screen,
    typed: Receiver<Typed>,
    next: Sender<Next>,
    stop: Receiver<Stop>,
    refresh: Sender<Command>,
}

/// What came of a wait.
enum Waited<T> {
    Done(T),
    Stopped(Stop),
    Ended,
}

/// Serves the person until they leave.
///
/// # Errors
/// If no thread can be started.
pub(crate) async fn run<D: Door>(
    session: Session<D>,
    history: PathBuf,
    stop: Receiver<Stop>,
    colours: bool,
) -> io::Result<Exit> {
    let screen = Screen::new(colours);
    let (typed_to, typed) = bounded(1);
    let (next, next_from) = bounded(1);
    let (above_to, above) = bounded(1);
    let (refresh, refresh_from) = bounded(REFRESH_MAX);
    let typist = Typist {
        names: session.names().clone(),
        screen: screen.clone(),
        history,
        typed: typed_to,
        next: next_from,
    };
    thread::Builder::new().name("editor".into()).spawn(move || typist.run(&above_to))?;
    let told = bounded(1);
    if let Ok(above) = above.recv().await {
        let (session, screen, refresh) = (session.clone(), screen.clone(), refresh.clone());
        let done = told.0;
        thread::Builder::new().name("news".into()).spawn(move || {
            tell(&session, &screen, &refresh, above);
            drop(done);
        })?;
    }
    smol::spawn(learn(session.clone(), refresh_from)).detach();
    let exit = Terminal { session, screen, typed, next, stop, refresh }.serve().await;
    // The last news are worth a moment; they may be stuck behind an editor that has ended.
    let moment = async {
        Timer::after(Duration::from_millis(200)).await;
        Err(async_channel::RecvError)
    };
    let _closed: Result<(), _> = future::or(told.1.recv(), moment).await;
    Ok(exit)
}

/// Prints news until the client has ended. Blocks.
fn tell<D: Door>(session: &Session<D>, screen: &Screen, refresh: &Sender<Command>, mut above: Above) {
    let news_from = session.door().news();
    while let Ok(it) = news_from.recv_blocking() {
        let text = session.tell(&it, Detail::Full);
        if let News::Replicating { files, leechers } = it
            && screen.status(&news::replicating(files, leechers))
        {
            continue;
        }
        screen.tell(&text, &mut above);
        if let News::Notice(_) = it {
            want(refresh, Command::ListGroups);
        }
    }
}

/// Fetches listings for completion, one after another.
async fn learn<D: Door>(session: Session<D>, wanted: Receiver<Command>) {
    while let Ok(command) = wanted.recv().await {
        session.learn(command.clone()).await;
        if command == Command::ListGroups {
            for group in session.names().own_groups().iter().filter_map(|name| GroupName::new(name).ok()) {
                session.learn(Command::ListFiles { group: group.clone() }).await;
                session.learn(Command::ListMembers { group }).await;
            }
        }
    }
}

/// Asks for a listing for completion; if many are asked for already, this one may be left out.
fn want(refresh: &Sender<Command>, command: Command) {
    if let Err(full) = refresh.try_send(command) {
        tracing::debug!(%full, "completion is not refreshed");
    }
}

/// The listing whose names `command` changes.
fn changed(what: &What) -> Option<Command> {
    match what {
        What::Login(..) => Some(Command::ListGroups),
        What::CreateUser(..) | What::Limit(_) => None,
        What::Plain(command) => match command {
            Command::CreateGroup { .. } | Command::LeaveGroup { .. } => Some(Command::ListGroups),
            Command::UploadFile { group, .. } | Command::RemoveFile { group, .. } => {
                Some(Command::ListFiles { group: group.clone() })
            }
            Command::AcceptRequest { group, .. } | Command::RemoveMember { group, .. } => {
                Some(Command::ListMembers { group: group.clone() })
            }
            _ => None,
        },
    }
}

/// What is said when Ctrl-C ended the wait for an answer.
fn interrupted(what: &What) -> &'static str {
    match what {
        What::Plain(Command::Wait { .. }) => "no longer waiting; downloads go on\n",
        What::Plain(
            Command::Quit { when: Leaving::WhenReplicated(_) }
            | Command::Logout { when: Leaving::WhenReplicated(_) },
        ) => "not leaving\n",
        _ => "interrupted: the answer is not waited for\n",
    }
}

impl<D: Door> Terminal<D> {
    async fn serve(self) -> Exit {
        loop {
            match self.wait(self.typed.recv()).await {
                Waited::Done(Ok(Typed::Ask(ask))) => {
                    if let Some(exit) = self.ask(ask).await {
                        return exit;
                    }
                }
                Waited::Done(Ok(Typed::Leave) | Err(_)) => return self.leave().await,
                // Ctrl-C at the question for a password, which says so itself.
                Waited::Stopped(Stop::Interrupt) => {}
                Waited::Stopped(Stop::Terminate) => {
                    self.end_editor().await;
                    return self.leave().await;
                }
                Waited::Ended => return self.ended().await,
            }
        }
    }

    /// Answers a command; gives the exit code if the program ends with it.
    async fn ask(&self, ask: Ask) -> Option<Exit> {
        let (show, changes, dropped) = (Show::of(&ask.what), changed(&ask.what), interrupted(&ask.what));
        let answer = progress::during(show, self.session.door(), &self.screen, self.session.ask(ask));
        match self.wait(answer).await {
            Waited::Done(outcome) => {
                if let (None, Some(command)) = (&outcome.refused, changes) {
                    want(&self.refresh, command);
                }
                self.show(&outcome);
                if outcome.left {
                    return Some(self.farewell().await);
                }
            }
            Waited::Stopped(Stop::Interrupt) => self.screen.show(dropped),
            Waited::Stopped(Stop::Terminate) => return Some(self.leave().await),
            Waited::Ended => return Some(self.ended().await),
        }
        match self.next.send(Next::Read).await {
            Ok(()) => None,
            Err(_) => Some(self.leave().await),
        }
    }

    fn show(&self, outcome: &Outcome) {
        self.screen.show(&outcome.said.message);
        self.screen.show(&outcome.said.data);
        if let Some(why) = &outcome.refused {
            self.screen.show(&format!("error: {why}\n"));
        }
    }

    /// Leaves at once, and cleanly.
    async fn leave(&self) -> Exit {
        match self.wait(self.session.leave()).await {
            Waited::Done(outcome) => {
                self.show(&outcome);
                if outcome.left { self.farewell().await } else { Exit::Refused }
            }
            Waited::Stopped(_) => Exit::Interrupted,
            Waited::Ended => Exit::Success,
        }
    }

    /// Waits until the client, which was told to, has ended. A signal ends the wait.
    async fn farewell(&self) -> Exit {
        match self.wait(future::pending::<()>()).await {
            Waited::Stopped(_) => Exit::Interrupted,
            Waited::Done(()) | Waited::Ended => Exit::Success,
        }
    }

    /// The client ended without being asked.
    async fn ended(&self) -> Exit {
        self.end_editor().await;
        self.screen.show("error: the client ended by itself: see its log\n");
        Exit::Broken
    }

    async fn wait<T>(&self, what: impl Future<Output = T>) -> Waited<T> {
        let done = async { Waited::Done(what.await) };
        let stopped = async {
            match self.stop.recv().await {
                Ok(stop) => Waited::Stopped(stop),
                Err(_) => future::pending().await,
            }
        };
        let ended = async {
            self.session.door().ended().await;
            Waited::Ended
        };
        future::or(done, future::or(stopped, ended)).await
    }

    /// Makes the editor end, so that it puts the terminal back into its ordinary mode. While it reads it takes SIGINT for the end of
    /// input; a signal that comes just before that is lost, so more are sent. At a question for a password it cannot be ended.
    async fn end_editor(&self) {
        const TRIES: u32 = 20;
        self.next.close();
        for _ in 0..TRIES {
            if let Err(error) =
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)
            {
                tracing::warn!(%error, "the terminal may be left in the wrong mode");
                return;
            }
            let ended = async { self.typed.recv().await.is_ok_and(|typed| matches!(typed, Typed::Leave)) };
            let later = async {
                Timer::after(Duration::from_millis(50)).await;
                false
            };
            if future::or(ended, later).await {
                return;
            }
        }
    }
}
