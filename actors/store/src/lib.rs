//! What outlives a process: the store traits with memory and SQLite stores.
