//! What the README tells people to type exists.

use std::path::Path;

use crate::harness::{World, program};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    std::fs::read_to_string(path).expect("the project has a README.md")
}

/// Lines of fenced blocks of shell commands.
fn shell_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside && matches!(language.trim(), "sh" | "bash" | "shell" | "console");
        } else if inside {
            lines.push(line.trim().trim_start_matches("$ "));
        }
    }
    lines
}

/// The words after `node`, if a line runs it.
fn node_words(line: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let program = words.iter().position(|word| !word.contains('='))?;
    let rest = &words[program + 1..];
    if words[program].rsplit('/').next() == Some("node") {
        return Some(rest.to_vec());
    }
    let separator = rest.iter().position(|word| *word == "--")?;
    let runs_node = rest[..separator].windows(2).any(|pair| matches!(pair, ["-p" | "--package", "node"]));
    (words[program] == "cargo" && runs_node).then(|| rest[separator + 1..].to_vec())
}

#[test]
fn every_subcommand_of_node_in_the_readme_exists() {
    let text = readme();
    let lines = shell_lines(&text);
    let mut tried = 0;
    for words in lines.iter().filter_map(|line| node_words(line)) {
        let Some(subcommand) = words.first().filter(|word| !word.starts_with('-')) else { continue };
        let ran = program::command().args([subcommand, "--help"]).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "node {subcommand} --help");
        let help = String::from_utf8_lossy(&ran.stdout);
        for option in words.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            let name = option.split('=').next().unwrap_or(option);
            assert!(help.contains(name), "node {subcommand} has no {name}");
        }
        tried += 1;
    }
    assert!(tried >= 2, "the README shows how to run a tracker and a client, not only {tried} commands");
}

#[test]
fn every_package_that_the_readme_runs_exists() {
    for line in shell_lines(&readme()).iter().filter(|line| line.contains("cargo run")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let package = words.windows(2).find(|pair| matches!(pair[0], "-p" | "--package")).map(|pair| pair[1]);
        let package = package.unwrap_or_else(|| panic!("which package does this run? {line}"));
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{package}/src/main.rs"));
        assert!(main.exists(), "{line}");
    }
}

#[test]
fn the_commands_of_the_readme_are_those_of_the_help() {
    let world = World::new();
    let mut client = world.client("ann");
    let help = client.ok("help");
    let text = readme();
    // The first column of the table of commands has their usage, each in backquotes.
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let usages = cells.flat_map(|cell| cell.split('`').step_by(2));
    let words = usages.filter_map(|usage| usage.split(' ').next());
    let named: Vec<&str> = words.filter(|word| word.contains('_') && !word.contains('.')).collect();
    assert!(named.len() >= 15, "the README has a table of commands: {named:?}");
    for name in &named {
        client.ok(&format!("help {name}"));
    }
    let listed = help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in listed.filter(|name| name.contains('_')) {
        assert!(text.contains(&format!("`{name}")), "the README does not name {name}");
    }
}

#[test]
fn the_example_list_of_trackers_is_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tracker_info.txt");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!node::tracker_info::parse(&text).unwrap().is_empty());
}
