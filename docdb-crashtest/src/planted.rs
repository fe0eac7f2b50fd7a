//! The bugs that can be planted, by name: `wal:SkipSync`, `engine:PatchedUnchecked`.
//!
//! Without the feature `planted-bugs` there is none.

/// Every bug that this build can plant.
pub fn names() -> Vec<String> {
    #[cfg(feature = "planted-bugs")]
    {
        let wal = docdb_wal::planted::Bug::ALL.iter();
        let engine = docdb_engine::planted::Bug::ALL.iter();
        let wal = wal.map(|bug| format!("wal:{bug:?}"));
        let pool = docdb_pool::planted::Bug::ALL.iter();
        wal.chain(engine.map(|bug| format!("engine:{bug:?}")))
            .chain(pool.map(|bug| format!("pool:{bug:?}")))
            .collect()
    }
    #[cfg(not(feature = "planted-bugs"))]
    Vec::new()
}

/// Plants the bug of that name in this process, once and for all.
///
/// # Errors
///
/// There is none of that name in this build.
pub fn plant(name: &str) -> Result<(), String> {
    #[cfg(all(feature = "planted-bugs", debug_assertions))]
    {
        use docdb_engine::planted as engine;
        use docdb_pool::planted as pool;
        use docdb_wal::planted as wal;
        for bug in wal::Bug::ALL {
            if name == format!("wal:{bug:?}") {
                wal::plant(Some(bug));
                return Ok(());
            }
        }
        for bug in pool::Bug::ALL {
            if name == format!("pool:{bug:?}") {
                pool::plant(Some(bug));
                return Ok(());
            }
        }
        for bug in engine::Bug::ALL {
            if name == format!("engine:{bug:?}") {
                engine::plant(Some(bug));
                return Ok(());
            }
        }
    }
    Err(format!(
        "no bug {name} in this build: {}",
        names().join(", ")
    ))
}

/// Takes out whatever is planted.
pub fn forget() {
    #[cfg(all(feature = "planted-bugs", debug_assertions))]
    {
        docdb_wal::planted::plant(None);
        docdb_engine::planted::plant(None);
        docdb_pool::planted::plant(None);
    }
}
