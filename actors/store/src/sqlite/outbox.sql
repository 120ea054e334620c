-- Version 3: facts that wait to be told.
CREATE TABLE outbox (
    torrent BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    topic TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (torrent, epoch, seq)
) STRICT, WITHOUT ROWID;
