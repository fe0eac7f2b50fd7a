//! How far a part has got: a bar on a terminal, a line now and then elsewhere.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use docdb_crashtest::{Budget, Progress};
use indicatif::{ProgressBar, ProgressStyle};

/// Where there is no terminal, a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one part.
pub(super) struct Bar {
    part: &'static str,
    bar: ProgressBar,
    time: Option<Duration>,
    began: Instant,
    last_line: Mutex<Instant>,
}

impl Bar {
    pub(super) fn new(part: &'static str, budget: Budget) -> Bar {
        let bar = ProgressBar::no_length();
        let template = "{prefix:>8} {bar:30} {percent:>3} %  {elapsed}  {msg}";
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(part);
        Bar {
            part,
            bar,
            time: budget.time,
            began: Instant::now(),
            last_line: Mutex::new(Instant::now()),
        }
    }

    /// Takes the bar away: the table says the rest.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Thousandths of the part that are done: of its cases or of its time, whichever is nearer its end.
    fn share(&self, done: u64, of: Option<u64>) -> u64 {
        let by_count = of.map_or(0.0, |of| done as f64 / of.max(1) as f64);
        let by_time = self.time.map_or(0.0, |time| {
            self.began.elapsed().as_secs_f64() / time.as_secs_f64().max(1e-9)
        });
        (by_count.max(by_time).min(1.0) * 1000.0) as u64
    }
}

impl Progress for Bar {
    fn at(&self, done: u64, of: Option<u64>, what: &dyn fmt::Display) {
        if !self.bar.is_hidden() {
            self.bar.set_length(1000);
            self.bar.set_position(self.share(done, of));
            self.bar.set_message(what.to_string());
            return;
        }
        let mut last = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let seconds = self.began.elapsed().as_secs();
            eprintln!("{}: {seconds} s, {done} cases, {what}", self.part);
        }
    }
}
