//! The program under test.

use std::path::Path;
use std::process::Command;

/// The `node` binary, of the same profile as the tests and as new as the sources.
pub(crate) const NODE: &str = env!("CARGO_BIN_EXE_node");

/// A command that runs `node` with nothing of this environment that could change what it does.
pub(crate) fn command() -> Command {
    let mut command = Command::new(NODE);
    clean(&mut command);
    command
}

/// The same, with a file system of its own, of these options, at `folder`, which is made. None if this machine does not allow it.
pub(crate) fn command_with_file_system(folder: &Path, options: &str) -> Option<Command> {
    std::fs::create_dir(folder).unwrap();
    let mount = format!("mount -t tmpfs -o {options} tmpfs '{}'", folder.display());
    let allowed = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !allowed.is_ok_and(|tried| tried.status.success()) {
        super::skip("this machine allows no mount in a namespace");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]).arg(NODE);
    clean(&mut command);
    Some(command)
}

/// Takes out of a command's environment what could change what `node` does.
pub(crate) fn clean(command: &mut Command) {
    for name in ["RUST_LOG", "NO_COLOR", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    // For a closer look at a test that fails.
    if let Some(filter) = std::env::var_os("E2E_LOG") {
        command.env("RUST_LOG", filter);
    }
}
