use std::error::Error;
use docdb_crashtest::{Job, Outcome, Part};
use super::parts::Setting;
pub(super) struct Planted;
impl Planted { pub(super) fn new(_: &Setting<'_>) -> Result<Planted, Box<dyn Error>> { Ok(Planted) } }
impl Part for Planted {
    fn name(&self) -> &'static str { "planted" }
    fn summary(&self) -> &'static str { "" }
    fn run(&self, _: &Job<'_>) -> Result<Outcome, String> { Ok(Outcome::default()) }
    fn replay(&self, _: &Job<'_>, _: &str) -> Result<Outcome, String> { Ok(Outcome::default()) }
}
