"""What a function sees of the step that runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Protocol, Unpack

from provisioning.builder.options import Act, Options, Step, act_of, wish_of
from provisioning.builder.registry import Function, find
from provisioning.core.authoring import fallback_of, make_step
from provisioning.core.model import Dep, On, Placement
from provisioning.core.model import Step as Spec
from provisioning.core.ports import Task
from provisioning.core.values import Ref
from provisioning.errors import UsageError


class TaskError(Exception):
    """Raise it in a function to fail its step. Retry policies go by `kind`; not `retryable`: no other attempt is made."""

    def __init__(self, message: str, *, kind: str = "handler", retryable: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


class Log(Protocol):
    """Takes what a function writes into the log of its attempt."""

    def write(self, data: bytes) -> None:
        """Append."""
        ...


class RunningStep(str):
    """The id of the running step; called, it adds a step to the run."""

    _add: Callable[..., Step]

    def __new__(cls, id: str, add: Callable[..., Step]) -> RunningStep:
        """`add` is called with what the step is called with."""
        made = super().__new__(cls, id)
        made._add = add
        return made

    def __call__(self, id: str, fn: Function | str | Act, *args: object, **options: Unpack[Options]) -> Step:
        """Add a step to the run. It starts after this one has succeeded; where this one fails, it is not added.

        Adding the same again in a later attempt changes nothing. Raises UsageError for what cannot be, and when this one is
        to stop.
        """
        return self._add(id, fn, args, options)


@dataclass(slots=True, kw_only=True)
class Current:
    """The attempt that a running function is."""

    run: str
    step_id: str
    attempt: int
    target: str
    worker: str
    said: Log = field(repr=False)
    added: list[Spec] = field(default_factory=list, repr=False)
    stopped: bool = False  # it is to stop: cancelled, or out of time

    def log(self, text: str) -> None:
        """Write a line into the attempt's log."""
        self.said.write(f"{text}\n".encode("utf-8", "backslashreplace"))

    def ref(self, step: str) -> Ref:
        """Return a reference to the result of a step of this run."""
        return Ref(step=step)

    @property
    def step(self) -> RunningStep:
        """The step's id. Called, it adds a step to the run: `current().step("page-1", fetch, 1)`."""
        return RunningStep(self.step_id, self._add)

    def _add(self, id: str, fn: Function | str | Act, args: Sequence[object], options: Options) -> Step:
        if self.stopped:
            raise UsageError(f"run {self.run} is stopping: step {id} is not added")
        if any(one.id == id for one in self.added):
            raise UsageError(f"step {id} was added before", hint="ids are unique in a run")
        action, stored = act_of(fn, args, options.get("kwargs", {}))
        wish = wish_of(id, options, fn if isinstance(fn, Act) else None)
        spec = make_step(id, action, stored, replace(wish, colocate_here=False))
        if wish.colocate_here:
            spec = replace(spec, placement=Placement(colocate_with=self.step_id, fallback=fallback_of(id, wish)))
        if all(dep.step != self.step_id for dep in spec.deps):
            spec = replace(spec, deps=(Dep(step=self.step_id, on=On.SUCCESS), *spec.deps))
        self.added.append(spec)
        return Step(spec)


_current: ContextVar[Current] = ContextVar("current")


def current() -> Current:
    """Return the attempt that calls. Raises UsageError outside a running step."""
    try:
        return _current.get()
    except LookupError:
        raise UsageError("no step is running here", hint="current() is for functions that a step runs") from None


def enter(task: Task, worker: str, said: Log) -> Current:
    """Make this the attempt that `current` returns in the calling context, and return it."""
    attempt = Current(run=task.run, step_id=task.step, attempt=task.attempt, target=task.target, worker=worker, said=said)
    _current.set(attempt)
    return attempt


class Functions:
    """The registered functions, as the engine's action `python` wants them."""

    def find(self, name: str) -> Function:
        """Return the function of this name. Raises NotFoundError."""
        return find(name)

    def enter(self, task: Task, worker: str, said: Log) -> Current:
        """Make this the attempt that `current` returns in the calling context, and return it."""
        return enter(task, worker, said)
