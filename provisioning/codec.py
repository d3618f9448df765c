"""Dataclass <-> JSON, strict. The only module that knows msgspec.

JSON keys are the field names. References in a step's arguments are written as `core.packing` says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from provisioning.core.collecting import uncollected
from provisioning.core.events import Event, Kind
from provisioning.core.model import Step, Workflow
from provisioning.core.packing import pack, same, unpack
from provisioning.core.ports import Report, Task

T = TypeVar("T")
LARGE_BYTES = 1024 * 1024
_WRITTEN_BY_US = frozenset({"id", "action", "args", "deps"})
PLAIN = (None, None, None)  # the shape of text, numbers, and what may be anything


class CodecError(ValueError):
    """Text or an object that does not fit. `path` is a JSON path or empty; `offset` a byte, or -1 when not known."""

    def __init__(self, detail: str, *, path: str = "", offset: int = -1) -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.detail = detail
        self.path = path
        self.offset = offset


# ---------------------------------------------------------------- to JSON


def encode(obj: object) -> bytes:
    """Return compact JSON of a record, fields in declaration order. Raises CodecError for what JSON cannot hold."""
    return _encode_workflow(obj, order=None) if isinstance(obj, Workflow) else _encode(_packed(obj), order=None)


def canonical(obj: object) -> bytes:
    """Return JSON with sorted keys and no spaces: equal records give equal bytes."""
    return _encode_workflow(obj, order="sorted") if isinstance(obj, Workflow) else _encode(_packed(obj), order="sorted")


def pretty(obj: object) -> bytes:
    """Return JSON for people: two spaces of indentation, a newline at the end."""
    return msgspec.json.format(encode(obj), indent=2) + b"\n"


def plain(obj: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return a record as dicts, lists, text, numbers: what decoding its JSON gives."""
    return parse(encode(obj))


def digest(workflow: Workflow) -> str:
    """Return the address of a workflow, `sha256:` and 64 hex digits. Where it came from makes no difference."""
    return "sha256:" + hashlib.sha256(canonical(replace(workflow, source=None))).hexdigest()


def refuse_misfit(workflow: Workflow) -> None:
    """Raise CodecError for a workflow that could be written, and not be read again; the path begins with the step's id.

    Step by step, and only what somebody has said is read: a hundred thousand leaves say nothing but what we write ourselves.
    """
    decode(encode(replace(workflow, steps=())), Workflow, strict=False)
    for step in workflow.steps:
        try:
            said = _said_of(step)
            data = _encode(said, order=None)
            if not said.keys() <= _WRITTEN_BY_US:
                decode(data, Step, strict=False)
        except CodecError as error:
            raise CodecError(error.detail, path=f"{step.id}{error.path[1:]}") from error


def _encode(obj: object, order: Any) -> bytes:  # noqa: ANN401 - a literal of msgspec's
    try:
        return msgspec.json.encode(obj, enc_hook=_other, order=order)
    except (TypeError, ValueError, RecursionError) as error:
        raise CodecError(f"cannot be written as JSON: {error}") from error


def _encode_workflow(workflow: Workflow, order: Any) -> bytes:  # noqa: ANN401 - a literal of msgspec's
    """Write step by step: a hundred thousand are never there as dicts all at once. In any order, `steps` is the last key."""
    head = _encode({name: getattr(workflow, name) for name in workflow.__slots__ if name != "steps"}, order)
    return b'%b,"steps":[%b]}' % (head[:-1], b",".join(_encode(_said_of(step), order) for step in workflow.steps))


def _other(obj: object) -> object:
    if isinstance(obj, Mapping):
        return dict(obj)
    if isinstance(obj, str):
        return str(obj)
    raise TypeError(f"objects of type {type(obj).__name__} are not supported")


def _packed(obj: object) -> object:
    """Return `obj` with the references in its free-form fields written out. Copies only what holds one."""
    packer = _PACKERS.get(type(obj))
    if packer is not None:
        return packer(obj)
    if isinstance(obj, list | tuple) and obj and is_dataclass(obj[0]):
        return [_packed(each) for each in obj]
    return obj


def _packed_task(task: Task) -> Task:
    args = pack(task.args)
    return task if args is task.args else replace(task, args=args)


