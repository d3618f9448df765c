-- What is seldom in a large history: runs of one DAG in one state, runs that somebody has rejected, dead letters by what became of them.

CREATE INDEX runs_by_name_and_state ON runs (name, state, id);
CREATE INDEX steps_rejected ON steps (run) WHERE mark = 'rejected';
CREATE INDEX dead_letters_waiting ON dead_letters (id) WHERE replayed_at IS NULL;
CREATE INDEX dead_letters_replayed ON dead_letters (id) WHERE replayed_at IS NOT NULL;
