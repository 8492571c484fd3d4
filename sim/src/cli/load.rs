//! Reading scenario files.

use std::path::{Path, PathBuf};

use sim::scenario::Scenario;

use super::Error;

/// The scenarios of a file.
pub(super) fn load(path: &Path) -> Result<Vec<Scenario>, Error> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|why| format!("{name}: {why}"))?;
    Ok(Scenario::parse(&text).map_err(|why| format!("{name}: {why}"))?)
}

/// Those of a file that the command line asks for, with the seed that it asks for.
pub(super) fn chosen(path: &Path, variant: Option<&str>, seed: Option<u64>) -> Result<Vec<Scenario>, Error> {
    let mut scenarios = load(path)?;
    if let Some(variant) = variant {
        let names: Vec<String> = scenarios.iter().filter_map(|scenario| scenario.variant.clone()).collect();
        scenarios.retain(|scenario| scenario.variant.as_deref() == Some(variant));
        if scenarios.is_empty() {
            let choices = if names.is_empty() { "it has none".into() } else { names.join(", ") };
            return Err(format!("there is no variant {variant:?}; choose one of: {choices}").into());
        }
    }
    if let Some(seed) = seed {
        scenarios.iter_mut().for_each(|scenario| scenario.seeds = vec![seed]);
    }
    Ok(scenarios)
}

/// All scenarios of a folder with their titles, in order of name.
pub(super) fn folder(folder: &Path) -> Result<Vec<(String, Scenario)>, Error> {
    let mut scenarios = Vec::new();
    // All files are read first, so that a mistake in the last is not found after an hour.
    for path in files(folder)? {
        let read = load(&path)?;
        scenarios.extend(read.into_iter().map(|scenario| (title(&path, &scenario), scenario)));
    }
    Ok(scenarios)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let paths: Result<Vec<PathBuf>, std::io::Error> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{}: there is no scenario (*.toml)", folder.display()).into());
    }
    Ok(paths)
}

/// What to call a scenario: its file's name, and that of its variant.
pub(super) fn title(path: &Path, scenario: &Scenario) -> String {
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    match &scenario.variant {
        Some(variant) => format!("{file}/{variant}"),
        None => file.into_owned(),
    }
}
