"""What a step's arguments may refer to, at any depth: outputs of other steps, payloads of signals, facts of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """The output of `step`; with `has_default`, `default` where that step did not succeed."""

    step: str
    has_default: bool = False
    default: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the first delivery of a signal brought along."""

    signal: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """The outputs of everything that the step depends on, near or far, by id, in the order in which they ended.

    For a handler: those of all steps.
    """


@dataclass(frozen=True, slots=True)
class RunParams:
    """The parameters that the run was started with."""


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """Where the run stands: `{state, reason, failed, rejected, waiting}`, the last three with ids of steps."""


Marker = Ref | Payload | Upstream | RunParams | RunVerdict
"""What stands for something that is only known when the step starts."""


def refs(args: object) -> Iterator[Ref | Payload]:
    """Yield every reference in `args`, without recursion, so that depth is no limit."""
    rest = [args]
    while rest:
        value = rest.pop()
        if isinstance(value, Ref | Payload):
            yield value
        elif isinstance(value, Mapping):
            rest.extend(value.values())
        elif isinstance(value, list | tuple):
            rest.extend(value)


def resolve(args: object, value_of: Callable[[Marker], object]) -> object:
    """Return `args` with references replaced. Raises what `value_of` raises."""
    if isinstance(args, Marker):
        return value_of(args)
    if isinstance(args, Mapping):
        return {key: resolve(value, value_of) for key, value in args.items()}
    if isinstance(args, list | tuple):
        return [resolve(value, value_of) for value in args]
    return args
