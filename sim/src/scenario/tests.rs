//! Scenario files: what is read, and what a mistake is answered with.

use engine::time::Span;

use super::*;
use crate::run::run;

const SMALL: &str = r#"about = "A few peers."
strategy = "adaptive"
time_max = "10 min"

[line]
up = "8 MiB/s"
down = "32 MiB/s"
latency = "5 ms"

[file.film]
pieces = 24

[class.seeder]
count = 1
seeds = true

[class.leecher]
count = 6

[band.completed_percent]
min = 100
"#;

fn small() -> Scenario {
    Scenario::parse(SMALL).unwrap().remove(0)
}

/// What is said of the file with a part of it replaced.
fn refusal(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from:?} stands in the file");
    Scenario::parse(&SMALL.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn quantities_are_read_with_their_units() {
    let scenario = small();
    let leecher = &scenario.classes[0];
    assert_eq!((leecher.name.as_str(), leecher.count), ("leecher", 6));
    assert_eq!(leecher.access, Access { up: 8 << 20, down: 32 << 20, latency: Span::from_millis(5) });
    assert_eq!(scenario.end, End::Settled(Span::from_secs(600)));
    let bare = SMALL.replace("\"8 MiB/s\"", "8388608").replace("\"10 min\"", "600");
    let bare = Scenario::parse(&bare).unwrap().remove(0);
    assert_eq!((bare.classes[0].access, bare.end), (leecher.access, scenario.end));
}

#[test]
fn a_mistake_is_answered_with_line_column_and_remedy() {
    let wrong = refusal("\"adaptive\"", "\"best\"");
    assert!(wrong.starts_with("line 2, column 12: no such strategy as \"best\": choose one of least-loaded"));
    assert!(wrong.contains("\n  | strategy = \"best\"\n"), "{wrong}");
    let wrong = refusal("\"8 MiB/s\"", "\"8 MiB\"");
    assert!(wrong.starts_with("line 6, column 6: \"8 MiB\" is not a rate: write a number and one of B/s,"));
    assert!(
        refusal("count = 6", "count = 0").starts_with("line 18, column 9: 0 is out of range: choose 1 to")
    );
    assert!(refusal("count = 6", "cuont = 6").contains("unknown field `cuont`, expected one of `count`"));
    assert!(refusal("completed_percent", "complete").contains("is no measure: choose one of makespan_s"));
    assert!(refusal("min = 100", "stretch = 1").contains("give it a min or a max"));
    assert!(refusal("seeds = true", "seeds = false").contains("give one class seeds = true"));
    assert!(refusal("pieces = 24", "size = \"1 KB\"").contains("one of B, kB"));
    assert!(refusal("count = 6", "per_s = 2.0").contains("say duration"));
    assert!(refusal("count = 6", "count = 6\ndwell = 1\nleave_at = 2").contains("choose one of dwell"));
    assert!(refusal("time_max", "= time_max").starts_with("line 3, "));
}

#[test]
fn what_is_no_number_or_would_never_end_is_refused() {
    let fault = |said: &str| refusal("[band", &format!("[fault.cut]\nuntil = 9\n{said}\n[band"));
    assert!(fault("kind = \"churn\"\nper_s = inf").contains("per_s is out of range: choose more than 0"));
    assert!(fault("kind = \"reset\"\nper_s = -1.0").contains("per_s is out of range"));
    assert!(fault("kind = \"slow-disk\"\nfactor = nan").contains("factor is out of range: choose 0.001 to"));
    assert!(fault("kind = \"slow-disk\"").contains("needs factor"));
    assert!(refusal("min = 100", "min = nan").contains("a bound is a number"));
}

#[test]
fn what_a_file_says_does_nothing_to_the_terminal() {
    let wrong = refusal("count = 6", "cuont = 6 # \u{1b}]0;title\u{202e}");
    assert!(wrong.contains("| cuont = 6 # \u{fffd}]0;title\u{fffd}"), "{wrong}");
    let long = refusal("count = 6", &format!("cuont = 6 # {}", "x".repeat(5_000)));
    assert!(long.len() < 1_000 && long.contains("xxx..."), "{long}");
    let shown = "a text or name is shown on one line";
    assert!(refusal("A few", r"\u0007A few").starts_with(&format!("line 1, column 9: {shown}")));
    assert!(
        refusal("[band.comp", "[band.\"\\u202E\"]\nmeasure = \"makespan_s\"\nmax = 1\n[band.comp")
            .contains(shown)
    );
    assert!(
        refusal("[band.comp", "[variant.\"\\u0007\"]\n[band.comp")
            .starts_with(&format!("line 20, column 10: {shown}"))
    );
}

#[test]
fn names_of_all_sorts_are_written_as_they_were_read() {
    let strange =
        SMALL.replace("[class.leecher]", r#"[class."a\"b'\u0301 {c}"]"#).replace("A few", r#"A \\ \"few\""#);
    let read = Scenario::parse(&strange).unwrap();
    assert_eq!(Scenario::parse(&read[0].to_toml()).unwrap(), read);
}

#[test]
fn a_run_that_would_take_for_ever_has_an_end_that_can_be_written() {
    let slow =
        SMALL.replace("8 MiB/s", "1 B/s").replace("time_max = \"10 min\"\n", "").replace("= 24", "= 2000000");
    let read = Scenario::parse(&slow).unwrap();
    assert_eq!(read[0].end, End::Settled(units::TIME_MAX));
    assert_eq!(Scenario::parse(&read[0].to_toml()).unwrap(), read);
}

#[test]
fn a_measure_that_means_nothing_for_a_scenario_is_refused() {
    let wrong = refusal("[band.completed_percent]\nmin = 100", "[band.growth_ratio]\nmax = 1");
    assert!(wrong.contains("growth_ratio does not suit this scenario"), "{wrong}");
    let unequal =
        SMALL.replace("count = 6", "count = 6\nup = 1000").replace("completed_percent", "ratio_mundinger");
    assert!(Scenario::parse(&unequal).unwrap_err().to_string().contains("equal uplinks"));
}

#[test]
fn a_variant_changes_what_it_names_and_nothing_else() {
    let text = format!("{SMALL}\n[variant.many]\nclass.leecher.count = 9\n\n[variant.few]\nheavy = true\n");
    let read = Scenario::parse(&text).unwrap();
    let names: Vec<_> = read.iter().map(|scenario| scenario.variant.as_deref()).collect();
    assert_eq!(names, [Some("few"), Some("many")]);
    assert_eq!((read[0].classes[0].count, read[0].heavy), (6, true));
    assert_eq!((read[1].classes[0].count, read[1].heavy), (9, false));
    assert_eq!(read[1].classes[0].access, read[0].classes[0].access);
    let wrong = Scenario::parse(&text.replace("count = 9", "count = 0")).unwrap_err().to_string();
    assert!(wrong.starts_with("line 24, column 23: 0 is out of range"), "{wrong}");
}

#[test]
fn every_file_of_the_project_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let read = Scenario::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            assert!(read.iter().all(|scenario| !scenario.bands.is_empty()), "{}", path.display());
            files += 1;
        }
    }
    assert!(files >= 13, "the scenarios that the design names");
}

#[test]
fn what_was_mended_stays_mended() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/bugs");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let scenario = Scenario::parse(&std::fs::read_to_string(&path).unwrap()).unwrap().remove(0);
        for seed in &scenario.seeds {
            let failure = run(&scenario, *seed).err();
            assert_eq!(failure, None, "sim replay {} --seed {seed}", path.display());
        }
        files += 1;
    }
    assert!(files >= 5, "the scenarios are there");
}

#[test]
fn what_is_written_is_read_as_the_same_scenario() {
    for seed in 0..200 {
        let drawn = crate::swarm::draw(seed);
        let text = drawn.to_toml();
        let read = Scenario::parse(&text).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{text}"));
        assert_eq!(read, [drawn], "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let scenario = small();
    let (once, again) = (run(&scenario, 3).unwrap(), run(&scenario, 3).unwrap());
    assert_eq!(once.samples, again.samples);
    assert_ne!(once.samples, run(&scenario, 4).unwrap().samples);
}
