-- The device's memory. One file, WAL, every commit durable. Version of this layout: PRAGMA user_version = 1.
CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;                                  -- starts, report_seq, desired_seq, desired_fence

CREATE TABLE desired (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    payload BLOB NOT NULL                         -- the last desired document that was obeyed, its seal opened
);

CREATE TABLE installation (
    model    TEXT PRIMARY KEY,
    document BLOB NOT NULL                        -- toolkit.protocol.installation.Installation as JSON
) WITHOUT ROWID;

CREATE TABLE artifact (
    artifact TEXT PRIMARY KEY,
    model    TEXT NOT NULL,
    sealed   BLOB NOT NULL,                       -- the manifest as it came, seal and all
    chunks   INTEGER NOT NULL DEFAULT 0,
    bitmap   BLOB NOT NULL DEFAULT x'',           -- of the part file; written after the data is durable
    seeded   INTEGER NOT NULL DEFAULT 0,
    received INTEGER NOT NULL DEFAULT 0,
    resent   INTEGER NOT NULL DEFAULT 0,
    bad      INTEGER NOT NULL DEFAULT 0,
    patched  INTEGER NOT NULL DEFAULT 0           -- chunks that a patch made
) WITHOUT ROWID;
