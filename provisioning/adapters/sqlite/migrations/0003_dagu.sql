-- What a step's end is worth and what it printed; Dagu runs in Dagu's words. Tasks are handed out again by a fold of the events.

DROP TABLE tasks;

ALTER TABLE steps ADD COLUMN mark TEXT NOT NULL DEFAULT '';
ALTER TABLE steps ADD COLUMN stdout TEXT NOT NULL DEFAULT '';
ALTER TABLE steps ADD COLUMN stderr TEXT NOT NULL DEFAULT '';

CREATE VIEW dag_runs AS
SELECT
    run AS id,
    name AS dag_name,
    CASE
        WHEN state = 'created' THEN 'not_started'
        WHEN state = 'queued' THEN 'queued'
        WHEN ended_at IS NULL THEN 'running'
        WHEN EXISTS (SELECT 1 FROM steps WHERE steps.run = runs.id AND steps.mark = 'rejected') THEN 'rejected'
        WHEN state = 'succeeded' THEN 'succeeded'
        WHEN state = 'partial' THEN 'partially_succeeded'
        WHEN state = 'cancelled' THEN 'aborted'
        ELSE 'failed'
    END AS status,
    "trigger",
    started_at,
    ended_at AS finished_at,
    NULLIF(reason, '') AS error
FROM runs
WHERE source = 'dagu';

CREATE VIEW dag_step_results AS
SELECT
    runs.run || '/' || steps.step AS id,
    runs.run AS run_id,
    steps.step AS step_name,
    CASE
        WHEN steps.mark = 'rejected' THEN 'rejected'
        WHEN steps.state IN ('succeeded', 'unchanged') AND steps.mark = 'partial' THEN 'partially_succeeded'
        WHEN steps.state IN ('succeeded', 'unchanged') THEN 'succeeded'
        WHEN steps.state IN ('failed', 'timed_out', 'interrupted') AND steps.mark = 'forgiven' THEN 'succeeded'
        WHEN steps.state IN ('failed', 'timed_out', 'interrupted') THEN 'failed'
        WHEN steps.state = 'skipped' AND steps.reason LIKE 'blocked:%' THEN 'aborted'
        WHEN steps.state = 'skipped' THEN 'skipped'
        WHEN steps.state = 'retry_wait' AND steps.reason LIKE 'repeated at %' THEN 'running'
        WHEN steps.state = 'retry_wait' THEN 'retrying'
        WHEN steps.state IN ('dispatched', 'running') THEN 'running'
        WHEN steps.state = 'cancelled' AND (steps.attempts > 0 OR runs.state IN ('failed', 'timed_out')) THEN 'aborted'
        ELSE 'not_started'
    END AS status,
    steps.exit_code,
    steps.stdout,
    steps.stderr,
    CAST(round(max(0, julianday(steps.ended_at) - julianday(steps.started_at)) * 86400000) AS INTEGER) AS duration_ms
FROM runs JOIN steps ON steps.run = runs.id
WHERE runs.source = 'dagu' AND steps.kind IN ('step', 'handler');
