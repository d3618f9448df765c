"""Workflows and scripts of outcomes for property tests."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hypothesis import strategies as st
from support.simulate import NOOP, End

from provisioning.core.model import Dep, Gate, GateKind, HandlerOn, On, OnFailure, Policy, Retry, Step, Workflow
from provisioning.core.ports import Outcome, Task

Script = Mapping[tuple[str, int], End]
_ONS = st.sampled_from([On.SUCCESS, On.SUCCESS, On.DONE, On.FAILED])
_RETRIES = st.sampled_from([None, None, Retry(attempts=2, base_s=1), Retry(attempts=3, base_s=1)])
_BAD = (Outcome.FAILED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.UNKNOWN)
_AGAIN = {"wait_s": 0.0, "again": True}
_PASSES = {"passes": True}
_ENDS = (
    *(End(outcome=outcome) for outcome in _BAD * 3),
    *(End(outcome=outcome, **_PASSES) for outcome in (*_BAD, Outcome.SKIPPED, Outcome.SKIPPED, Outcome.OK)),  # type: ignore[arg-type]
    *(End(outcome=Outcome.FAILED, wait_s=0.0, again=again) for again in (None, False, True)),
    End(outcome=Outcome.SKIPPED),
    End(outcome=Outcome.SKIPPED, partial=True),
    End(partial=True),
    End(partial=True, **_AGAIN),  # type: ignore[arg-type]
    End(wait_s=0.0),
)
_STOPS = (
    End(stops="enough"),
    End(outcome=Outcome.FAILED, stops="enough", wait_s=0.0),
    End(outcome=Outcome.SKIPPED, stops="no"),
)
GO = Gate(kind=GateKind.SIGNAL, name="go")
APPROVALS = tuple(Gate(kind=GateKind.APPROVAL, name=name) for name in ("one", "two"))


def _some(gates: tuple[Gate, ...]) -> st.SearchStrategy[tuple[Gate, ...]]:
    return st.lists(st.sampled_from(gates), unique=True).map(tuple) if gates else st.just(())


@st.composite
def flows(draw: st.DrawFn, most: int = 8, *, gates: tuple[Gate, ...] = (GO, *APPROVALS)) -> Workflow:
    """Workflows with every kind of edge, flags, policies, limits, handlers, and gates that somebody has to open."""
    steps: list[Step] = []
    for number in range(draw(st.integers(1, most))):
        before = draw(st.lists(st.sampled_from([step.id for step in steps]), unique=True, max_size=3)) if steps else []
        steps.append(
            Step(
                id=f"s{number}",
                action=NOOP,
                deps=tuple(Dep(step=id, on=draw(_ONS)) for id in before),
                kind="setup" if draw(st.integers(0, 5)) == 0 else "step",
                gates=draw(_some(gates)) if draw(st.integers(0, 5)) == 0 else (),
                optional=draw(st.booleans()),
                critical=draw(st.booleans()),
                after_failure=draw(st.integers(0, 4)) == 0,
                retry=draw(_RETRIES),
                keys=("k",) if draw(st.integers(0, 3)) == 0 else (),
                pools=("p",) if draw(st.integers(0, 3)) == 0 else (),
                priority=draw(st.integers(0, 2)),
            )
        )
    handlers = draw(st.lists(st.sampled_from(list(HandlerOn)), unique=True, max_size=3))
    for on in sorted(handlers, key=lambda each: each is HandlerOn.EXIT):
        others = tuple(Dep(step=f"on-{each.value}", on=On.DONE) for each in handlers if each is not on)
        deps = others if on is HandlerOn.EXIT else ()
        steps.append(Step(id=f"on-{on.value}", action=NOOP, handler=on, deps=deps, optional=draw(st.booleans())))
    limit = draw(st.sampled_from([0, 0, 1, 2]))
    policy = Policy(on_failure=draw(st.sampled_from(list(OnFailure))), max_parallel=limit)
    return Workflow(name="generated", steps=tuple(steps), pools={"p": draw(st.integers(1, 2))}, policy=policy)


@st.composite
def scripts(draw: st.DrawFn, *, stops: bool = True) -> Script:
    """How the attempts of steps end; what is not there succeeds. With `stops`, some cancel the run."""
    dice, rate = random.Random(draw(st.integers(0, 2**32))), draw(st.sampled_from([0.0, 0.2, 0.5]))
    names = [*(f"s{number}" for number in range(8)), *(f"on-{on}" for on in HandlerOn)]
    ends = (*_ENDS, *_STOPS) if stops else _ENDS
    return {(name, attempt): dice.choice(ends) for name in names for attempt in range(1, 9) if dice.random() < rate}


def scripted(script: Script, task: Task) -> End:
    """Return how this attempt ends."""
    return script.get((task.step, task.attempt), End())
