//! The summary at the end of a run.

use std::fmt;

use super::report::{PartReport, Report};

/// Violations of a part that are shown in full; the rest is counted.
const VIOLATIONS_SHOWN_MAX: usize = 10;

/// Lines of operations that are shown of a violation.
const OPERATIONS_SHOWN_MAX: usize = 40;

/// A run as a table for people.
pub(super) struct Table<'a>(pub(super) &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        writeln!(
            f,
            "{:<8}  {:>10}  {:<24}  {:>8}  violations",
            "part", "cases", "of", "seconds"
        )?;
        for part in &report.parts {
            let violations = match &part.error {
                Some(_) => "could not run".to_owned(),
                None => part.outcome.violations.len().to_string(),
            };
            writeln!(
                f,
                "{:<8}  {:>10}  {:<24}  {:>8.1}  {violations}",
                part.name, part.outcome.cases, part.outcome.unit, part.seconds
            )?;
        }
        for part in &report.parts {
            figures(f, part)?;
        }
        for part in &report.parts {
            violations(f, part)?;
        }
        writeln!(f)?;
        if report.was_ended_early {
            writeln!(f, "Ended early: what was not done is not proven.")?;
        }
        let seed = report.seed;
        match (report.is_passed(), report.violations()) {
            (true, _) => write!(f, "PASSED: no promise was broken; seed {seed}"),
            (false, 0) => write!(f, "FAILED: not every part could do its work; seed {seed}"),
            (false, 1) => write!(f, "FAILED: 1 violation; seed {seed}"),
            (false, violations) => write!(f, "FAILED: {violations} violations; seed {seed}"),
        }
    }
}

fn figures(f: &mut fmt::Formatter<'_>, part: &PartReport) -> fmt::Result {
    if part.outcome.figures.is_empty() && part.outcome.notes.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{}: {}", part.name, part.summary)?;
    for figure in &part.outcome.figures {
        let value = super::figures::number(figure.value);
        writeln!(f, "  {:<44} {value:>12} {}", figure.name, figure.unit)?;
    }
    for note in &part.outcome.notes {
        writeln!(f, "  note: {note}")?;
    }
    Ok(())
}

fn violations(f: &mut fmt::Formatter<'_>, part: &PartReport) -> fmt::Result {
    if let Some(error) = &part.error {
        writeln!(f, "\n{} COULD NOT RUN: {error}", part.name)?;
    }
    let all = part.outcome.violations.iter().zip(&part.replays);
    for (violation, replay) in all.take(VIOLATIONS_SHOWN_MAX) {
        writeln!(f, "\n{} VIOLATION: {}", part.name, violation.what)?;
        for operation in violation.operations.iter().take(OPERATIONS_SHOWN_MAX) {
            writeln!(f, "    {operation}")?;
        }
        let more = violation
            .operations
            .len()
            .saturating_sub(OPERATIONS_SHOWN_MAX);
        if more > 0 {
            writeln!(f, "    and {more} more")?;
        }
        writeln!(f, "  again: {replay}")?;
    }
    let more = part
        .outcome
        .violations
        .len()
        .saturating_sub(VIOLATIONS_SHOWN_MAX);
    if more > 0 {
        writeln!(f, "\n{}: and {more} more violations", part.name)?;
    }
    Ok(())
}
