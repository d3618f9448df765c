"""Puts steps and workflows together from what a front end was told, and refuses what cannot work.

Everything here is pure; the builder and running steps that add others are its callers.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import field, replace

from provisioning.core.cycles import cycles
from provisioning.core.frozen import dataclass
from provisioning.core.model import (
    ANYWHERE,
    NO_LABELS,
    Action,
    Breaker,
    Dep,
    Fallback,
    Gate,
    GateKind,
    HandlerOn,
    On,
    Placement,
    Repeat,
    Retry,
    Step,
    Workflow,
)
from provisioning.core.suggest import nearest
from provisioning.core.values import Payload, Ref, refs
from provisioning.errors import UsageError

LONGEST_ID = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for in a step, by ids. Left out is as in `core.model.Step`."""

    after: Sequence[str] = ()
    after_any: Sequence[str] = ()
    optional: bool = False
    critical: bool = False
    retry: Retry | None = None
    repeat: Repeat | None = None
    breaker: Breaker | None = None
    timeout_s: float | None = None
    sla_s: float | None = None
    on_target: str | None = None
    colocate_with: str | None = None
    follow_target_of: str | None = None
    colocate_here: bool = False
    selector: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    if_gone: str = Fallback.WAIT.value
    pools: Sequence[str] = ()
    keys: Sequence[str] = ()
    priority: int = 0
    signals: Sequence[str] = ()
    break_before: bool = False
    break_after: bool = False
    handler: HandlerOn | None = None
    after_failure: bool = False
    kind: str = "step"
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


def make_step(id: str, action: Action, args: object, wish: Wish) -> Step:
    """Return the step. Raises UsageError for an id or numbers that cannot be."""
    _check_id(id)
    _check_numbers(id, wish)
    found = list(refs(args)) if args is not None else []
    return Step(
        id=id,
        kind=wish.kind,
        action=action,
        args=args,
        deps=_deps(wish, [ref for ref in found if isinstance(ref, Ref)]),
        gates=_gates(id, wish, [ref.signal for ref in found if isinstance(ref, Payload)]),
        optional=wish.optional,
        forgiven=wish.optional,
        critical=wish.critical,
        after_failure=wish.after_failure,
        handler=wish.handler,
        break_after=wish.break_after,
        retry=wish.retry,
        repeat=wish.repeat,
        breaker=wish.breaker,
        timeout_s=wish.timeout_s,
        sla_s=wish.sla_s,
        placement=_placement(id, wish),
        pools=tuple(dict.fromkeys(wish.pools)),
        keys=tuple(dict.fromkeys(wish.keys)),
        priority=wish.priority,
        labels=wish.labels,
    )


def finish(workflow: Workflow) -> Workflow:
    """Return the workflow with what only the whole of it tells: breakpoints behind steps, the order of its handlers.

    Raises UsageError when it is empty, needs what it does not have, or goes in a circle.
    """
    if not workflow.name.strip():
        raise UsageError("a workflow needs a name", hint="Workflow('nightly-backup')")
    if not workflow.steps:
        raise UsageError(f"workflow {workflow.name} has no steps", hint="add some with `step`")
    _check_known(workflow)
    _check_following(workflow)
    breaking = {step.id for step in workflow.steps if step.break_after}
    steps = tuple(stopped_behind(step, breaking) for step in _handlers_last(workflow.steps))
    _check_cycles(workflow.name, steps)
    return replace(workflow, steps=steps)


def stopped_behind(step: Step, breaking: Container[str]) -> Step:
    """Return the step, stopped at the breakpoints behind those it depends on."""
    wanted = [Gate(kind=GateKind.BREAKPOINT, name=f"after:{dep.step}") for dep in step.deps if dep.step in breaking]
    new = tuple(gate for gate in wanted if gate not in step.gates)
    return replace(step, gates=(*step.gates, *new)) if new else step


# ---------------------------------------------------------------- one step


def _check_id(id: str) -> None:
    if not id or len(id) > LONGEST_ID or not id.isprintable() or id != id.strip():
        shown = id if len(id) <= LONGEST_ID else id[:LONGEST_ID] + "..."
        raise UsageError(
            f"{shown!r} is no step id", hint=f"use 1 to {LONGEST_ID} printable characters without spaces around them"
        )


def _check_numbers(id: str, wish: Wish) -> None:
    for name, value in (("timeout_s", wish.timeout_s), ("sla_s", wish.sla_s)):
        if value is not None and not value > 0:
            raise UsageError(f"step {id}: {name} is {value}, expected more than 0")
    check_retry(f"step {id}", wish.retry)


def check_retry(who: str, retry: Retry | None) -> None:
    """Raise UsageError for a retry policy that cannot be."""
    if retry is None:
        return
    wrong = {
        "attempts": retry.attempts < 1,
        "base_s": not retry.base_s >= 0,
        "max_s": not retry.max_s >= 0,
        "jitter": not 0 <= retry.jitter <= 1,
        "factor": not retry.factor > 0,
    }
    for name in [name for name, bad in wrong.items() if bad]:
        raise UsageError(f"{who}: retry.{name} is {getattr(retry, name)}", hint="attempts from 1, times from 0, jitter 0 to 1")


