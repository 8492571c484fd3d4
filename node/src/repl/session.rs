//! One person at one client: asks, gets answers, remembers what completion needs. Used by terminal and script alike.

use std::future::Future;
use std::path::PathBuf;

use engine::id::Password;
use engine::peer::command::{Command, DownloadState, Leaving, News, Reply};
use engine::refusal::Refusal;

use super::grammar::{Ask, Direction, What};
use super::names::Names;
use super::render::{self, Said};
use super::{explain, json, news};
use crate::client::Client;
use crate::link::throttle::Throttles;
use crate::rate::Rate;

/// The client, as this side sees it; a stand-in takes its place in tests.
pub(crate) trait Door: Clone + Send + Sync + 'static {
    /// Runs a command. Dropping the future forgets the command.
    fn run(&self, command: Command) -> impl Future<Output = Result<Reply, Refusal>> + Send;
    /// Hands over a password.
    fn keep_password(&self, password: String) -> Password;
    /// How fast pieces may come and go.
    fn throttles(&self) -> &Throttles;
    /// The file that is being read to share it: path, bytes read, bytes in all.
    fn survey(&self) -> Option<(PathBuf, u64, u64)>;
    /// What the person is to be told; closed when the client has ended.
    fn news(&self) -> async_channel::Receiver<News>;
    /// Resolves when the client has ended.
    fn ended(&self) -> impl Future<Output = ()> + Send;
}

impl Door for Client {
    fn run(&self, command: Command) -> impl Future<Output = Result<Reply, Refusal>> + Send {
        Client::run(self, command)
    }

    fn keep_password(&self, password: String) -> Password {
        Client::keep_password(self, password)
    }

    fn throttles(&self) -> &Throttles {
        Client::throttles(self)
    }

    fn survey(&self) -> Option<(PathBuf, u64, u64)> {
        Client::survey(self)
    }

    fn news(&self) -> async_channel::Receiver<News> {
        Client::news(self)
    }

    fn ended(&self) -> impl Future<Output = ()> + Send {
        Client::ended(self)
    }
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What to print.
    pub(crate) said: Said,
    /// Why not, if it was refused; to be printed as an error.
    pub(crate) refused: Option<String>,
    /// Whether the client ends now.
    pub(crate) left: bool,
}

impl Outcome {
    /// Nothing came of it.
    fn refused(why: String) -> Outcome {
        Outcome { said: Said::default(), refused: Some(why), left: false }
    }
}

/// A person's session with the client.
#[derive(Clone)]
pub(crate) struct Session<D> {
    door: D,
    names: Names,
}

impl<D: Door> Session<D> {
    /// A session that nothing was asked in.
    pub(crate) fn new(door: D) -> Session<D> {
        Session { door, names: Names::default() }
    }

    /// The client.
    pub(crate) fn door(&self) -> &D {
        &self.door
    }

    /// The names seen so far.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Leaves at once.
    pub(crate) async fn leave(&self) -> Outcome {
        let what = What::Plain(Command::Quit { when: Leaving::Now });
        self.ask(Ask { what, json: false }).await
    }

    /// Asks the client. Dropping the future forgets the command.
    pub(crate) async fn ask(&self, ask: Ask) -> Outcome {
        if let What::Limit(change) = ask.what {
            return Outcome { said: self.limit(change), refused: None, left: false };
        }
        let Some(command) = self.command(ask.what) else {
            return Outcome::refused("a password is needed".to_owned());
        };
        let before = match command {
            Command::Quit { when: Leaving::Now } => self.running_downloads().await,
            _ => String::new(),
        };
        let answer = self.door.run(command.clone()).await;
        if let Ok(reply) = &answer {
            self.names.learn(&command, reply);
        }
        match answer {
            Err(refusal) => Outcome::refused(refusal.to_string()),
            Ok(reply) => {
                let document = if ask.json { json::document(&reply) } else { None };
                let mut said = match (document, &reply) {
                    (Some(document), _) => Said::data(document),
                    (None, Reply::Explanation(it)) => {
                        Said::data(explain::text(it, self.door.throttles().down.rate()))
                    }
                    (None, reply) => render::reply(&command, reply),
                };
                said.message.insert_str(0, &before);
                Outcome { said, refused: None, left: matches!(command, Command::Quit { .. }) }
            }
        }
    }

    /// Asks a listing for the sake of the names in it.
    pub(crate) async fn learn(&self, command: Command) {
        match self.door.run(command.clone()).await {
            Ok(reply) => self.names.learn(&command, &reply),
            // Nobody asked for it, so nobody is told; completion knows a little less.
            Err(refusal) => tracing::debug!(?command, %refusal, "no names for completion"),
        }
    }

    /// News as text; what it changes is remembered.
    pub(crate) fn tell(&self, it: &News, detail: news::Detail) -> String {
        self.names.hear(it);
        news::news(it, detail)
    }

    /// Changes how fast pieces may come and go, or shows it.
    fn limit(&self, change: Option<(Direction, Option<Rate>)>) -> Said {
        let Throttles { up, down } = self.door.throttles();
        match change {
            None => Said::data(format!(
                "upload: {}\ndownload: {}\n",
                render::limit(up.rate()),
                render::limit(down.rate())
            )),
            Some((Direction::Upload, rate)) => {
                up.set(rate);
                Said::message(format!("upload: {}", render::limit(rate)))
            }
            Some((Direction::Download, rate)) => {
                down.set(rate);
                Said::message(format!("download: {}", render::limit(rate)))
            }
        }
    }

