"""Records of the core as shapes of the API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from provisioning.api.shapes.base import fault
from provisioning.api.shapes.dags import DagDetail, DagItem, LastRun, Param, Schedule
from provisioning.api.shapes.runs import Approval, Attempt, EventItem, LetterItem, Run, RunItem, StepItem
from provisioning.api.table import API
from provisioning.codec import plain
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.declared import Param as Declared
from provisioning.core.dagu.report import RunReport
from provisioning.core.events import Event
from provisioning.core.history import AttemptRecord, DeadLetter, RunSummary, StepRecord
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.operations.dagu.logs import files_of
from provisioning.operations.dagu.params import declared
from provisioning.operations.hosting.library import Shelved
from provisioning.operations.hosting.reading import Found, word_for

Facts = dict[str, Any]
"""Fields of a shape: pydantic checks them."""
PAUSED = frozenset({RunState.PAUSING, RunState.PAUSED})


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Return how long something took; None while it goes on."""
    return max(0.0, (end - start).total_seconds()) if start is not None and end is not None else None


# ---------------------------------------------------------------- DAGs


def dag_item(one: Shelved, recent: Iterable[RunSummary] = ()) -> DagItem:
    """Return a line of the list of DAGs. `recent` are its newest runs, the newest first."""
    return DagItem(**_dag_facts(one, recent))


def dag_detail(one: Shelved, recent: Iterable[RunSummary] = ()) -> DagDetail:
    """Return one DAG with what can be given to it."""
    dag = one.entry.reading.dag
    return DagDetail(**_dag_facts(one, recent), **(_dag_more(dag) if dag is not None else {}))


def schedule_of(dag: DagFile | None) -> Schedule:
    """Return when a DAG starts, stops and starts anew."""
    if dag is None:
        return Schedule()
    found = dag.schedule
    return Schedule(
        start=[cron.expression for cron in found.start],
        stop=[cron.expression for cron in found.stop],
        restart=[cron.expression for cron in found.restart],
        at=list(found.at),
    )


def _dag_facts(one: Shelved, recent: Iterable[RunSummary]) -> Facts:
    entry, dag = one.entry, one.entry.reading.dag
    runs = [last_run(run) for run in recent]
    said: Facts = {}
    if dag is not None:
        said = {
            "description": dag.description,
            "group": dag.group,
            "type": dag.type.value,
            "steps": len(dag.steps),
            "labels": dict(dag.labels),
        }
    return {
        "name": entry.name,
        "file": entry.file,
        **said,
        "schedule": schedule_of(dag),
        "next_run": one.next_start,
        "suspended": entry.suspended,
        "valid": not entry.faults,
        "faults": [fault(each) for each in entry.faults],
        "status": runs[0].status if runs else None,
        "last_run": runs[0] if runs else None,
        "recent": runs[::-1],
    }


def _dag_more(dag: DagFile) -> Facts:
    return {
        "params": [_param(one) for one in declared(dag)],
        "params_text": dag.params_text.raw if dag.params_text is not None else None,
        "max_active_runs": dag.max_active_runs,
        "queue": dag.queue,
        "overlap_policy": dag.overlap_policy.value,
        "catchup_window_s": dag.catchup_window_s,
        "skip_if_successful": dag.skip_if_successful,
    }


def _param(one: Declared) -> Param:
    default = one.default or one.evaluated
    return Param(
        name=one.name,
        default=default.raw if default is not None else None,
        type=one.type,
        required=one.required,
        enum=list(one.enum),
        minimum=one.minimum,
        maximum=one.maximum,
        min_length=one.min_length,
        max_length=one.max_length,
        pattern=one.pattern,
        description=one.description,
    )


def last_run(run: RunSummary) -> LastRun:
    """Return a run as a bar of a sparkline."""
    took = seconds(run.started_at, run.ended_at)
    return LastRun(run_id=run.run_id, status=word_for(run), started_at=run.started_at, ended_at=run.ended_at, duration_s=took)


# ---------------------------------------------------------------- runs


def run_item(run: RunSummary, *, status: str, workspace: str = "") -> RunItem:
    """Return a line of a list of runs."""
    return RunItem(**_run_facts(run, status, workspace))


