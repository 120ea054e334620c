//! The EventLog trait with memory and SQLite logs.
