-- The journal of every run, and what is derived from it in the same transaction.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE workflows (
    digest TEXT PRIMARY KEY,
    body BLOB NOT NULL
);

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL DEFAULT '',
    name TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'created',
    reason TEXT NOT NULL DEFAULT '',
    created_at TEXT NOT NULL,
    started_at TEXT,
    ended_at TEXT,
    trigger TEXT NOT NULL DEFAULT '',
    actor TEXT NOT NULL DEFAULT '',
    params TEXT,
    last_seq INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER
);
CREATE INDEX runs_by_name ON runs (name, id);
CREATE INDEX runs_by_state ON runs (state, id);
CREATE INDEX runs_by_digest ON runs (digest);

CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;

CREATE TABLE steps (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    kind TEXT NOT NULL DEFAULT 'step',
    formula TEXT NOT NULL DEFAULT '',
    server TEXT NOT NULL DEFAULT '',
    taskserv TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'pending',
    reason TEXT NOT NULL DEFAULT '',
    because TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    error_kind TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    started_at TEXT,
    ended_at TEXT,
    log TEXT NOT NULL DEFAULT '',
    output TEXT,
    output_name TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, step)
) WITHOUT ROWID;

CREATE TABLE attempts (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    worker TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL DEFAULT 'dispatched',
    exit_code INTEGER,
    error_kind TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    started_at TEXT,
    ended_at TEXT,
    log TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, step, attempt, epoch)
) WITHOUT ROWID;

CREATE TABLE tasks (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, step)
) WITHOUT ROWID;

CREATE TABLE timers (
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, step, attempt, kind)
) WITHOUT ROWID;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX requests_by_run ON requests (run);
