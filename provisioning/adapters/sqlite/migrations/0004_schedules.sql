-- How far schedulers have looked at each DAG's schedule, and who has paused it.

CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    cursor TEXT,
    behind TEXT,
    paused_by TEXT NOT NULL DEFAULT '',
    paused_at TEXT
) WITHOUT ROWID;
