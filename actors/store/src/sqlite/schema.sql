CREATE TABLE torrents (
    key INTEGER PRIMARY KEY, -- joins the tables: shorter than an id, and in the order of arrival
    id BLOB NOT NULL UNIQUE,
    v1 BLOB,
    v2 BLOB,
    name TEXT NOT NULL,
    added_ms INTEGER NOT NULL,
    is_running INTEGER NOT NULL,
    settings TEXT, -- JSON; NULL where all is as by default
    is_private INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    wanted_bytes INTEGER NOT NULL,
    have_bytes INTEGER NOT NULL,
    downloaded_bytes INTEGER NOT NULL,
    uploaded_bytes INTEGER NOT NULL,
    seeded_s INTEGER NOT NULL,
    completed_ms INTEGER,
    error TEXT
) STRICT;
CREATE INDEX torrents_by_age ON torrents (added_ms, id);
CREATE TABLE sources (
    key INTEGER PRIMARY KEY,
    is_metainfo INTEGER NOT NULL, -- else a magnet link
    data BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (key INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
