//! `cargo xtask crashtest`: what an engineer runs before trusting DocDB with data.
//!
//! It knows how to choose parts, run them within a budget, and say what came of it. What is done to
//! the database is the business of the parts.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use docdb_crashtest::{Budget, Scale};

use crate::rng::seed_of_now;

mod figures;
mod history;
mod html;
mod kill;
mod machine;
mod options;
mod parts;
mod planted;
mod progress;
mod report;
mod table;

pub(crate) use options::Options;
use options::Usage;
use report::{PartReport, Report};

/// Set by Ctrl-C: every part comes to its end and says what it knows.
static STOP: AtomicBool = AtomicBool::new(false);

/// Exit code of wrong usage, as clap's own.
const USAGE: u8 = 2;

/// Runs the parts; the exit code says whether every promise was kept.
pub(crate) fn run(options: Options) -> Result<ExitCode, Box<dyn Error>> {
    if options.list_bugs {
        for bug in docdb_crashtest::planted::names() {
            println!("{bug}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let plan = match options.plan() {
        Ok(plan) => plan,
        Err(Usage(what)) => {
            eprintln!("error: {what}\n\nFor more information, try 'cargo xtask crashtest --help'.");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.spawn(async {
        while tokio::signal::ctrl_c().await.is_ok() {
            STOP.store(true, Ordering::Relaxed);
            eprintln!("ending: what is known by then is reported, and the servers are stopped");
        }
    });
    let seed = options.seed.unwrap_or_else(seed_of_now);
    let dir = options.run_dir(seed)?;
    let setting = parts::Setting {
        options: &options,
        runtime: &runtime,
        dir: &dir,
        seed,
        threads: plan.threads,
        scale: plan.scale,
    };
    if let Some(bug) = &options.plant {
        docdb_crashtest::planted::plant(bug)?;
        eprintln!("planted: {bug}");
    }
    let mut report = Report::new(seed, plan.scale, &dir);
    eprintln!(
        "crashtest: seed {seed}, parts {}, {}",
        plan.parts.join(", "),
        dir.display()
    );
    for name in &plan.parts {
        if STOP.load(Ordering::Relaxed) {
            break;
        }
        let part = parts::make(name, &setting)?;
        report
            .parts
            .push(run_part(part.as_ref(), &setting, plan.budget(name)));
    }
    report.was_ended_early = STOP.load(Ordering::Relaxed);
    report.end();
    runtime.shutdown_background();
    println!("{}", table::Table(&report));
    write(options.json.as_deref(), || report.json())?;
    write(options.html.as_deref(), || html::page(&report))?;
    remove_if_empty(&dir);
    if options.plant_loss {
        return Ok(noticed(&report));
    }
    Ok(if report.is_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_part(
    part: &dyn docdb_crashtest::Part,
    setting: &parts::Setting<'_>,
    budget: Budget,
) -> PartReport {
    let bar = progress::Bar::new(part.name(), budget);
    let mut job = docdb_crashtest::Job::new(setting.seed, setting.scale, budget, &bar);
    job.threads = setting.threads;
    job.stop = Some(&STOP);
    let result = match &setting.options.replay {
        Some(place) => part.replay(&job, place),
        None => part.run(&job),
    };
    bar.end();
    PartReport::new(part, setting, job.elapsed(), result)
}

/// A planted loss must have been noticed.
fn noticed(report: &Report) -> ExitCode {
    if report.violations() == 0 {
        println!("The log was damaged after a kill, and nothing was noticed.");
        return ExitCode::FAILURE;
    }
    println!("The log was damaged on purpose, and that was noticed: this test can fail.");
    ExitCode::SUCCESS
}

fn write(path: Option<&Path>, text: impl FnOnce() -> String) -> Result<(), Box<dyn Error>> {
    if let Some(path) = path {
        fs::write(path, text()).map_err(|e| format!("{}: {e}", path.display()))?;
        eprintln!("written: {}", path.display());
    }
    Ok(())
}

/// What a part keeps for whoever looks into a failure is in a directory of its own in here.
fn remove_if_empty(dir: &Path) {
    let _ = fs::remove_dir(dir);
}

/// How thorough a run is if nothing else was said.
fn scale_of(soak: bool) -> Scale {
    if soak { Scale::Soak } else { Scale::Smoke }
}
