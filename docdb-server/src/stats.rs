//! Statistics as the JSON of a `stats` answer.

use std::sync::atomic::Ordering;

use docdb_engine::DbStats;
use serde_json::{Map, Value, json};

use crate::state::State;

/// The whole server.
pub(crate) fn server(state: &State) -> Value {
    let pool = state.pool.stats();
    let open = state.pool.open_databases();
    let counters = &state.counters;
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": state.started_at.elapsed().as_secs(),
        "connections": {
            "open": load(&counters.connections_open),
            "max": state.connections_max,
            "total": load(&counters.connections),
        },
        "requests": {
            "total": load(&counters.requests),
            "errors": load(&counters.errors),
            "protocol_errors": load(&counters.protocol_errors),
            "panics": load(&counters.panics),
        },
        "databases": {
            "total": pool.databases,
            "open": pool.databases_open,
            "open_max": pool.databases_open_max,
            "opened": pool.opened,
            "open_failures": pool.open_failures,
            "closed_idle": pool.closed_idle,
            "closed_for_room": pool.closed_for_room,
            "created": pool.created,
            "dropped": pool.dropped,
        },
        "backup": state.backup.stats(),
        "catalog": {
            "edits": pool.catalog_edits,
            "poisoned": pool.catalog_poisoned,
        },
        "memory": memory_of_all(&open),
        "transactions": {
            "open": open.iter().map(|(_, stats)| stats.transactions_open).sum::<u64>(),
        },
        "flush": {
            "queue_depth": pool.flush_queue_depth,
            "flushes": pool.flushes,
            "failures": pool.flush_failures,
        },
    })
}

/// The memory of each open database by part, and of all of them together.
fn memory_of_all(databases: &[(String, DbStats)]) -> Value {
    let mut total = Map::new();
    let mut by_database = Map::new();
    for (name, stats) in databases {
        let parts = memory(stats);
        for (part, bytes) in parts.as_object().into_iter().flatten() {
            let sum = total.get(part).and_then(Value::as_u64).unwrap_or(0);
            total.insert(part.clone(), json!(sum + bytes.as_u64().unwrap_or(0)));
        }
        by_database.insert(name.clone(), parts);
    }
    json!({ "total": total, "databases": by_database })
}

/// The memory of a database by part, in bytes, and how often its caches served.
fn memory(stats: &DbStats) -> Value {
    json!({
        "delta_bytes": stats.delta_bytes,
        "delta_bytes_max": stats.delta_bytes_max,
        "retired_bytes": stats.retired_bytes,
        "scan_bytes": stats.scan_bytes,
        "run_bytes": stats.run_bytes,
        "block_cache_bytes": stats.block_cache.bytes,
        "block_cache_bytes_max": stats.block_cache.capacity,
        "block_cache_hits": stats.block_cache.hits,
        "block_cache_misses": stats.block_cache.misses,
        "blocks_filtered": stats.blocks_filtered,
        "filters_damaged": stats.filters_damaged,
        "document_cache_bytes": stats.document_cache.bytes,
        "document_cache_bytes_max": stats.document_cache.capacity,
        "document_cache_hits": stats.document_cache.hits,
        "document_cache_misses": stats.document_cache.misses,
    })
}

/// Transactions since the database was opened, by how they ended, and those that are open.
fn transactions(stats: &DbStats) -> Value {
    json!({
        "open": stats.transactions_open,
        "bytes": stats.transaction_bytes,
        "committed": stats.transactions_committed,
        "rolled_back": stats.transactions_rolled_back,
        "conflicted": stats.transactions_conflicted,
        "expired": stats.transactions_expired,
    })
}

/// One database.
pub(crate) fn database(name: &str, db: &docdb_engine::Db) -> Value {
    let stats = db.stats();
    let wal = &stats.wal;
    json!({
        "name": name,
        "documents": stats.documents,
        "collections": stats.collections,
        "commits": stats.commits,
        "refused": stats.refused,
        "delayed": {
            "commits": stats.delayed,
            "seconds": stats.delayed_time.as_secs_f64(),
        },
        "visible_version": stats.visible_version,
        "poisoned": stats.poisoned,
        "checkpoint": {
            "version": stats.checkpoint_version,
            "count": stats.checkpoints,
            "last_seconds": stats.last_checkpoint.as_secs_f64(),
            "documents_done": stats.checkpoint_done,
            "documents_todo": stats.checkpoint_todo,
            "kept": stats.checkpoints_kept,
            "pinned_bytes": stats.pinned_bytes,
        },
        "wal": {
            "segments": wal.segments,
            "bytes": wal.segment_bytes,
            "file_bytes": wal.file_bytes,
            "appended_lsn": wal.appended_lsn,
            "durable_lsn": wal.durable_lsn,
            "flushes": wal.flush.groups,
            "records": wal.flush.records,
            "record_bytes": wal.flush.records_bytes,
            "records_per_flush_max": wal.flush.group_records_max,
            "flush_seconds_mean": wal.flush.flush_mean.as_secs_f64(),
            "flush_seconds_max": wal.flush.flush_max.as_secs_f64(),
        },
        "data": {
            "files": stats.data_files,
            "bytes": stats.data_bytes,
            "live_bytes": stats.data_live_bytes,
            "kept_for_snapshots_bytes": stats.data_kept_bytes,
            "runs": stats.runs,
        },
        "compaction": {
            "files": stats.compactions,
            "copied_bytes": stats.compacted_bytes,
            "last_seconds": stats.last_compaction.as_secs_f64(),
            "merges": stats.merges,
            "unaccounted": stats.unaccounted,
        },
        "healing": crate::heal::stats(&db.heal_stats()),
        "memory": memory(&stats),
        "snapshots": {
            "open": stats.snapshots,
            "oldest_seconds": stats.oldest_snapshot.as_secs_f64(),
        },
        "transactions": transactions(&stats),
    })
}
