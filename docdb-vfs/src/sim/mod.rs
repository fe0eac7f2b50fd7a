//! A disk in memory that loses power.
