"""Runs another workflow to its end, as a run of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from provisioning.codec import CodecError, build
from provisioning.core.model import STEP_GOOD, RunState, Workflow
from provisioning.core.naming import id_from
from provisioning.core.ports import Outcome, Task
from provisioning.core.run import Run
from provisioning.engine.actions import Context, Result, Traits
from provisioning.errors import StaleRevision

GOOD = frozenset({RunState.SUCCEEDED, RunState.PARTIAL})


class Runs(Protocol):
    """The runner, as far as this action needs it."""

    async def submit(
        self,
        run_id: str,
        workflow: Workflow,
        *,
        trigger: str = "manual",
        actor: str = "",
        params: Mapping[str, object] | None = None,
    ) -> Run:
        """Create a run and start it. Raises StaleRevision when the id exists."""
        ...

    async def ended(self, run_id: str) -> Run:
        """Wait until the run has ended."""
        ...

    async def cancel(self, run_id: str, reason: str, actor: str = "") -> None:
        """Ask for a run to be cancelled."""
        ...


class WorkflowAction:
    """The action `workflow`: `{workflow: the compiled workflow, params}`. The results of its steps, by id, are the output.

    The inner run's id follows from the attempt, so that an attempt that lost its worker goes on with the same run.
    """

    traits = Traits(eager_log=False, own_time=False)

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def run(self, task: Task, context: Context) -> Result:
        """Run it. When cancelled, cancel the inner run and wait for its end."""
        settings = task.action.settings
        try:
            inner = build(settings.get("workflow"), Workflow)
        except CodecError as error:
            return Result(outcome=Outcome.FAILED, error_kind="settings", error=f"no workflow: {error}", retryable=False)
        run_id = inner_run_id(task)
        params = settings.get("params")
        context.note(f"run {run_id} of {inner.name}")
        try:
            await self._runs.submit(
                run_id, inner, trigger=f"run:{task.run}/{task.step}", params=params if isinstance(params, Mapping) else {}
            )
        except StaleRevision:  # an earlier worker had it, or has: it is the same run
            context.note("it was begun before")
        try:
            run = await self._runs.ended(run_id)
        except asyncio.CancelledError:
            await self._runs.cancel(run_id, f"run {task.run} was stopped")
            await self._runs.ended(run_id)
            raise
        return _result(run)


def inner_run_id(task: Task) -> str:
    """Return the id of the run that an attempt is."""
    return id_from(task.run, task.step, str(task.attempt))


def _result(run: Run) -> Result:
    outputs = {id: step.output for id, step in run.steps.items() if step.state in STEP_GOOD and step.output is not None}
    if run.state in GOOD:
        return Result(outcome=Outcome.OK, output=outputs)
    word = run.state.value.replace("_", " ")
    message = f"run {run.id} {word}: {run.reason}" if run.reason else f"run {run.id} {word}"
    outcome = Outcome.TIMED_OUT if run.state is RunState.TIMED_OUT else Outcome.FAILED
    return Result(outcome=outcome, error_kind="workflow", error=message)
