#![doc = include_str!("../README.md")]

pub mod bounds;
mod flip;
pub mod histories;
mod io;
mod job;
pub mod life;
pub mod oracle;
mod outcome;
mod part;
pub mod planted;
mod rng;
mod sim;
mod workers;

pub use bounds::Bounds;
pub use flip::Flip;
pub use io::Io;
pub use job::{Budget, Job, Progress, Scale};
pub use outcome::{Chart, ChartKind, Figure, Outcome, Violation};
pub use part::Part;
pub use rng::Rng;
pub use sim::Sim;
pub use workers::{Found, share};
