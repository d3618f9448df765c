"""Asks whoever drives a run: through the inbox of its store, whether that is this server or another process. Blocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from provisioning import wiring
from provisioning.core.decide import Extent
from provisioning.core.history import DeadLetter, RunSummary
from provisioning.core.model import NO_FIELDS, RUN_ENDED, GateKind, RunState
from provisioning.core.ports import Request
from provisioning.engine.runner import load
from provisioning.errors import LockedError, UsageError, WaitTimeout
from provisioning.operations import steering as formulas
from provisioning.operations.dagu import records
from provisioning.operations.dagu.approvals import check_inputs
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.removing import remove_run
from provisioning.operations.hosting.reading import Reading
from provisioning.operations.orders import ORDERS, refuse_retry

HEARD_WITHIN_S, LOOK_S = 10.0, 0.05
PAUSED = frozenset({RunState.PAUSING, RunState.PAUSED})


def cancel(reading: Reading, run_id: str, actor: str, reason: str) -> None:
    """Stop a run. Raises NotFoundError, UsageError for one that does not go on."""
    _ask(reading, run_id, actor, "cancel", {"reason": reason or "stopped"})


def pause(reading: Reading, run_id: str, actor: str) -> None:
    """Have a run start nothing new. Raises as `cancel`, and for one that is not running."""
    summary = reading.summary(run_id)
    if summary.state is not RunState.RUNNING and summary.state not in RUN_ENDED:
        raise UsageError(f"run {run_id} is not running: it is {summary.state.value}")
    _ask(reading, run_id, actor, "pause")


def resume(reading: Reading, run_id: str, actor: str) -> None:
    """Have a paused run go on. Raises as `cancel`, and for one that is not paused."""
    summary = reading.summary(run_id)
    if summary.state not in PAUSED and summary.state not in RUN_ENDED:
        raise UsageError(f"run {run_id} is not paused: it is {summary.state.value}")
    _ask(reading, run_id, actor, "resume")


def open_gate(reading: Reading, run_id: str, actor: str, kind: GateKind, name: str, payload: object) -> None:
    """Send a signal. Raises as `cancel`."""
    _ask(reading, run_id, actor, "open_gate", {"kind": kind.value, "name": name, "payload": payload})


def approve(reading: Reading, run_id: str, actor: str, step: str, inputs: Mapping[str, str]) -> None:
    """Approve a step that waits. Raises as `cancel`, UsageError for one that does not wait or for wrong inputs."""
    _check_waits(reading, run_id, step)
    folder, _workspace = reading.place(run_id)
    check_inputs(records.flow_of(folder, reading.summary(run_id)), step, inputs)
    _ask(reading, run_id, actor, "open_gate", _gate(step, dict(inputs)))


def reject(reading: Reading, run_id: str, actor: str, step: str, reason: str) -> None:
    """Reject a step that waits. Raises as `approve`."""
    _check_waits(reading, run_id, step)
    _ask(reading, run_id, actor, "reject", {**_gate(step, None), "reason": reason})


def retry(reading: Reading, run_id: str, actor: str, step: str | None) -> None:
    """Have a run of a program run again by the process that drives it. Raises NotFoundError, UsageError, WaitTimeout."""
    folder, _workspace = reading.place(run_id)
    asyncio.run(_check_retry(folder, run_id, step))
    _order(reading, folder, run_id, "retry", actor, {"run": run_id, "from_step": step or ""})


def replay(reading: Reading, folder: Path, letter: DeadLetter, actor: str) -> None:
    """Have a failed step of a program's run run again by the process that drives it. Raises as `retry`."""
    _order(reading, folder, letter.run_id, "replay", actor, {"run": letter.run_id, "step": letter.step})


def delete(reading: Reading, run_id: str) -> None:
    """Remove an ended run with its logs. Raises NotFoundError, UsageError for one that goes on, LockedError."""
    folder, workspace = reading.place(run_id)
    if workspace:
        formulas.delete(folder, run_id, "", force=False, reach=reading.reach_of(folder))
    elif not remove_run(folder, run_id, reading.reach_of(folder)):
        raise LockedError(f"somebody works with run {run_id}", hint="try again in a moment")


def _check_waits(reading: Reading, run_id: str, step: str) -> None:
    found = reading.run(run_id)
    _check_goes_on(reading, found.folder, found.detail.summary)
    names = [one.step for one in found.waiting]
    if step not in names:
        hint = f"waiting are: {', '.join(names)}" if names else "no step of it waits for a person"
        raise UsageError(f"step {step} of run {run_id} does not wait for a person", hint=hint)


def _gate(step: str, payload: object) -> dict[str, object]:
    return {"kind": GateKind.APPROVAL.value, "name": step, "payload": payload}


def _ask(reading: Reading, run_id: str, actor: str, kind: str, data: Mapping[str, object] = NO_FIELDS) -> None:
    folder, _workspace = reading.place(run_id)
    _check_goes_on(reading, folder, reading.summary(run_id))
    request = Request(run=run_id, kind=kind, actor=actor, data=data)
    reading.reach_of(folder).within(folder, lambda store: store.request(request))


def _check_goes_on(reading: Reading, folder: Path, summary: RunSummary) -> None:
    """Refuse what nobody would hear."""
    if summary.state in RUN_ENDED:
        raise UsageError(f"run {summary.run_id} has ended: {summary.state.value}")
    if not reading.is_lost(folder, summary):
        return
    if summary.source == SOURCE:
        raise UsageError(f"run {summary.run_id} does not go on: its process is gone", hint="retry it")
    raise UsageError(f"run {summary.run_id} has no runner any more: it was cut off", hint=formulas.CUT_OFF_HINT)


def _order(reading: Reading, folder: Path, run_id: str, kind: str, actor: str, data: Mapping[str, object]) -> None:
    """Ask whoever drives the folder, and wait until something has come of it."""
    reach = reading.reach_of(folder)
    if not reach.lasting and not reach.driven(folder):
        raise UsageError(f"no process drives run {run_id}: it is of a program", hint="start that program, and try again")
    before, until_s = reading.summary(run_id).last_seq, time.monotonic() + HEARD_WITHIN_S
    request = Request(run=ORDERS, kind=kind, actor=actor, data=data)
    reach.within(folder, lambda store: store.request(request))
    while reading.summary(run_id).last_seq == before:
        if time.monotonic() > until_s:
            raise WaitTimeout(f"the process that drives run {run_id} does not answer", hint="it is done as soon as it does")
        time.sleep(LOOK_S)


async def _check_retry(folder: Path, run_id: str, step: str | None) -> None:
    store = wiring.open_store(folder)
    try:
        refuse_retry(await load(store, run_id), step, Extent.NEEDED, wiring.clock())
    finally:
        store.close()
