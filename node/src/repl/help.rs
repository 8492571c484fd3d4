//! What the program says of its commands, and of words that are none.

use std::fmt::Write as _;

use super::commands::{COMMANDS, Spec, Switch, Topic};

/// Columns of the usage in the overview; a longer usage has a line of its own.
const USAGE_WIDTH: usize = 40;

/// The text of `help`.
pub(crate) fn overview() -> String {
    let topics = [
        (Topic::Account, "Accounts"),
        (Topic::Group, "Groups"),
        (Topic::File, "Files"),
        (Topic::Download, "Downloads"),
        (Topic::Program, "Program"),
    ];
    let mut text = String::new();
    for (topic, title) in topics {
        let _infallible = writeln!(text, "{title}:");
        for spec in COMMANDS.iter().filter(|spec| spec.topic == topic) {
            let usage = format!("{} {}", spec.name, spec.arguments);
            if usage.chars().count() <= USAGE_WIDTH {
                let _infallible = writeln!(text, "  {usage:<USAGE_WIDTH$}  {}", spec.brief);
            } else {
                let _infallible = writeln!(text, "  {usage}\n  {:USAGE_WIDTH$}  {}", "", spec.brief);
            }
        }
    }
    text.push_str(
        "\nNames with spaces are quoted as in a shell; a # begins a comment. Listings take --json.\n\
         `help <command>` tells more.\n",
    );
    text
}

/// The text of `help <command>`.
pub(crate) fn about(spec: &Spec) -> String {
    let mut text = format!("usage: {}\n  {}\n", spec.usage(), spec.brief);
    if !spec.aliases.is_empty() {
        let _infallible = writeln!(text, "  also: {}", spec.aliases.join(", "));
    }
    for line in spec.more.lines() {
        let _infallible = writeln!(text, "  {line}");
    }
    if spec.option == Some(Switch::Json) {
        text.push_str("  With --json the answer is one JSON document.\n");
    }
    text
}

/// The command whose name is most like `word`, if one is like it at all.
pub(crate) fn nearest(word: &str) -> Option<&'static Spec> {
    const WORD_LEN_MAX: usize = 40;
    if word.chars().count() > WORD_LEN_MAX {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |name: &str| {
        let edits = distance(&word, name);
        let begun = word.len() >= 3 && name.starts_with(&word);
        (edits <= name.len() / 3 || begun).then_some(edits)
    };
    COMMANDS
        .iter()
        .flat_map(|spec| spec.names().map(move |name| (name, spec)))
        .filter_map(|(name, spec)| Some((likeness(name)?, spec)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, spec)| spec)
}

/// How many characters must be put in, left out, replaced or swapped with their neighbour to make `a` of `b`.
///
/// Source: optimal string alignment, after Damerau 1964.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_command_is_found() {
        let name = |word| nearest(word).map(|spec| spec.name);
        for (word, expected) in [
            ("craete_user", "create_user"),
            ("lgoin", "login"),
            ("download", "download_file"),
            ("list-files", "list_files"),
            ("LISTGROUPS", "list_groups"),
            ("show_download", "show_downloads"),
            ("requets", "list_requests"),
            ("quti", "quit"),
        ] {
            assert_eq!(name(word), Some(expected), "{word}");
        }
        for word in ["", "q", "xyzzy", "\u{1b}[2J", &"a".repeat(10_000)] {
            assert_eq!(name(word), None, "{word}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1), ("ca", "abc", 3)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn help_names_every_command_and_fits_a_terminal() {
        let text = overview();
        for spec in COMMANDS {
            assert!(text.contains(&format!("\n  {}", spec.name)), "{}", spec.name);
            assert!(about(spec).starts_with(&format!("usage: {}", spec.name)));
            assert!(about(spec).lines().all(|line| line.chars().count() <= 120), "{}", spec.name);
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }
}
