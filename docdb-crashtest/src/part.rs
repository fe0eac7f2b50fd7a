//! What every part of the crash test is.

use crate::job::Job;
use crate::outcome::Outcome;

/// A way to break a database, and to find out whether it broke.
///
/// A part draws everything that it does from the job's seed, so that the same seed and the same
/// number of cases give the same outcome.
pub trait Part {
    /// One word, as on the command line.
    fn name(&self) -> &'static str;

    /// One line for people: what is done to the database.
    fn summary(&self) -> &'static str;

    /// Goes on until the job's budget is used up or too many promises are broken.
    ///
    /// # Errors
    ///
    /// What kept the part from working: no broken promise, but nothing was proven either.
    fn run(&self, job: &Job<'_>) -> Result<Outcome, String>;

    /// Does one case again, with all that is to be known about it on standard output; `place` is
    /// that of a [`Violation`](crate::Violation).
    ///
    /// # Errors
    ///
    /// A place that names no case of this part.
    fn replay(&self, job: &Job<'_>, place: &str) -> Result<Outcome, String>;
}