    /// The command, its password handed over; none if the password is still missing or it is none for the client.
    fn command(&self, what: What) -> Option<Command> {
        Some(match what {
            What::Plain(command) => command,
            What::Limit(_) => return None,
            What::CreateUser(user, secret) => {
                Command::CreateUser { user, password: self.door.keep_password(secret?.0) }
            }
            What::Login(user, secret) => {
                Command::Login { user, password: self.door.keep_password(secret?.0) }
            }
        })
    }

    /// A note for each download that leaving now stops.
    async fn running_downloads(&self) -> String {
        let Ok(Reply::Downloads(rows)) = self.door.run(Command::ShowDownloads).await else {
            return String::new();
        };
        rows.iter()
            .filter(|row| matches!(row.state, DownloadState::Running | DownloadState::Paused))
            .map(|row| {
                format!(
                    "note: download of [{}] {} was still running; use wait to wait for it, download_file to resume\n",
                    row.group, row.name
                )
            })
            .collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::grammar::{Line, Mode, parse};
    use super::super::render::tests::row;
    use super::*;
    use std::sync::{Arc, Mutex};

    type Answers = dyn Fn(&Fake, &Command) -> Result<Reply, Refusal> + Send + Sync;

    /// A client that answers as a test says, and ends after a `quit`.
    #[derive(Clone)]
    pub(in crate::repl) struct Fake {
        answers: Arc<Answers>,
        pub(in crate::repl) asked: Arc<Mutex<Vec<Command>>>,
        pub(in crate::repl) tell: async_channel::Sender<News>,
        told: async_channel::Receiver<News>,
        alive: (async_channel::Sender<()>, async_channel::Receiver<()>),
        throttles: Arc<Throttles>,
    }

    impl Fake {
        pub(in crate::repl) fn new(
            answers: impl Fn(&Fake, &Command) -> Result<Reply, Refusal> + Send + Sync + 'static,
        ) -> Fake {
            let (tell, told) = async_channel::bounded(8);
            Fake {
                answers: Arc::new(answers),
                asked: Arc::default(),
                tell,
                told,
                alive: async_channel::bounded(1),
                throttles: Arc::default(),
            }
        }

        /// Ends without being asked.
        pub(in crate::repl) fn die(&self) {
            self.alive.0.close();
        }
    }

    impl Door for Fake {
        async fn run(&self, command: Command) -> Result<Reply, Refusal> {
            self.asked.lock().unwrap().push(command.clone());
            let answer = (self.answers)(self, &command);
            if matches!(command, Command::Quit { .. }) && answer.is_ok() {
                self.die();
            }
            answer
        }

        fn keep_password(&self, password: String) -> Password {
            Password(u32::try_from(password.len()).unwrap())
        }

        fn throttles(&self) -> &Throttles {
            &self.throttles
        }

        fn survey(&self) -> Option<(PathBuf, u64, u64)> {
            None
        }

        fn news(&self) -> async_channel::Receiver<News> {
            self.told.clone()
        }

        async fn ended(&self) {
            let closed = self.alive.1.recv().await;
            assert!(closed.is_err(), "nothing is ever sent");
        }
    }

    fn ask(line: &str) -> Ask {
        match parse(line, &Mode { can_ask: true, home: None }) {
            Ok(Line::Ask(ask)) => ask,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_is_told_in_its_own_words() {
        let session = Session::new(Fake::new(|_, _| Err(Refusal::LogInFirst)));
        let outcome = smol::block_on(session.ask(ask("list_groups")));
        assert_eq!(outcome.refused.as_deref(), Some("log in first: login <user_id> <passwd>"));
        assert_eq!(outcome.said, Said::default());
    }

    #[test]
    fn the_client_gets_a_token_for_the_password_and_never_a_missing_one() {
        let fake = Fake::new(|_, _| Ok(Reply::Done));
        let session = Session::new(fake.clone());
        smol::block_on(session.ask(ask("create_user ann secret")));
        let missing = smol::block_on(session.ask(ask("create_user ann")));
        assert!(missing.refused.is_some());
        let asked = fake.asked.lock().unwrap();
        assert!(matches!(asked[..], [Command::CreateUser { password: Password(6), .. }]), "{asked:?}");
    }

    #[test]
    fn leaving_names_the_downloads_that_it_stops() {
        let session = Session::new(Fake::new(|_, command| match command {
            Command::ShowDownloads => {
                Ok(Reply::Downloads(vec![row(DownloadState::Running), row(DownloadState::Complete)]))
            }
            _ => Ok(Reply::Done),
        }));
        let outcome = smol::block_on(session.leave());
        assert!(outcome.left);
        assert_eq!(outcome.said.message.lines().count(), 1);
        assert!(outcome.said.message.starts_with("note: download of [physics] a b.txt was still running"));
    }

    #[test]
    fn limits_are_shown_and_changed() {
        let session = Session::new(Fake::new(|_, _| Ok(Reply::Done)));
        let said = |line| smol::block_on(session.ask(ask(line))).said;
        assert_eq!(said("limit"), Said::data("upload: no limit\ndownload: no limit\n".to_owned()));
        assert_eq!(said("limit Upload 2MiB/s"), Said::message("upload: 2.0 MiB/s"));
        assert_eq!(said("limit down 500KB/s"), Said::message("download: 488.3 KiB/s"));
        assert_eq!(said("limit"), Said::data("upload: 2.0 MiB/s\ndownload: 488.3 KiB/s\n".to_owned()));
        assert_eq!(said("limit upload off"), Said::message("upload: no limit"));
        assert!(session.door().asked.lock().unwrap().is_empty(), "the engine is not asked");
    }

    #[test]
    fn json_takes_the_place_of_the_table() {
        let session = Session::new(Fake::new(|_, _| Ok(Reply::Groups(Vec::new()))));
        let outcome = smol::block_on(session.ask(ask("list_groups --json")));
        assert_eq!(outcome.said, Said::data("[]\n".to_owned()));
    }
}
