"""Step arguments as plain JSON values and back.

A reference to another step's output is written as `{"$ref": {...}}`, one to a signal's payload as `{"$signal": name}`, one to
facts of the run as `{"$run": upstream | params | verdict}`; a key of the user's own that begins with `$` gets one more `$`, so
that nothing is ever mistaken. What holds none of these is passed through, not copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioning.core.values import Payload, Ref, RunParams, RunVerdict, Upstream

REF = "$ref"
SIGNAL = "$signal"
RUN = "$run"
_FACTS = {"upstream": Upstream(), "params": RunParams(), "verdict": RunVerdict()}
_WORDS = {type(fact): word for word, fact in _FACTS.items()}


def pack(args: object) -> object:
    """Return arguments as plain JSON values: references become `{"$ref": ...}`, keys that begin with `$` get one more."""
    if isinstance(args, Ref):
        return {REF: {"step": args.step, "has_default": args.has_default, "default": pack(args.default)}}
    if isinstance(args, Payload):
        return {SIGNAL: args.signal}
    if type(args) in _WORDS:
        return {RUN: _WORDS[type(args)]}
    if isinstance(args, Mapping):
        packed = {_escaped(key): pack(value) for key, value in args.items()}
        return args if _unchanged(args, packed) else packed
    if isinstance(args, list | tuple):
        items = [pack(value) for value in args]
        return args if all(map(same, items, args)) else items
    return args


def unpack(args: object) -> object:
    """Undo `pack`. Raises ValueError for a `$ref`, `$signal` or `$run` that is none."""
    if isinstance(args, dict):
        if REF in args:
            return _ref(args)
        if SIGNAL in args:
            return _payload(args)
        if RUN in args:
            return _fact(args)
        unpacked = {_unescaped(key): unpack(value) for key, value in args.items()}
        return args if _unchanged(args, unpacked) else unpacked
    if isinstance(args, list):
        items = [unpack(value) for value in args]
        return args if all(map(same, items, args)) else items
    return args


def _escaped(key: object) -> object:
    return f"${key}" if isinstance(key, str) and key.startswith("$") else key


def _unescaped(key: str) -> str:
    return key[1:] if key.startswith("$$") else key


def _unchanged(before: Mapping[Any, object], after: dict[Any, object]) -> bool:
    return all(key in before and before[key] is value for key, value in after.items())


def _ref(args: dict[str, Any]) -> Ref:
    spec = args[REF]
    fits = len(args) == 1 and isinstance(spec, dict) and isinstance(spec.get("step"), str)
    if not fits or spec.keys() - {"step", "has_default", "default"} or not isinstance(spec.get("has_default", False), bool):
        raise ValueError(f"not a reference: {args!r}")
    return Ref(step=spec["step"], has_default=spec.get("has_default", False), default=unpack(spec.get("default")))


def _payload(args: dict[str, Any]) -> Payload:
    if len(args) != 1 or not isinstance(args[SIGNAL], str):
        raise ValueError(f"not a signal: {args!r}")
    return Payload(signal=args[SIGNAL])


def _fact(args: dict[str, Any]) -> object:
    if len(args) != 1 or not isinstance(args[RUN], str) or args[RUN] not in _FACTS:
        raise ValueError(f"not a fact of the run: {args!r}")
    return _FACTS[args[RUN]]


def same(one: object, other: object) -> bool:
    """Whether both are one object."""
    return one is other
