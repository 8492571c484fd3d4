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
