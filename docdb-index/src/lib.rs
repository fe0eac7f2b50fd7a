//! A sharded in-memory delta of versions over immutable sorted runs.
