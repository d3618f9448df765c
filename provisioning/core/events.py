"""The words of the journal: everything that can happen in a run.

An event is a fact with a time; folding the events of a run in order gives its state. Times, jitter and anything else that
is not determined by earlier events is recorded in `data`, so that folding never needs a clock or a dice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from provisioning.core.frozen import dataclass

NO_DATA: Mapping[str, object] = MappingProxyType({})


class Kind(StrEnum):
    """Event kinds, with the keys of their data."""

    RUN_CREATED = "run_created"  # workflow (digest), name, params, trigger
    RUN_STARTED = "run_started"
    RUN_HALTING = "run_halting"  # step, reason: nothing new starts
    CANCEL_REQUESTED = "cancel_requested"  # reason; state: timed_out where its time was over
    PAUSE_REQUESTED = "pause_requested"
    RUN_PAUSED = "run_paused"
    RUN_RESUMED = "run_resumed"
    RUN_FINISHING = "run_finishing"  # state, reason: only handlers are left
    RUN_FINISHED = "run_finished"  # state, reason
    RUN_LATE = "run_late"  # sla_s
    RUN_REOPENED = "run_reopened"  # steps: run again; on_failure, max_parallel: where the policy is another now; rerun: by it
    RUN_WAITING = "run_waiting"  # steps: nothing goes on but waiting for a person
    RUN_RETRY_WAIT = "run_retry_wait"  # due (ISO time), reason: it has failed and is run again
    GATE_OPENED = "gate_opened"  # kind, name, payload
    STEP_ADDED = "step_added"  # spec
    STEP_DISPATCHED = "step_dispatched"  # target
    STEP_STARTED = "step_started"  # worker
    STEP_SUCCEEDED = "step_succeeded"  # exit_code, output, log, stdout, stderr; partial: what it did succeeded in part only
    STEP_UNCHANGED = "step_unchanged"
    STEP_FAILED = "step_failed"  # exit_code, error {kind, message}, log, stdout, stderr; passes: dependents go on all the same
    STEP_TIMED_OUT = "step_timed_out"  # as step_failed
    STEP_CANCELLED = "step_cancelled"  # reason, log
    STEP_INTERRUPTED = "step_interrupted"  # reason, error, log
    STEP_SKIPPED = "step_skipped"  # because (step id), reason, passes
    STEP_RETRY_WAIT = "step_retry_wait"  # due (ISO time), and the failed attempt as in step_failed
    STEP_REPEAT_WAIT = "step_repeat_wait"  # due, and how the attempt ended as in step_succeeded or step_failed
    STEP_RETRY_DUE = "step_retry_due"
    STEP_LATE = "step_late"  # sla_s
    STEP_LEASE_LOST = "step_lease_lost"  # reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One record of the journal. `seq` counts from 1 within the run, without gaps; 0 is not stored yet."""

    run: str
    kind: Kind
    at: datetime  # UTC
    seq: int = 0
    step: str = ""
    attempt: int = 0  # from 1
    epoch: int = 0  # fencing number of the dispatch, from 1
    actor: str = ""
    data: Mapping[str, object] = field(default_factory=lambda: NO_DATA)