def run(found: Found, *, steps: bool = True) -> Run:
    """Return one run with its steps."""
    detail, told = found.detail, found.report
    facts = _run_facts(detail.summary, found.status, found.workspace)
    facts["reason"] = told.reason if told is not None else detail.summary.reason
    if told is not None and told.lost:
        facts["exit_code"] = 1
    given = detail.params.get("params")
    pairs = [[name, value] for name, value in given] if isinstance(given, list) else []
    return Run(
        **facts,
        params=plain(pairs),
        outputs=plain(dict(detail.outputs)),
        steps=run_steps(found) if steps else [],
        waiting=[one.step for one in found.waiting],
        approvals=[Approval.model_validate(one, from_attributes=True) for one in found.waiting],
        paused=detail.summary.state in PAUSED,
        lost=found.lost,
    )


def run_steps(found: Found) -> list[StepItem]:
    """Return the steps of a run, in Dagu's words where it is one of Dagu's."""
    told: RunReport | None = found.report
    if told is not None:
        return [step(found.detail.run_id, one.record, one.status.value) for one in told.steps]
    return [step(found.detail.run_id, one, one.state.value) for one in found.detail.steps]


def step(run_id: str, one: StepRecord, state: str) -> StepItem:
    """Return one step as it stands."""
    return StepItem(
        id=one.step,
        kind=one.kind,
        formula=one.formula,
        server=one.server,
        taskserv=one.taskserv,
        state=state,
        reason=one.reason,
        because=one.because,
        error_kind=one.error_kind,
        error=one.error,
        attempts=one.attempts,
        exit_code=one.exit_code,
        started_at=one.started_at,
        ended_at=one.ended_at,
        late_at=one.late_at,
        log=log_link(run_id, one.step) if one.attempts else "",
        stdout=one.stdout,
        stderr=one.stderr,
    )


def log_link(run_id: str, step_id: str, attempt: int | None = None) -> str:
    """Return where to read what a step printed."""
    which = f"?attempt={attempt}" if attempt is not None else ""
    return f"{API}/runs/{run_id}/steps/{quote(step_id, safe='')}/log{which}"


def attempt(run_id: str, one: AttemptRecord) -> Attempt:
    """Return one try of a step."""
    streams: list[Any] = [stream for stream, _path in files_of(one.log)]
    return Attempt(
        step=one.step,
        attempt=one.attempt,
        epoch=one.epoch,
        worker=one.worker,
        state=one.state.value,
        exit_code=one.exit_code,
        error_kind=one.error_kind,
        error=one.error,
        started_at=one.started_at,
        ended_at=one.ended_at,
        log=log_link(run_id, one.step, one.attempt),
        streams=streams or ["stdout"],
    )


def event(one: Event) -> EventItem:
    """Return one record of the journal."""
    return EventItem(
        seq=one.seq,
        kind=one.kind.value,
        at=one.at,
        step=one.step,
        attempt=one.attempt,
        epoch=one.epoch,
        actor=one.actor,
        data={key: plain(value) for key, value in one.data.items() if key != "log"},
    )


def letter(one: DeadLetter, workspace: str) -> LetterItem:
    """Return a dead letter."""
    return LetterItem(
        id=one.id,
        run_id=one.run_id,
        workflow=one.workflow,
        workspace=workspace,
        step=one.step,
        attempt=one.attempt,
        error_kind=one.error_kind,
        error=one.error,
        died_at=one.died_at,
        replayed_at=one.replayed_at,
        replayed_by=one.replayed_by,
        replayed_attempt=one.replayed_attempt,
    )


def _run_facts(run: RunSummary, status: str, workspace: str) -> Facts:
    return {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "kind": run.source or "python",
        "workspace": workspace,
        "status": status,
        "reason": run.reason,
        "exit_code": run.exit_code,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_s": seconds(run.started_at, run.ended_at),
        "late_at": run.late_at,
        "trigger": run.trigger,
        "actor": run.actor,
        "labels": dict(run.labels),
        "ended": run.state in RUN_ENDED,
        "last_seq": run.last_seq,
    }