def _deps(wish: Wish, found: Sequence[Ref]) -> tuple[Dep, ...]:
    """Return the edges, one for each step: that it has to succeed is more than that it has to end."""
    on: dict[str, On] = {}
    needed = [*wish.after, *(ref.step for ref in found if not ref.has_default), *_beside(wish)]
    for id in needed:
        on[id] = On.SUCCESS
    for id in (*wish.after_any, *(ref.step for ref in found if ref.has_default)):
        on.setdefault(id, On.DONE)
    return tuple(Dep(step=id, on=kind) for id, kind in on.items())


def _beside(wish: Wish) -> list[str]:
    return [id for id in (wish.colocate_with, wish.follow_target_of) if id is not None]


def _gates(id: str, wish: Wish, payloads: Sequence[str]) -> tuple[Gate, ...]:
    gates = [Gate(kind=GateKind.SIGNAL, name=name) for name in (*wish.signals, *payloads)]
    if wish.break_before:
        gates.append(Gate(kind=GateKind.BREAKPOINT, name=f"before:{id}"))
    return tuple(dict.fromkeys(gates))


def _placement(id: str, wish: Wish) -> Placement:
    chosen = [name for name in ("on_target", "colocate_with", "follow_target_of") if getattr(wish, name) is not None] + (
        ["colocate_here"] if wish.colocate_here else []
    )
    if len(chosen) > 1:
        raise UsageError(f"step {id} is placed twice: {' and '.join(chosen)}", hint="give one of them")
    if wish.colocate_here:
        raise UsageError(
            f"step {id}: colocate_here is for steps that a running step adds",
            hint="use colocate_with and the id of the step whose worker is meant",
        )
    if not chosen and not wish.selector:
        return ANYWHERE
    return Placement(
        target=wish.on_target,
        colocate_with=wish.colocate_with,
        follow_target_of=wish.follow_target_of,
        selector=_selector(id, wish, chosen),
        fallback=fallback_of(id, wish),
    )


def _selector(id: str, wish: Wish, chosen: Sequence[str]) -> Mapping[str, str]:
    """Return the labels that the worker has to have. A step that belongs beside another one goes where that went."""
    if wish.selector and chosen and wish.on_target is None:
        raise UsageError(f"step {id} is placed twice: {chosen[0]} and selector", hint="give one of them")
    odd = next((name for name, value in wish.selector.items() if not isinstance(value, str) or not name), None)
    if odd is not None:
        raise UsageError(f"step {id}: the selector's label {odd!r} is no text", hint='selector={"gpu": "yes"}')
    return dict(wish.selector) or NO_LABELS


def fallback_of(id: str, wish: Wish) -> Fallback:
    """Return what the step does while no worker is there for it. Raises UsageError for another word."""
    try:
        return Fallback(wish.if_gone)
    except ValueError:
        known = ", ".join(one.value for one in Fallback)
        raise UsageError(f"step {id}: if_gone is {wish.if_gone!r}, expected one of {known}") from None


# ---------------------------------------------------------------- the whole


def _check_known(workflow: Workflow) -> None:
    known: dict[str, None] = {}
    for step in workflow.steps:
        if step.id in known:
            raise UsageError(f"workflow {workflow.name} has two steps {step.id}", hint="ids are unique in a workflow")
        known[step.id] = None
    for step in workflow.steps:
        for dep in step.deps:
            if dep.step not in known:
                near = nearest(dep.step, known)
                hint = f"did you mean {near}?" if near else "declare it in the same workflow"
                raise UsageError(f"step {step.id} needs {dep.step}, which workflow {workflow.name} does not have", hint=hint)


def _check_following(workflow: Workflow) -> None:
    """Refuse to follow a step that has no place itself."""
    places = {step.id: step.placement for step in workflow.steps}
    for step in workflow.steps:
        followed = step.placement.follow_target_of
        if followed is not None and places[followed] == Placement():
            raise UsageError(f"step {step.id} follows {followed}, which is not placed anywhere", hint="give that one on_target")


def _handlers_last(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Let the exit handlers wait for the others. No ordinary step may wait for a handler."""
    handlers = [step.id for step in steps if step.handler not in {None, HandlerOn.EXIT}]
    every = {step.id for step in steps if step.handler is not None}
    for step in steps:
        waits = next((dep.step for dep in step.deps if dep.step in every), None)
        if step.handler is None and waits is not None:
            raise UsageError(f"step {step.id} waits for {waits}, which is a handler and runs when all steps have ended")
    return tuple(
        replace(step, deps=_and_after(step.deps, handlers)) if step.handler is HandlerOn.EXIT and handlers else step
        for step in steps
    )


def _and_after(deps: Sequence[Dep], ids: Iterable[str]) -> tuple[Dep, ...]:
    named = {dep.step for dep in deps}
    return (*deps, *(Dep(step=id, on=On.DONE) for id in ids if id not in named))


def _check_cycles(name: str, steps: Sequence[Step]) -> None:
    position = {step.id: index for index, step in enumerate(steps)}
    graph = [[position[dep.step] for dep in step.deps] for step in steps]
    itself = next((steps[index].id for index, edges in enumerate(graph) if index in edges), None)
    circle = [itself] if itself is not None else [steps[index].id for found in cycles(graph)[:1] for index in found]
    if circle:
        path = " -> ".join((*circle, circle[0]))
        raise UsageError(f"workflow {name} goes in a circle: {path}", hint="each of these waits for the next")
