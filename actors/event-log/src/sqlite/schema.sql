CREATE TABLE topics (
    name TEXT NOT NULL PRIMARY KEY,
    partitions INTEGER NOT NULL,
    age_ms INTEGER, -- for a compacted topic: of what is told of keys that are gone
    partition_bytes INTEGER,
    is_compacted INTEGER NOT NULL
) STRICT;
CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    low INTEGER NOT NULL DEFAULT 0,
    high INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
) STRICT;
CREATE TABLE log (
    partition_id INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    key BLOB NOT NULL,
    ts_ms INTEGER NOT NULL,
    headers BLOB, -- NULL where there are none
    payload BLOB,
    size INTEGER NOT NULL,
    PRIMARY KEY (partition_id, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE offsets (
    "group" TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY ("group", topic, partition)
) STRICT, WITHOUT ROWID;
