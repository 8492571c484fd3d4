//! The program under test, built once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `node` binary, of the same profile as the tests and as new as the sources.
///
/// Cargo builds no binaries of other packages for a test, so this asks it to. It holds no lock while tests run.
pub(crate) fn node() -> &'static Path {
    static NODE: OnceLock<PathBuf> = OnceLock::new();
    NODE.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // <target>/<profile>/deps/<test>
        let profile = test.parent().and_then(Path::parent).unwrap();
        let target = profile.parent().unwrap();
        let name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "node", "--bin", "node", "--profile", name])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .arg("--target-dir")
            .arg(target)
            .status()
            .expect("cargo runs");
        assert!(status.success(), "node does not build");
        profile.join("node")
    })
}

/// A command that runs `node` with nothing of this environment that could change what it does.
pub(crate) fn command() -> Command {
    let mut command = Command::new(node());
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
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]).arg(node());
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
