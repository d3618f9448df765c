"""References to the outputs of other steps, at any depth of a step's arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """The output of `step`; with `has_default`, `default` where that step did not succeed."""

    step: str
    has_default: bool = False
    default: object = None


def refs(args: object) -> Iterator[Ref]:
    """Yield every reference in `args`, without recursion, so that depth is no limit."""
    rest = [args]
    while rest:
        value = rest.pop()
        if isinstance(value, Ref):
            yield value
        elif isinstance(value, Mapping):
            rest.extend(value.values())
        elif isinstance(value, list | tuple):
            rest.extend(value)


def resolve(args: object, outputs: Mapping[str, object]) -> object:
    """Return `args` with references replaced. `outputs` has the steps that succeeded; KeyError names one that is missing."""
    if isinstance(args, Ref):
        if args.step in outputs or not args.has_default:
            return outputs[args.step]
        return args.default
    if isinstance(args, Mapping):
        return {key: resolve(value, outputs) for key, value in args.items()}
    if isinstance(args, list | tuple):
        return [resolve(value, outputs) for value in args]
    return args
