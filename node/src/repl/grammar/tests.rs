use super::*;

use rand::{RngExt as _, SeedableRng as _};

fn script() -> Mode {
    Mode::default()
}

fn terminal() -> Mode {
    Mode { can_ask: true, home: Some("/home/ann".into()) }
}

fn parsed(line: &str) -> Result<Line, Trouble> {
    parse(line, &script())
}

fn command(line: &str) -> Command {
    match parsed(line) {
        Ok(Line::Ask(Ask { what: What::Plain(command), .. })) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn usage_of(line: &str) -> &'static str {
    match parsed(line) {
        Err(Trouble::Usage(spec)) => spec.name,
        other => panic!("{line}: {other:?}"),
    }
}

fn n<T: FromStr<Err = BadName>>(text: &str) -> T {
    text.parse().unwrap()
}

fn at(path: impl AsRef<Path>) -> Place {
    place(path.as_ref())
}

#[test]
fn every_command_is_understood() {
    let (group, user, name) = (|| n("phy sics"), || n("bob"), || n("a.txt"));
    let now = Leaving::Now;
    for (line, expected) in [
        ("logout", Command::Logout { when: now }),
        ("quit", Command::Quit { when: now }),
        ("exit", Command::Quit { when: now }),
        ("whoami", Command::WhoAmI),
        ("list_groups", Command::ListGroups),
        ("show_shares", Command::ShowShares),
        ("show_downloads", Command::ShowDownloads),
        ("create_group 'phy sics'", Command::CreateGroup { group: group() }),
        ("join_group phy\\ sics", Command::JoinGroup { group: group() }),
        ("leave_group \"phy sics\"", Command::LeaveGroup { group: group() }),
        ("list_requests 'phy sics'", Command::ListRequests { group: group() }),
        ("requests 'phy sics'", Command::ListRequests { group: group() }),
        ("requests list_requests 'phy sics'", Command::ListRequests { group: group() }),
        ("requests list_requests", Command::ListRequests { group: n("list_requests") }),
        ("list_members 'phy sics'", Command::ListMembers { group: group() }),
        ("list_files 'phy sics'", Command::ListFiles { group: group() }),
        ("list_file 'phy sics'", Command::ListFiles { group: group() }),
        ("accept_request 'phy sics' bob", Command::AcceptRequest { group: group(), user: user() }),
        ("reject_request 'phy sics' bob", Command::RejectRequest { group: group(), user: user() }),
        ("make_admin 'phy sics' bob", Command::MakeAdmin { group: group(), user: user() }),
        ("remove_member 'phy sics' bob", Command::RemoveMember { group: group(), user: user() }),
        ("stop_download 'phy sics' a.txt", Command::StopDownload { group: group(), name: name() }),
        ("stop_share 'phy sics' a.txt", Command::StopShare { group: group(), name: name() }),
        ("remove_file 'phy sics' a.txt", Command::RemoveFile { group: group(), name: name() }),
        ("file_info 'phy sics' a.txt", Command::FileInfo { group: group(), name: name() }),
        ("wait", Command::Wait { file: None }),
        ("wait 'phy sics' a.txt", Command::Wait { file: Some((group(), name())) }),
    ] {
        assert_eq!(command(line), expected, "{line}");
        assert_eq!(
            command(&line.replacen(|c: char| c.is_lowercase(), &line[..1].to_uppercase(), 1)),
            expected
        );
    }
}

#[test]
fn a_lone_q_is_dropped_where_it_is_surplus() {
    for (line, same) in [
        ("list_groups q", "list_groups"),
        ("create_group g q", "create_group g"),
        ("create_group q q", "create_group q"),
        ("requests list_requests g q", "list_requests g"),
        ("accept_request g u q", "accept_request g u"),
        ("upload_file /nowhere/f g q", "upload_file /nowhere/f g"),
        ("upload_file /nowhere/f q", "upload_file /nowhere/f q"),
        ("upload_file /nowhere/f g 7 q", "upload_file /nowhere/f g"),
        ("download_file g f q", "download_file g f"),
        ("download_file g f /tmp/x q", "download_file g f /tmp/x"),
        ("quit q", "quit"),
        ("logout --when-replicated 2 q", "logout --when-replicated 2"),
        ("wait q", "wait"),
        ("wait g q", "wait g q"),
        ("wait g f q", "wait g f"),
    ] {
        assert_eq!(command(line), command(same), "{line}");
    }
    assert_eq!(parsed("help q"), Ok(Line::Help(None)));
    assert_eq!(parsed("login ann pw q"), parsed("login ann pw"));
    assert_eq!(command("create_group q"), Command::CreateGroup { group: n("q") });
    assert_eq!(usage_of("create_group"), "create_group");
    assert_eq!(usage_of("list_groups q q"), "list_groups");
}

#[test]
fn leaving_may_wait_for_copies() {
    let quit = |when| Command::Quit { when };
    assert_eq!(command("quit --when-replicated"), quit(Leaving::WhenReplicated(None)));
    assert_eq!(command("quit --when-replicated 3"), quit(Leaving::WhenReplicated(Some(3))));
    assert_eq!(command("quit --when-replicated=3"), quit(Leaving::WhenReplicated(Some(3))));
    assert_eq!(command("logout --WHEN-replicated"), Command::Logout { when: Leaving::WhenReplicated(None) });
    for wrong in
        ["quit 3", "quit --when-replicated 0", "quit --when-replicated x", "quit --when-replicated 1 2"]
    {
        assert_eq!(usage_of(wrong), "quit");
    }
    assert!(matches!(parsed("quit --json"), Err(Trouble::NoSuchOption(..))));
}

#[test]
fn listings_take_json_anywhere() {
    for line in ["list_files --json g", "list_files g --json", "list_files --json -- g"] {
        let Ok(Line::Ask(ask)) = parsed(line) else { panic!("{line}") };
        assert!(ask.json);
        assert_eq!(ask.what, What::Plain(Command::ListFiles { group: n("g") }));
    }
    for listing in ["list_groups", "list_members g", "list_requests g", "show_downloads", "show_shares"] {
        assert!(matches!(parsed(&format!("{listing} --json")), Ok(Line::Ask(Ask { json: true, .. }))));
    }
    assert!(matches!(parsed("whoami --json"), Ok(Line::Ask(Ask { json: true, .. }))));
    assert!(matches!(parsed("file_info g f --json"), Ok(Line::Ask(Ask { json: true, .. }))));
    assert!(matches!(parsed("list_groups --json=1"), Err(Trouble::NoSuchOption(..))));
    assert!(matches!(parsed("list_groups --jsno"), Err(Trouble::NoSuchOption(..))));
    assert_eq!(usage_of("create_group g --json"), "create_group");
    assert_eq!(command("list_files -- --json"), Command::ListFiles { group: n("--json") });
}

#[test]
fn passwords_are_hidden_and_asked_for_on_a_terminal_alone() {
    let login = |line, mode: &Mode| match parse(line, mode) {
        Ok(Line::Ask(Ask { what: What::Login(user, password), .. })) => {
            (user.to_string(), password.map(|p| p.0))
        }
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(login("login ann 'p w'", &script()), ("ann".to_owned(), Some("p w".to_owned())));
    assert_eq!(login("login ann --x", &script()), ("ann".to_owned(), Some("--x".to_owned())));
    assert_eq!(login("login ann", &terminal()), ("ann".to_owned(), None));
    assert_eq!(login("login ann q", &terminal()), ("ann".to_owned(), Some("q".to_owned())));
    let trouble = parsed("create_user ann").unwrap_err();
    assert!(trouble.is_usage());
    assert!(trouble.to_string().ends_with("usage: create_user <user_id> <passwd>"), "{trouble}");
    assert_eq!(parsed("create_user ann ''"), Err(Trouble::EmptyPassword));
    assert!(!format!("{:?}", parsed("login ann secret")).contains("secret"));
}

#[test]
fn upload_takes_both_orders() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a b.txt");
    std::fs::write(&file, "x").unwrap();
    let expected = Command::UploadFile { group: n("g"), name: n("a b.txt"), place: at(&file) };
    let quoted = shlex::try_quote(file.to_str().unwrap()).unwrap();
    for line in [
        format!("upload_file {quoted} g"),
        format!("upload_file g {quoted}"),
        format!("upload_file g {quoted} 1"),
        format!("upload_file {quoted} g 1 q"),
    ] {
        assert_eq!(command(&line), expected, "{line}");
    }
    assert_eq!(usage_of(&format!("upload_file g {quoted} big")), "upload_file");
    let folder = folder.path().display();
    assert!(
        matches!(command(&format!("upload_file {folder} g")), Command::UploadFile { group, .. } if group.as_str() == "g")
    );
    assert_eq!(
        command("upload_file /nowhere/f g"),
        Command::UploadFile { group: n("g"), name: n("f"), place: at("/nowhere/f") }
    );
    assert!(matches!(parsed("upload_file / g"), Err(Trouble::NoFileName(_))));
    assert!(matches!(parsed("upload_file '' g"), Err(Trouble::NoFileName(_))));
}

#[test]
fn a_destination_is_a_folder_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let download = |rest: &str| match command(&format!("download_file g f.txt {rest}")) {
        Command::DownloadFile { place, named, .. } => (place, named),
        other => panic!("{other:?}"),
    };
    assert_eq!(download(&path.display().to_string()), (at(path.join("f.txt")), true));
    assert_eq!(download(&path.join("new").display().to_string()), (at(path.join("new")), true));
    assert_eq!(download(&format!("{}/", path.join("new").display())), (at(path.join("new/f.txt")), true));
    assert_eq!(download(""), (at(std::path::absolute("f.txt").unwrap()), false));
    assert_eq!(download("./q"), (at(std::path::absolute("q").unwrap()), true));
}