def _packed_report(report: Report) -> Report:
    task = _packed_task(report.task)
    return report if task is report.task else replace(report, task=task)


def _packed_event(event: Event) -> Event:
    spec = event.data.get("spec") if event.kind is Kind.STEP_ADDED else None
    return replace(event, data={**event.data, "spec": _said_of(spec)}) if isinstance(spec, Step) else event


def _said_of(step: Step) -> dict[str, object]:
    """Return the fields of a step that are not as in every step: most are, and there may be a hundred thousand steps."""
    said = {
        name: value for name, default in _STEP_DEFAULTS if (value := getattr(step, name)) is not default and value != default
    }
    if "args" in said:
        said["args"] = pack(step.args)
    return said


_PACKERS: Mapping[type, Callable[[Any], object]] = {
    Step: _said_of,
    Task: _packed_task,
    Report: _packed_report,
    Event: _packed_event,
}
_STEP_DEFAULTS = tuple(
    (each.name, each.default if each.default_factory is MISSING else each.default_factory()) for each in fields(Step)
)


# ---------------------------------------------------------------- from JSON


def parse(data: bytes | str) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return the JSON value in `data`. Raises CodecError with the byte where it stops being JSON."""
    return _guarded(data, None)


def decode(data: bytes | str, type_: type[T], *, strict: bool = True) -> T:
    """Return the record that `data` holds. Raises CodecError with the JSON path of the first thing that does not fit.

    Nothing is coerced. Without `strict` unknown fields are ignored: for stores that carry a schema version of their own.
    """
    if strict:
        refuse_unknown(parse(data), type_)
    return cast("T", _checked(_guarded(data, type_)))


def build(value: object, type_: type[T], *, strict: bool = True) -> T:
    """Return the record that plain values (see `plain`) describe. Raises CodecError as `decode` does."""
    if strict:
        refuse_unknown(value, type_)
    try:
        with uncollected():
            record = msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise _located(value, type_, str(error)) from error
    except RecursionError as error:
        raise CodecError("nested too deeply") from error
    return cast("T", _checked(record))


def _guarded(data: bytes | str, type_: Any) -> Any:  # noqa: ANN401 - any type may be asked for
    try:
        if len(data) < LARGE_BYTES:
            return msgspec.json.decode(data, type=Any if type_ is None else type_)
        with uncollected():
            return msgspec.json.decode(data, type=Any if type_ is None else type_)
    except msgspec.ValidationError as error:
        # Without a type there is nothing to fit, but msgspec says so of a number with too many digits as well.
        raise _located(None if type_ is None else parse(data), type_, str(error)) from error
    except msgspec.DecodeError as error:
        raise _at_byte(str(error), data) from error
    except UnicodeError as error:
        raise CodecError("not UTF-8", offset=_first_bad_byte(data)) from error
    except RecursionError as error:
        raise CodecError("nested too deeply") from error


def _located(value: object, type_: Any, text: str) -> CodecError:  # noqa: ANN401 - an annotation
    """Return the decoder's complaint with the whole path: the decoder writes `[...]` for the keys of a mapping."""
    detail, _, path = text.partition(" - at `")
    path = path.rstrip("`")
    found = _bad_entry(value, type_) if "[...]" in path else None
    if found is not None:
        return CodecError(found.detail, path=path.partition("[...]")[0] + found.path)
    return CodecError(detail[:1].lower() + detail[1:].replace("`", "'"), path=path)


def _bad_entry(value: object, type_: Any) -> CodecError | None:  # noqa: ANN401 - an annotation
    """Return what is wrong in the first entry that does not fit, of the first mapping below `value` that has one."""
    record, items, values = _shape(type_)
    if isinstance(value, dict) and values is not None:
        for key, each in value.items():
            try:
                msgspec.convert(each, values)
            except msgspec.ValidationError as error:
                inner = _located(each, values, str(error))
                return CodecError(inner.detail, path=f".{key}{inner.path.removeprefix('$')}")
    if isinstance(value, dict) and record is not None:
        known = _field_types(record)
        return next((bad for key, each in value.items() if key in known and (bad := _bad_entry(each, known[key]))), None)
    if isinstance(value, list) and items is not None:
        return next((bad for each in value if (bad := _bad_entry(each, items))), None)
    return None


