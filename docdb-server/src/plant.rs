//! Bugs that are planted on purpose, for the tests that must catch them. No release has this.

/// Names the bug to plant: `wal:SkipSync`, `engine:PatchedUnchecked`.
const VARIABLE: &str = "DOCDB_PLANT_BUG";

/// Exit code for a bug that there is not: wrong usage.
pub(crate) const UNKNOWN: u8 = 2;

/// Plants the bug that the environment names, if it names one.
///
/// # Errors
///
/// There is none of that name in this build.
pub(crate) fn from_environment() -> Result<(), String> {
    match std::env::var(VARIABLE) {
        Ok(name) if is_planted(&name) => Ok(()),
        Ok(name) => Err(format!(
            "{VARIABLE}: this build, which needs debug assertions, has no bug {name}"
        )),
        Err(_) => Ok(()),
    }
}

#[cfg(debug_assertions)]
fn is_planted(name: &str) -> bool {
    use docdb_engine::planted as engine;
    use docdb_pool::planted as pool;
    use docdb_wal::planted as wal;
    let mut in_wal = wal::Bug::ALL.into_iter();
    let mut in_engine = engine::Bug::ALL.into_iter();
    let mut in_pool = pool::Bug::ALL.into_iter();
    if let Some(bug) = in_wal.find(|bug| name == format!("wal:{bug:?}")) {
        wal::plant(Some(bug));
    } else if let Some(bug) = in_engine.find(|bug| name == format!("engine:{bug:?}")) {
        engine::plant(Some(bug));
    } else if let Some(bug) = in_pool.find(|bug| name == format!("pool:{bug:?}")) {
        pool::plant(Some(bug));
    } else {
        return false;
    }
    true
}

#[cfg(not(debug_assertions))]
fn is_planted(_name: &str) -> bool {
    false
}
