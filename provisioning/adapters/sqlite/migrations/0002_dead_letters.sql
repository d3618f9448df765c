-- Attempts that were the last ones of their step and failed, and what became of them; labels; runs and steps that were late.

CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    error_kind TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    died_at TEXT NOT NULL,
    replayed_at TEXT,
    replayed_by TEXT NOT NULL DEFAULT '',
    replayed_attempt INTEGER,
    UNIQUE (run, step, attempt)
);

ALTER TABLE runs ADD COLUMN late_at TEXT;
ALTER TABLE runs ADD COLUMN labels TEXT;
ALTER TABLE steps ADD COLUMN late_at TEXT;
