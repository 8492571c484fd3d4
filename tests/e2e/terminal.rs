//! What a person at a terminal sees, through a pseudo-terminal.

use rexpect::session::{PtySession, spawn_command};

use crate::harness::client::Home;
use crate::harness::{DEADLINE, World};

/// What a client says at first; `name` is logged in, or nobody.
fn prompt(name: &str) -> String {
    format!("{name}> ")
}

struct Terminal {
    pty: PtySession,
    /// What was read so far.
    shown: String,
}

impl Terminal {
    fn start(home: &Home) -> Terminal {
        let mut command = home.command();
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        let timeout_ms = u64::try_from(DEADLINE.as_millis()).unwrap();
        let pty = spawn_command(command, Some(timeout_ms)).unwrap();
        let mut terminal = Terminal { pty, shown: String::new() };
        terminal.sees(&prompt(""));
        terminal
    }

    fn types(&mut self, text: &str) {
        self.pty.send(text).unwrap();
        self.pty.flush().unwrap();
    }

    fn enters(&mut self, line: &str) {
        self.pty.send_line(line).unwrap();
    }

    /// Waits until `text` is shown; gives what came before.
    fn sees(&mut self, text: &str) -> String {
        let before = self.pty.exp_string(text).unwrap_or_else(|error| panic!("no {text:?}: {error}"));
        self.shown.push_str(&before);
        self.shown.push_str(text);
        before
    }

    fn log_in(&mut self, name: &str) {
        self.enters(&format!("create_user {name} secret-{name}"));
        self.sees(&format!("user {name} created"));
        self.enters(&format!("login {name} secret-{name}"));
        self.sees(&format!("logged in as {name}"));
        self.sees(&prompt(name));
    }

    /// Waits for the end, which must be a clean one.
    fn ends(mut self) {
        self.shown.push_str(&self.pty.exp_eof().unwrap());
        let status = format!("{:?}", self.pty.process().wait().unwrap());
        assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
    }
}

#[test]
fn the_prompt_names_who_is_logged_in() {
    let world = World::new();
    let mut terminal = Terminal::start(&world.home("ann"));
    terminal.log_in("ann");
    terminal.enters("logout");
    terminal.sees("logged out");
    terminal.sees("\n");
    terminal.enters("quit");
    terminal.ends();
}

#[test]
fn news_are_printed_above_a_half_typed_line_which_stays_as_it_was() {
    let world = World::new();
    let mut terminal = Terminal::start(&world.home("ann"));
    terminal.log_in("ann");
    terminal.enters("create_group physics");
    terminal.sees("group physics created");
    terminal.sees(&prompt("ann"));
    terminal.types("list_memb");
    terminal.sees("memb");
    let mut bob = world.user("bob");
    bob.ok("join_group physics");
    terminal.sees("bob asks to join physics: accept_request physics bob");
    terminal.sees("list_memb");
    terminal.enters("ers physics");
    terminal.sees("ann   owner  online");
    terminal.enters("quit");
    terminal.ends();
}

#[test]
fn a_password_is_asked_for_without_echo() {
    let world = World::new();
    let mut terminal = Terminal::start(&world.home("ann"));
    terminal.enters("create_user ann");
    terminal.sees("assword");
    terminal.sees(": ");
    terminal.enters("hidden-word");
    terminal.sees("the same again: ");
    terminal.enters("hidden-word");
    terminal.sees("user ann created");
    terminal.enters("login ann");
    terminal.sees("assword");
    terminal.sees(": ");
    terminal.enters("hidden-word");
    terminal.sees("logged in as ann");
    terminal.sees(&prompt("ann"));
    assert!(!terminal.shown.contains("hidden-word"), "{}", terminal.shown);
    terminal.enters("quit");
    terminal.ends();
}

#[test]
fn the_history_holds_commands_and_no_passwords() {
    let world = World::new();
    let home = world.home("ann");
    let mut terminal = Terminal::start(&home);
    terminal.log_in("ann");
    terminal.enters("list_groups");
    terminal.sees("no groups yet");
    terminal.sees(&prompt("ann"));
    terminal.enters("quit");
    terminal.ends();
    let history = std::fs::read_to_string(home.data.join("history")).unwrap();
    assert!(history.contains("list_groups"), "{history}");
    assert!(!history.contains("secret"), "{history}");
    let mut terminal = Terminal::start(&home);
    terminal.types("\u{1b}[A\u{1b}[A");
    terminal.sees("list_groups");
    terminal.types("\n");
    terminal.sees("log in first");
    terminal.enters("quit");
    terminal.ends();
}

#[test]
fn ctrl_d_leaves_cleanly() {
    let world = World::new();
    let mut bob = world.user("bob");
    bob.ok("create_group physics");
    let path = world.file("file.bin", 1 << 20, 1);
    let mut terminal = Terminal::start(&world.home("ann"));
    terminal.log_in("ann");
    terminal.enters("join_group physics");
    terminal.sees("must accept");
    bob.ok("accept_request physics ann");
    terminal.sees("you are a member");
    terminal.enters(&format!("upload_file {} physics", path.display()));
    terminal.sees("file.bin shared");
    bob.wait_seeders("physics", 1);
    terminal.pty.send_control('d').unwrap();
    terminal.ends();
    bob.wait_seeders("physics", 0);
}

#[test]
fn ctrl_c_clears_the_line_and_ends_a_wait_but_not_the_program() {
    let world = World::new();
    let mut ann = world.user("ann");
    ann.ok("create_group physics");
    let path = world.file("file.bin", 1 << 20, 1);
    ann.ok(&format!("upload_file {} physics", path.display()));
    ann.ok("stop_share physics file.bin");
    let mut terminal = Terminal::start(&world.home("bob"));
    terminal.log_in("bob");
    terminal.types("create_gr");
    terminal.sees("gr");
    terminal.pty.send_control('c').unwrap();
    terminal.enters("join_group physics");
    terminal.sees("request to join physics sent");
    ann.ok("accept_request physics bob");
    terminal.sees("you are a member of physics now");
    terminal.enters("download_file physics file.bin");
    terminal.sees("is being fetched");
    terminal.sees(&prompt("bob"));
    terminal.enters("wait");
    terminal.sees("\n");
    terminal.sees("file.bin");
    terminal.pty.send_control('c').unwrap();
    terminal.sees("no longer waiting; downloads go on");
    terminal.enters("show_downloads");
    terminal.sees("[D] [physics] file.bin");
    terminal.enters("quit");
    terminal.ends();
}

#[test]
fn a_tab_completes_commands_groups_and_files() {
    let world = World::new();
    let mut terminal = Terminal::start(&world.home("ann"));
    terminal.log_in("ann");
    terminal.types("create_gro\t");
    terminal.sees("up ");
    terminal.types("physics\n");
    terminal.sees("group physics created");
    terminal.sees(&prompt("ann"));
    terminal.enters("list_groups");
    terminal.sees("owner");
    terminal.sees(&prompt("ann"));
    terminal.types("list_members ph\t");
    terminal.sees("ysics");
    terminal.types("\n");
    terminal.sees("ann   owner  online");
    terminal.enters("quit");
    terminal.ends();
}
