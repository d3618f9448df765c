"""What may be said of a step, and the handle by which others refer to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias, TypedDict, TypeVar, cast

from provisioning.builder.registry import Function, name_of
from provisioning.core.authoring import Wish
from provisioning.core.frozen import dataclass
from provisioning.core.model import Action, Breaker, HandlerOn, Repeat, Retry, Strategy, While
from provisioning.core.model import Step as Spec
from provisioning.core.suggest import nearest
from provisioning.core.values import Ref
from provisioning.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a workflow, to be named in others."""

    spec: Spec

    @property
    def id(self) -> str:
        """Its id."""
        return self.spec.id

    def ref(self) -> Ref:
        """Return a reference to its result: who has it among its arguments runs after it has succeeded."""
        return Ref(step=self.spec.id)

    def ref_or_default(self, default: object = None) -> Ref:
        """Return a reference to its result, or to `default` where it did not succeed."""
        return Ref(step=self.spec.id, has_default=True, default=default)


StepLike: TypeAlias = Step | str


@dataclass(frozen=True, slots=True)
class Act:
    """What a step does when it is no function: see `builder.acts`."""

    action: Action
    kind: str = "step"
    labels: Mapping[str, str] | None = None
    keys: tuple[str, ...] = ()
    timeout_s: float | None = None


class Options(TypedDict, total=False):
    """What may be said of a step. Steps are named by their handle or their id."""

    kwargs: Mapping[str, object]  # keyword arguments of the function
    after: Sequence[StepLike] | StepLike  # waits; skipped where one of them does not succeed
    after_any: Sequence[StepLike] | StepLike  # waits, whatever becomes of them
    optional: bool  # its failure does not fail the run
    critical: bool  # under on_failure="continue", its failure does
    retry: Retry | None
    repeat: Repeat | None
    breaker: Breaker | None
    timeout_s: float | None  # of one attempt
    sla_s: float | None  # from the start of the run
    on_target: str | None
    colocate_with: StepLike | None  # the worker that ran that step
    follow_target_of: StepLike | None  # the target that step has
    colocate_here: bool  # the worker that runs the step which adds this one
    selector: Mapping[str, str] | None  # labels that the worker has to have
    if_gone: str  # wait, fail, retarget: what it does while no such worker is there
    pool: str | Sequence[str] | None
    key: str | Sequence[str] | None
    priority: int
    signals: Sequence[str] | str
    break_before: bool
    break_after: bool
    after_failure: bool  # may start although the run is halting
    kind: str
    labels: Mapping[str, str] | None


_KNOWN = frozenset(Options.__annotations__)


def wish_of(id: str, options: Options, act: Act | None = None, handler: HandlerOn | None = None) -> Wish:
    """Return what was said of a step. Raises UsageError for an option that no step has."""
    for name in options:
        if name not in _KNOWN:
            near = nearest(name, sorted(_KNOWN))
            raise UsageError(f"step {id} has an unknown option {name}", hint=f"did you mean {near}?" if near else "")
    labels, own = options.get("labels"), act.labels if act is not None and act.labels is not None else {}
    return Wish(
        after=_ids(options.get("after")),
        after_any=_ids(options.get("after_any")),
        optional=options.get("optional", False),
        critical=options.get("critical", False),
        retry=retry_of(options.get("retry")),
        repeat=_repeat_of(options.get("repeat")),
        breaker=options.get("breaker"),
        timeout_s=options.get("timeout_s", act.timeout_s if act is not None else None),
        sla_s=options.get("sla_s"),
        on_target=options.get("on_target"),
        colocate_with=_id(options.get("colocate_with")),
        follow_target_of=_id(options.get("follow_target_of")),
        colocate_here=options.get("colocate_here", False),
        selector=options.get("selector") or {},
        if_gone=options.get("if_gone", "wait"),
        pools=_names(options.get("pool")),
        keys=(*_names(options.get("key")), *(act.keys if act is not None else ())),
        priority=options.get("priority", 0),
        signals=_names(options.get("signals")),
        break_before=options.get("break_before", False),
        break_after=options.get("break_after", False),
        handler=handler,
        after_failure=options.get("after_failure", False),
        kind=options.get("kind", act.kind if act is not None else "step"),
        labels={**own, **(labels or {})},
    )


def act_of(fn: Function | str | Act, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[Action, object]:
    """Return the action of a step and its stored arguments. Raises UsageError for arguments that do not fit the function."""
    if isinstance(fn, Act):
        if args:
            raise UsageError(f"{fn.action.type} takes its values by name", hint="pass them with kwargs={...}")
        return fn.action, dict(kwargs) or None
    if callable(fn):
        _check_call(fn, args, kwargs)
    action = _calling(name_of(fn))
    if kwargs:
        return action, {"args": list(args), "kwargs": dict(kwargs)}
    return action, {"args": list(args)} if args else None


@lru_cache(maxsize=256)
def _calling(name: str) -> Action:
    """Return the action that calls a function: one for all the steps that do."""
    return Action(type="python", settings={"function": name})


def retry_of(retry: Retry | None) -> Retry | None:
    """Return the policy; its strategy may be given as text."""
    return replace(retry, strategy=_member(Strategy, retry.strategy, "strategy")) if retry is not None else None


def _repeat_of(repeat: Repeat | None) -> Repeat | None:
    return replace(repeat, again=_member(While, repeat.again, "again")) if repeat is not None else None


def _member(kind: type[T], value: object, name: str) -> T:
    try:
        return kind(value)  # type: ignore[call-arg]
    except ValueError:
        known = ", ".join(sorted(str(each.value) for each in kind))  # type: ignore[attr-defined]
        raise UsageError(f"{name} is {value!r}, expected one of: {known}") from None


def _check_call(fn: Function, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    import inspect

    try:
        inspect.signature(fn).bind(*args, **kwargs)
    except TypeError as error:
        raise UsageError(f"{getattr(fn, '__qualname__', fn)} cannot be called like this: {error}") from error
    except ValueError:  # a builtin that does not tell its signature
        return


def _ids(steps: Sequence[StepLike] | StepLike | None) -> list[str]:
    if steps is None:
        return []
    if isinstance(steps, Step | str):
        return [cast("str", _id(steps))]
    return [cast("str", _id(step)) for step in steps]


def _id(step: StepLike | None) -> str | None:
    return step.id if isinstance(step, Step) else step


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
