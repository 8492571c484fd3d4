//! A scenario as a file says it: what is read from it is the same scenario again.

use std::fmt::Write as _;

use engine::time::Span;

use super::{Arrival, Behaviour, Class, Departure, End, Fault, Scenario, Whom};

impl Scenario {
    /// The text of a file for this scenario, as a file without variants.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Text(String::new());
        out.text("about", &self.about);
        out.key("seeds", &format!("{:?}", self.seeds));
        match self.end {
            End::After(span) => out.time("duration", span),
            End::Settled(span) => out.time("time_max", span),
        }
        out.key("warm_up", &format!("{:?}", self.warm_up));
        out.key("neighbours", &self.neighbours.to_string());
        out.flag("heavy", self.heavy);
        out.flag("checks", self.checks);
        out.head("tracker", None);
        out.key("up", &self.tracker.up.to_string());
        out.key("down", &self.tracker.down.to_string());
        out.time("latency", self.tracker.latency);
        out.head("costs", None);
        out.time("key", self.costs.key);
        out.time("hash", self.costs.hash);
        out.time("write", self.costs.write);
        out.time("sync", self.costs.sync);
        for file in &self.files {
            out.head("file", Some(&file.name));
            out.key("size", &file.size.bytes().to_string());
        }
        self.classes.iter().for_each(|class| out.class(class));
        self.faults.iter().for_each(|fault| out.fault(fault, &self.classes));
        for band in &self.bands {
            out.head("band", Some(&band.name));
            out.text("measure", band.measure.name());
            if let Some(class) = band.class {
                out.text("class", &self.classes[class].name);
            }
            out.maybe("min", band.min.map(|min| format!("{min:?}")));
            out.maybe("max", band.max.map(|max| format!("{max:?}")));
            out.maybe("stretch", band.stretch.map(|goal| format!("{goal:?}")));
        }
        out.0
    }
}

/// The text so far.
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn head(&mut self, table: &str, name: Option<&str>) {
        self.0.push('\n');
        match name {
            Some(name) => self.line(&format!("[{table}.{}]", quoted(name))),
            None => self.line(&format!("[{table}]")),
        }
    }

    fn key(&mut self, key: &str, value: &str) {
        let _infallible = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key, &quoted(text));
    }

    fn maybe(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.key(key, &value);
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.maybe(key, value.then(|| "true".to_owned()));
    }

    /// A time in the largest unit in which it is whole.
    fn time(&mut self, key: &str, span: Span) {
        let units = [("s", 1_000_000), ("ms", 1_000)];
        let unit = units.into_iter().find(|(_, micros)| span.0.is_multiple_of(*micros));
        let (unit, micros) = unit.unwrap_or(("us", 1));
        self.key(key, &format!("\"{} {unit}\"", span.0 / micros));
    }

    fn class(&mut self, class: &Class) {
        self.head("class", Some(&class.name));
        self.key("count", &class.count.to_string());
        self.key("up", &class.access.up.to_string());
        self.key("down", &class.access.down.to_string());
        self.time("latency", class.access.latency);
        self.text("strategy", class.strategy.name());
        self.flag("seeds", class.seeds);
        if class.behaviour != Behaviour::Honest {
            self.text("behaviour", class.behaviour.name());
        }
        match class.arrival {
            Arrival::At(at) => self.time("at", at),
            Arrival::Over(at, over) => {
                self.time("at", at);
                self.time("over", over);
            }
            Arrival::Poisson(per_s) => self.key("per_s", &format!("{per_s:?}")),
        }
        match class.departure {
            Departure::Stay => {}
            Departure::Dwell(span) => self.time("dwell", span),
            Departure::DwellMean(span) => self.time("dwell_mean", span),
            Departure::At(span) => self.time("leave_at", span),
            Departure::AfterUploads(pieces) => self.key("leave_after_uploads", &pieces.to_string()),
        }
    }

    fn fault(&mut self, fault: &Fault, classes: &[Class]) {
        self.head("fault", Some(&fault.name));
        self.text("kind", fault.kind.name());
        if !fault.kind.is_the_trackers() {
            match fault.whom {
                Whom::Fetchers => {}
                Whom::Class(class) => self.text("class", &classes[class].name),
                Whom::Tracker => self.text("class", "tracker"),
            }
            self.key("share", &format!("{:?}", fault.share));
        }
        self.time("at", fault.at);
        if let Some(until) = fault.until {
            self.time("until", until);
        }
        self.maybe("per_s", fault.per_s.map(|per_s| format!("{per_s:?}")));
        if let Some(after) = fault.back_after {
            self.time("back_after", after);
        }
        let strength = fault.strength;
        self.key("chance", &format!("{:?}", strength.chance));
        self.time("amount", strength.amount);
        self.key("factor", &format!("{:?}", strength.factor));
    }
}

/// A text as TOML writes it, as a value or as a key. What would need other escapes is in none.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}
