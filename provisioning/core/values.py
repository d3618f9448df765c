"""References in a step's arguments, at any depth: to the outputs of other steps, and to the payloads of signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


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


def resolve(args: object, value_of: Callable[[Ref | Payload], object]) -> object:
    """Return `args` with references replaced. Raises what `value_of` raises."""
    if isinstance(args, Ref | Payload):
        return value_of(args)
    if isinstance(args, Mapping):
        return {key: resolve(value, value_of) for key, value in args.items()}
    if isinstance(args, list | tuple):
        return [resolve(value, value_of) for value in args]
    return args
