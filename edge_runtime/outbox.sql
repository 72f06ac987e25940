-- What the device has put down to be told later. One file, WAL, one process. Version of this layout: PRAGMA user_version = 1.
-- A table for each priority: rows come at the end and go at the beginning, so pages are full and are freed whole.
CREATE TABLE about (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    epoch    TEXT NOT NULL,                       -- random, as old as this file
    last_seq INTEGER NOT NULL,                    -- the last number that was given to a record
    seal     TEXT NOT NULL                        -- by which key payloads are sealed; empty: by none
);

CREATE TABLE dropped (
    kind     TEXT NOT NULL,
    priority INTEGER NOT NULL,
    records  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,                    -- of payloads
    PRIMARY KEY (priority, kind)
) WITHOUT ROWID;

CREATE TABLE record_1 (
    seq     INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    up_ms   INTEGER NOT NULL,
    trusted INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE record_2 (
    seq     INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    up_ms   INTEGER NOT NULL,
    trusted INTEGER NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE record_3 (
    seq     INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    up_ms   INTEGER NOT NULL,
    trusted INTEGER NOT NULL,
    payload BLOB NOT NULL
);
