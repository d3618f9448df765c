"""Workflows whose end depends on nothing but the script of their outcomes, and what is to be the same in the end."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from support.engine import Doer
from support.generated import Script, scripted

from provisioning.core.model import OnFailure, Retry, Workflow
from provisioning.core.ports import Outcome, Task
from provisioning.core.run import Run
from provisioning.engine.actions import Context, Result

AT_ONCE = Retry(attempts=3, base_s=0)


def doing(script: Script) -> Doer:
    """Return an action that ends as the script says."""

    async def do(task: Task, _context: Context) -> Result:
        end = scripted(script, task)
        return Result(
            outcome=end.outcome,
            error_kind="" if end.outcome is Outcome.OK else "scripted",
            output=f"{task.step} {task.attempt}",
            passes=end.passes,
            partial=end.partial,
            wait_s=end.wait_s,
            again=end.again,
        )

    return Doer(do)


def calm(flow: Workflow) -> Workflow:
    """Return the workflow without what makes its end depend on who is first: a failure that stops the others."""
    policy = flow.policy
    if policy.on_failure is OnFailure.FAIL:
        policy = replace(policy, on_failure=OnFailure.SKIP_DOWNSTREAM)
    steps = tuple(replace(step, retry=step.retry and AT_ONCE) for step in flow.steps)
    return replace(flow, steps=steps, policy=replace(policy, rerun=AT_ONCE))


def ends(run: Run) -> object:
    """Return all that is to be the same in the end."""
    steps = {
        id: (step.state.value, step.attempt, step.output, step.error_kind, step.passes, step.partial)
        for id, step in run.steps.items()
    }
    return run.state.value, run.reason, run.reruns, run.has_waited, steps


def but_waiting(end: object) -> object:
    """Return an end without whether the run ever waited.

    An approval that a dead leader asked for may be there before the next one comes to wait for it.
    """
    state, reason, reruns, _has_waited, steps = cast("tuple[object, ...]", end)
    return state, reason, reruns, steps
