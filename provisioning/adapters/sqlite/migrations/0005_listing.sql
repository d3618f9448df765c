-- Pages of a large history between two times.

CREATE INDEX runs_by_time ON runs (created_at);
