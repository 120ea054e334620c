-- Version 2: who lives, and who owns what.
ALTER TABLE torrents ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE torrents ADD COLUMN owner TEXT; -- a node's name; NULL where nobody owns it
ALTER TABLE torrents ADD COLUMN owner_incarnation INTEGER NOT NULL DEFAULT 0;
CREATE INDEX torrents_by_owner ON torrents (owner, id);
CREATE TABLE nodes (
    name TEXT NOT NULL PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    state INTEGER NOT NULL, -- 0 up, 1 draining, 2 dead
    lease_until_ms INTEGER NOT NULL,
    data_id BLOB NOT NULL,
    address TEXT NOT NULL,
    weight INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
