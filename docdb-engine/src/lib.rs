//! One embedded ACID database of JSON documents.
