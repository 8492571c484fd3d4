//! Logs for whoever runs the program: to standard error, chosen by `RUST_LOG`, `warn` and worse by default.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// Starts logging. Colours only on a terminal, and not if `NO_COLOR` is set to anything.
pub(crate) fn start() {
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(stderr)
        .with_ansi(colours)
        .try_init();
    debug_assert!(started.is_ok(), "logging is started once");
}
