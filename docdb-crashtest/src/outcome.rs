//! What a part has found out.

use serde::Serialize;

/// What a part did, and which promises it saw broken.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Cases that went all the way, in the part's own unit.
    pub cases: u64,
    /// What to call these: "states", "calls failed".
    pub unit: String,
    /// Other counts and times, in the order in which people want them.
    pub figures: Vec<Figure>,
    /// What is better seen than read.
    pub charts: Vec<Chart>,
    /// What has to be said and is no number: what was left out, and why.
    pub notes: Vec<String>,
    /// Broken promises. None: passed.
    pub violations: Vec<Violation>,
    /// A hash of everything that was done, where the same seed must give the same.
    pub trace_hash: Option<u64>,
}

impl Outcome {
    /// One with a count and nothing else.
    pub fn of(cases: u64, unit: &str) -> Outcome {
        Outcome {
            cases,
            unit: unit.to_owned(),
            ..Outcome::default()
        }
    }

    /// Adds a figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str) {
        self.figures.push(Figure {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
        });
    }
}

/// A named number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it counts or measures.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what; empty for a plain count.
    pub unit: String,
}

/// What a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// One bar for each labelled point; `x` is not used.
    Bars,
    /// A line through the points, in their order.
    Line,
    /// Values whose distribution is wanted: `y` of each point; `x` is not used.
    Histogram,
}

/// Points to be drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// How to draw it.
    pub kind: ChartKind,
    /// What x is, with its unit.
    pub x: String,
    /// What y is, with its unit.
    pub y: String,
    /// Label, x, y.
    pub points: Vec<(String, f64, f64)>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What was promised and what was seen, in full sentences.
    pub what: String,
    /// Names the case to [`Part::replay`](crate::Part::replay).
    pub place: String,
    /// The fewest operations that still show it, one line each. Empty if it was not made smaller.
    pub operations: Vec<String>,
}