def _first_bad_byte(data: bytes | str) -> int:
    """Return where the text stops being UTF-8: the decoder counts from the beginning of the string it was reading."""
    try:
        data.encode() if isinstance(data, str) else data.decode()
    except UnicodeError as error:
        return int(getattr(error, "start", -1))
    return -1


def _at_byte(text: str, data: bytes | str) -> CodecError:
    size = len(data.encode()) if isinstance(data, str) else len(data)
    if "truncated" in text:
        return CodecError("ends in the middle", offset=size)
    detail, _, where = text.removeprefix("JSON is malformed: ").partition(" (byte ")
    return CodecError(f"not JSON: {detail}", offset=int(where.rstrip(")")) if where else -1)


def _checked(record: Any) -> Any:  # noqa: ANN401 - keeps the type it is given
    try:
        return _unpacked(record)
    except ValueError as error:
        raise error if isinstance(error, CodecError) else CodecError(str(error)) from error


def _unpacked(obj: Any) -> Any:  # noqa: ANN401 - keeps the type it is given
    """Undo `_packed` on a record fresh from the decoder."""
    if isinstance(obj, Step | Task):
        args = unpack(obj.args)
        return obj if args is obj.args else replace(obj, args=args)
    if isinstance(obj, Workflow):
        steps = tuple(map(_unpacked, obj.steps))
        return obj if all(map(same, steps, obj.steps)) else replace(obj, steps=steps)
    if isinstance(obj, Report):
        task = _unpacked(obj.task)
        return obj if task is obj.task else replace(obj, task=task)
    if isinstance(obj, Event) and obj.kind is Kind.STEP_ADDED and "spec" in obj.data:
        return replace(obj, data={**obj.data, "spec": build(obj.data["spec"], Step, strict=False)})
    if isinstance(obj, list) and obj and is_dataclass(obj[0]):
        return [_unpacked(each) for each in obj]
    return obj


# ---------------------------------------------------------------- unknown fields


def refuse_unknown(value: object, type_: Any, path: str = "$") -> None:  # noqa: ANN401 - an annotation
    """Raise CodecError for the first key that a record does not have. Values of the wrong type are left to the decoder."""
    record, items, values = _shape(type_)
    if isinstance(value, dict):
        if record is not None:
            _refuse_fields(value, record, path)
        elif values is not None and _shape(values) != PLAIN:
            for key, each in value.items():
                refuse_unknown(each, values, f"{path}.{key}")
    elif isinstance(value, list) and items is not None and _shape(items) != PLAIN:
        for index, each in enumerate(value):
            refuse_unknown(each, items, f"{path}[{index}]")


def _refuse_fields(value: dict[str, object], record: type, path: str) -> None:
    known, composed = _field_types(record), _composed(record)
    if not value.keys() <= known.keys():
        key = next(each for each in value if each not in known)
        raise CodecError(f"unknown field '{key}'", path=f"{path}.{key}")
    for key in composed:
        if value.get(key):
            refuse_unknown(value[key], known[key], f"{path}.{key}")


@cache
def _field_types(record: type) -> Mapping[str, Any]:
    hints = get_type_hints(record)
    return {each.name: hints[each.name] for each in fields(record)}


@cache
def _composed(record: type) -> tuple[str, ...]:
    """Return the fields in which records may be."""
    return tuple(name for name, type_ in _field_types(record).items() if _shape(type_) != PLAIN)


@cache
def _shape(type_: Any) -> tuple[type | None, Any, Any]:  # noqa: ANN401 - an annotation
    """Return (record, type of list items, type of mapping values): at most one is set."""
    if get_origin(type_) in {Union, UnionType}:
        shapes = [_shape(each) for each in get_args(type_)]
        return next((shape for shape in shapes if shape != PLAIN), PLAIN)
    if isinstance(type_, type) and is_dataclass(type_):
        return type_, None, None
    origin, args = get_origin(type_), get_args(type_)
    if origin in {tuple, list} and len(args) <= 2 and args:
        return None, args[0], None
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(args) == 2:
        return None, None, args[1]
    return PLAIN
