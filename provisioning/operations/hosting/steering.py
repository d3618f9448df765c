"""Asks whoever drives a run: through the inbox of its store, whether that is this server or another process. Blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from provisioning import wiring
from provisioning.core.history import RunSummary
from provisioning.core.model import NO_FIELDS, RUN_ENDED, GateKind, RunState
from provisioning.core.ports import Request
from provisioning.errors import LockedError, UsageError
from provisioning.operations import steering as formulas
from provisioning.operations.dagu import records
from provisioning.operations.dagu.approvals import check_inputs
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.dagu.removing import remove_run
from provisioning.operations.hosting.reading import Reading

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


def delete(reading: Reading, run_id: str) -> None:
    """Remove an ended run with its logs. Raises NotFoundError, UsageError for one that goes on, LockedError."""
    folder, workspace = reading.place(run_id)
    if workspace:
        formulas.delete(folder, run_id, "", force=False)
    elif not remove_run(folder, run_id):
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
    asyncio.run(_leave(folder, Request(run=run_id, kind=kind, actor=actor, data=data)))


def _check_goes_on(reading: Reading, folder: Path, summary: RunSummary) -> None:
    """Refuse what nobody would hear."""
    if summary.state in RUN_ENDED:
        raise UsageError(f"run {summary.run_id} has ended: {summary.state.value}")
    if not reading.is_lost(folder, summary):
        return
    if summary.source == SOURCE:
        raise UsageError(f"run {summary.run_id} does not go on: its process is gone", hint="retry it")
    raise UsageError(f"run {summary.run_id} has no runner any more: it was cut off", hint=formulas.CUT_OFF_HINT)


async def _leave(folder: Path, request: Request) -> None:
    store = wiring.open_store(folder)
    try:
        await store.request(request)
    finally:
        store.close()
