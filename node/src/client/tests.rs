//! Whole clients in one process, with a tracker, over loopback.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use engine::name::{FileName, GroupName, Place, UserName};
use engine::peer::command::Leaving;
use engine::piece::PIECE_LEN;

use super::*;
use crate::tracker::embedded::Embedded;

fn options(folder: &Path, trackers: &[SocketAddr]) -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        trackers: trackers.iter().copied().map(Tracker::from).collect(),
        data_dir: folder.join("state"),
        strategy: Strategy::default(),
        upload_limit: None,
        download_limit: None,
        record: None,
    }
}

async fn quit(client: &Client) {
    assert_eq!(client.run(Command::Quit { when: Leaving::Now }).await, Ok(Reply::Done));
    client.ended().await;
}

async fn log_in(client: &Client, user: &str) -> Reply {
    let (user, password) = (UserName::new(user).unwrap(), client.keep_password("secret".into()));
    client.run(Command::Login { user, password }).await.unwrap()
}

async fn member(folder: &Path, tracker: SocketAddr, user: &str) -> Client {
    let client = Client::start(options(folder, &[tracker])).await.unwrap();
    let (name, password) = (UserName::new(user).unwrap(), client.keep_password("secret".into()));
    client.run(Command::CreateUser { user: name, password }).await.unwrap();
    log_in(&client, user).await;
    client
}

fn place(path: &Path) -> Place {
    Place(path.as_os_str().as_bytes().into())
}

#[test]
fn a_client_that_ended_leaves_its_folder_and_port_free() {
    smol::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::start(options(folder.path(), &[])).await.unwrap();
        assert_eq!(client.run(Command::ListGroups).await, Err(Refusal::LogInFirst));
        let in_use = Client::start(options(folder.path(), &[])).await.unwrap_err().to_string();
        assert!(in_use.contains("--data-dir"), "{in_use}");
        let taken = tempfile::tempdir().unwrap();
        let same_port = Options { listen: client.listen(), ..options(taken.path(), &[]) };
        let taken = Client::start(same_port.clone()).await.unwrap_err().to_string();
        assert!(taken.contains("port 0"), "{taken}");
        quit(&client).await;
        assert_eq!(client.run(Command::ListGroups).await, Err(Refusal::SessionEnded));
        let again = Options { listen: client.listen(), ..options(folder.path(), &[]) };
        quit(&Client::start(again).await.unwrap()).await;
    });
}

#[test]
fn a_password_is_forgotten_with_its_command() {
    smol::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::start(options(folder.path(), &[])).await.unwrap();
        let password = client.keep_password("secret".into());
        let user = UserName::new("ann").unwrap();
        let login = client.run(Command::Login { user, password });
        assert!(futures_lite::future::poll_once(login).await.is_none(), "no tracker answers yet");
        assert_eq!(client.passwords.take(password), None);
        quit(&client).await;
    });
}

#[test]
fn a_file_goes_from_client_to_client_and_is_shared_again_after_a_restart() {
    smol::block_on(async {
        let (state, one, two) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tracker = Embedded::start(state.path()).unwrap();
        let bytes: Vec<u8> = (0..5 * PIECE_LEN + 77).map(|at| u8::try_from(at % 251).unwrap()).collect();
        std::fs::write(one.path().join("file"), &bytes).unwrap();

        let ann = member(one.path(), tracker.address(), "ann").await;
        let (group, name) = (GroupName::new("g").unwrap(), FileName::new("file").unwrap());
        ann.run(Command::CreateGroup { group: group.clone() }).await.unwrap();
        let source = place(&one.path().join("file"));
        ann.run(Command::UploadFile { group: group.clone(), name: name.clone(), place: source })
            .await
            .unwrap();

        let bob = member(two.path(), tracker.address(), "bob").await;
        bob.run(Command::JoinGroup { group: group.clone() }).await.unwrap();
        let user = UserName::new("bob").unwrap();
        ann.run(Command::AcceptRequest { group: group.clone(), user }).await.unwrap();
        let place = place(&two.path().join("copy"));
        let download = Command::DownloadFile { group: group.clone(), name: name.clone(), place, named: true };
        bob.run(download).await.unwrap();
        bob.run(Command::Wait { file: Some((group, name)) }).await.unwrap();
        assert_eq!(std::fs::read(two.path().join("copy")).unwrap(), bytes);
        assert!(!two.path().join("copy.part").exists() && !two.path().join("copy.part.journal").exists());

        quit(&ann).await;
        quit(&bob).await;
        for (folder, user) in [(&one, "ann"), (&two, "bob")] {
            let client = Client::start(options(folder.path(), &[tracker.address()])).await.unwrap();
            assert_eq!(log_in(&client, user).await, Reply::LoggedIn { shares: 1, partial: 0 });
            quit(&client).await;
        }
        tracker.quit().unwrap();
    });
}
