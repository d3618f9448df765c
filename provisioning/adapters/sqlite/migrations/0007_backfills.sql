-- Ranges of past times that a server runs, so that another one can go on with them; and restarts that were begun: what goes on
-- has been asked to stop, and the run that takes its place is not there yet.

CREATE TABLE backfills (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    actor TEXT NOT NULL,
    asked_at TEXT NOT NULL,
    parallel INTEGER NOT NULL,
    params TEXT NOT NULL,
    items TEXT NOT NULL,
    errors TEXT NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT 'going'
);
CREATE INDEX backfills_by_time ON backfills (asked_at);
ALTER TABLE schedules ADD COLUMN restarting TEXT;
