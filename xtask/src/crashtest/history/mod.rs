use std::error::Error;
use docdb_crashtest::{Job, Outcome, Part};
use super::parts::Setting;
pub(super) struct Histories;
impl Histories { pub(super) fn new(_: &Setting<'_>) -> Result<Histories, Box<dyn Error>> { Ok(Histories) } }
impl Part for Histories {
    fn name(&self) -> &'static str { "history" }
    fn summary(&self) -> &'static str { "" }
    fn run(&self, _: &Job<'_>) -> Result<Outcome, String> { Ok(Outcome::default()) }
    fn replay(&self, _: &Job<'_>, _: &str) -> Result<Outcome, String> { Ok(Outcome::default()) }
}
