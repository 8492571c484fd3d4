//! Small pieces of text: escapes, sizes, times, tables.
//!
//! Invariant: nothing reaches a terminal but through [`printable`], so no name, path or message from outside can command it.

use std::borrow::Cow;

use engine::name::{Place, is_unprintable};
use engine::time::Span;
use unicode_width::UnicodeWidthStr;

/// `text` with every character that a terminal could take for a command, or that hides or reorders text, as `\u{..}`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unprintable(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// `text`, its lines kept, everything else escaped: what may be printed.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_unprintable(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(escape).collect::<Vec<_>>().join("\n"))
}

/// Printable `text` with its marks in colour: done green, failed red, stopped yellow.
pub(crate) fn painted(text: &str) -> String {
    const MARKS: [(&str, &str); 4] = [("[C]", "32"), ("[E]", "31"), ("[S]", "33"), ("error:", "31")];
    let paint = |line: &str| {
        for (mark, colour) in MARKS {
            if let Some(rest) = line.strip_prefix(mark) {
                return format!("\u{1b}[{colour}m{mark}\u{1b}[0m{rest}");
            }
        }
        line.to_owned()
    };
    text.split('\n').map(paint).collect::<Vec<_>>().join("\n")
}

/// A path, escaped.
pub(crate) fn place(place: &Place) -> String {
    escape(&String::from_utf8_lossy(&place.0)).into_owned()
}

/// A word as it must be typed to be taken for this very text.
pub(crate) fn quoted(text: &str) -> String {
    match shlex::try_quote(text) {
        Ok(word) => escape(&word).into_owned(),
        // Only a text with a zero byte, which no name has.
        Err(_) => escape(text).into_owned(),
    }
}

/// A number of bytes with a unit, to one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, rounded; the next unit is taken before 1024.0 is printed.
    let mut unit = 1024_u64;
    for name in UNITS {
        let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
        if tenths < 10_240 || name == "TiB" {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit *= 1024;
    }
    unreachable!("the last unit holds everything")
}

/// How long something takes, in the two largest units.
pub(crate) fn span(span: Span) -> String {
    let secs = span.secs_rounded_up();
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {:02} s", secs / 60, secs % 60),
        3_600..86_400 => format!("{} h {:02} min", secs / 3_600, secs / 60 % 60),
        _ => format!("{} d {:02} h", secs / 86_400, secs / 3_600 % 24),
    }
}

/// `part` of `whole` in percent, to one decimal, rounded down so that only all of it is 100.0; nothing of nothing is all.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let permille = (u128::from(part) * 1_000).checked_div(u128::from(whole)).unwrap_or(1_000);
    format!("{}.{}%", permille / 10, permille % 10)
}

/// A count with its noun: `1 peer`, `2 peers`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// How many columns of a terminal a text takes.
fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Rows under a header, aligned; each line ends with a newline and has no spaces at its end.
pub(crate) fn table<const N: usize>(header: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let mut widths = header.map(|(title, _)| width(title));
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let mut text = String::new();
    let titles = header.map(|(title, _)| title.to_owned());
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for ((cell, widest), (_, align)) in row.iter().zip(widths).zip(header) {
            let room = " ".repeat(widest - width(cell));
            match align {
                Align::Left => line.push_str(&format!("{cell}{room}  ")),
                Align::Right => line.push_str(&format!("{room}{cell}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        assert_eq!(escape("naïve 文件 'x'"), "naïve 文件 'x'");
        assert_eq!(escape("a\u{1b}[2Jb\n\u{202e}"), "a\\u{1b}[2Jb\\u{a}\\u{202e}");
        assert_eq!(printable("a\nb\r\u{7}\n"), "a\nb\\u{d}\\u{7}\n");
        assert_eq!(place(&Place(Box::from(&b"/tmp/\x1b\xff"[..]))), "/tmp/\\u{1b}\u{fffd}");
    }

    #[test]
    fn marks_are_coloured_at_the_start_of_a_line_alone() {
        assert_eq!(painted("[C] [g] [E]\nx [C]\n"), "\u{1b}[32m[C]\u{1b}[0m [g] [E]\nx [C]\n");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = ["文件", "naïve", "e\u{301}"].map(|name| [name.to_owned(), "1".to_owned()]);
        let text = table([("NAME", Align::Left), ("N", Align::Right)], &rows);
        assert_eq!(text, "NAME   N\n文件   1\nnaïve  1\ne\u{301}      1\n");
    }

    #[test]
    fn sizes_at_the_edges_of_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (524_288, "512.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 30, "1.0 GiB"),
            (1 << 40, "1.0 TiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn spans_and_percentages() {
        assert_eq!(span(Span::from_millis(1)), "1 s");
        assert_eq!(span(Span::from_secs(61)), "1 min 01 s");
        assert_eq!(span(Span::from_secs(7_260)), "2 h 01 min");
        assert_eq!(span(Span(u64::MAX)), "213503982 d 08 h");
        assert_eq!(percent(999_999, 1_000_000), "99.9%");
        assert_eq!(percent(0, 0), "100.0%");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0%");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a b".to_owned(), "1".to_owned()], ["é".to_owned(), "1000".to_owned()]];
        assert_eq!(
            table([("NAME", Align::Left), ("N", Align::Right)], &rows),
            "NAME     N\na b      1\né     1000\n"
        );
    }
}