#[test]
fn the_home_folder_has_its_sign_on_a_terminal() {
    let place_of = |line, mode: &Mode| match parse(line, mode) {
        Ok(Line::Ask(Ask { what: What::Plain(Command::DownloadFile { place, .. }), .. })) => place,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(place_of("download_file g f ~/x", &terminal()), at("/home/ann/x"));
    assert_eq!(place_of("download_file g f ~x", &terminal()), at(std::path::absolute("~x").unwrap()));
    assert_eq!(place_of("download_file g f ~/x", &script()), at(std::path::absolute("~/x").unwrap()));
}

#[test]
fn blank_lines_and_comments_ask_for_nothing() {
    for line in ["", "   ", "\t", "# a comment", "   # another"] {
        assert_eq!(parsed(line), Ok(Line::Nothing), "{line:?}");
    }
    assert_eq!(command("list_groups # all of them"), Command::ListGroups);
}

#[test]
fn mistakes_name_the_cure() {
    let text = |line| parsed(line).unwrap_err().to_string();
    assert_eq!(
        text("craete_group g"),
        "there is no command craete_group: did you mean create_group?\nusage: create_group <group_id>"
    );
    assert_eq!(text("xyzzy\u{1b}[2J"), "there is no command xyzzy\\u{1b}[2J: see help");
    assert_eq!(text("join_group"), "usage: join_group <group_id>");
    assert_eq!(text("list_files"), "usage: list_files <group_id> [--json]");
    assert_eq!(text("join_group ../x"), "../x is not a name: a name has no `/` and no `\\`");
    assert_eq!(text("create_group ''"), "'' is not a name: a name has at least one character");
    assert!(text("create_group 'x").starts_with("a quote"));
    assert_eq!(text("help xyzzy"), "there is no command xyzzy: see help");
    assert!(!parsed("join_group ../x").unwrap_err().is_usage());
}

#[test]
fn names_are_refused_as_the_engine_refuses_them() {
    let long = "x".repeat(256);
    for bad in ["..", "/etc/x", "a\\\\b", "'a\u{202e}b'", "'a\u{7}b'", &long] {
        assert!(matches!(parsed(&format!("create_group {bad}")), Err(Trouble::Name(..))), "{bad:?}");
        assert!(matches!(parsed(&format!("download_file g {bad}")), Err(Trouble::Name(..))), "{bad:?}");
    }
    for good in ["'it'\"'\"'s'", "naïve-文件", "-rf", "..."] {
        assert!(parsed(&format!("create_group {good}")).is_ok(), "{good:?}");
    }
}

/// Random lines, rich in what the grammar takes for special. `seed` reproduces one.
fn random_line(seed: u64) -> String {
    const BITS: &[&str] = &[
        " ",
        "  ",
        "'",
        "\"",
        "\\",
        "#",
        "q",
        "--",
        "--json",
        "--when-replicated",
        "=",
        "~",
        "/",
        "..",
        "g",
        "7",
        "\u{0}",
        "\n",
        "\u{202e}",
        "é",
        "文",
        "requests",
        "list_requests",
    ];
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let mut line = String::new();
    for _ in 0..random.random_range(0..12) {
        match random.random_range(0..4) {
            0 => line.push_str(commands::COMMANDS[random.random_range(0..commands::COMMANDS.len())].name),
            1 => line.extend(char::from_u32(random.random_range(0..0x11_0000))),
            _ => line.push_str(BITS[random.random_range(0..BITS.len())]),
        }
        if random.random_range(0..2) == 0 {
            line.push(' ');
        }
    }
    line
}

#[test]
fn no_line_makes_it_panic_or_prints_an_escape() {
    for seed in 0..20_000 {
        let line = random_line(seed);
        for mode in [script(), terminal()] {
            if let Err(trouble) = parse(&line, &mode) {
                let text = trouble.to_string().replace('\n', " ");
                assert_eq!(escape(&text), text, "seed {seed}: {line:?}");
            }
        }
    }
}

#[test]
fn what_is_quoted_comes_back_as_it_was() {
    for seed in 0..20_000 {
        let text = random_line(seed).replace('\0', "");
        let Ok(name) = GroupName::new(&text) else { continue };
        if text == "--json" || text == "--" {
            continue;
        }
        let line = format!("list_files {}", quoted(&text));
        let expected = Command::ListFiles { group: name };
        match parsed(&line) {
            Ok(Line::Ask(Ask { what: What::Plain(command), .. })) => {
                assert_eq!(command, expected, "seed {seed}");
            }
            Err(Trouble::NoSuchOption(..)) if text.starts_with("--") => {}
            other => panic!("seed {seed}: {line:?}: {other:?}"),
        }
    }
}
