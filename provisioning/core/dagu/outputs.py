"""What steps leave for others: captured stdout, entries of structured outputs, documents of sub-DAGs.

Files and streams are read elsewhere; here is what their text means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from provisioning.core.dagu.access import Missing, as_text, parse_json, parse_path, value_at
from provisioning.core.dagu.declared import MAX_OUTPUT_BYTES
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote

MAX_ITEMS = 1_000  # of a parallel step

Decode = Callable[[str, str], object]
"""(text | json | yaml, the text) -> its value; raises ValueError for a text that is none."""


# ---------------------------------------------------------------- captured


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a step printed, as its output. With a `problem` the step has failed."""

    text: str = ""
    problem: str = ""


def captured(stdout: bytes, limit_bytes: int = MAX_OUTPUT_BYTES) -> Captured:
    """Return stdout as an output, blanks around it aside; more than `limit_bytes` of it fail the step.

    Invalid UTF-8 is replaced, and NULs are left out, since no variable can hold them.
    """
    if len(stdout) > limit_bytes:
        return Captured(problem=f"the output has more than {limit_bytes:,} bytes (max_output_size)")
    return Captured(text=stdout.decode("utf-8", "replace").replace("\0", "").strip())


# ---------------------------------------------------------------- structured


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One value of a structured output: `text` as it is, decoded as what, and what of it is selected (`.a.b[0]`)."""

    name: str
    text: str | None  # a literal, stdout, stderr, or what is in the file; None: there is no such file
    decode: str = "text"
    select: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structured:
    """The values of a structured output. With faults the step has failed."""

    values: Mapping[str, object]
    faults: tuple[Fault, ...] = ()


def structured(entries: Iterable[Entry], decode: Decode) -> Structured:
    """Return the values of a structured output, and every entry that has none."""
    values: dict[str, object] = {}
    faults: list[Fault] = []
    for entry in entries:
        try:
            values[entry.name] = _selected(entry, decode)
        except _NoValue as no_value:
            faults.append(Fault(code="bad_output", message=f"output {quote(entry.name)}: {no_value}"))
    return Structured(values=MappingProxyType(values), faults=tuple(faults))


class _NoValue(Exception):
    pass


def _selected(entry: Entry, decode: Decode) -> object:
    if entry.text is None:
        raise _NoValue("there is no such file")
    value = _decoded(entry.text, entry.decode, decode)
    try:
        return value_at(value, parse_path(entry.select.strip()))
    except Missing:
        raise _NoValue(f"there is nothing at {quote(entry.select)}") from None


def _decoded(text: str, kind: str, decode: Decode) -> object:
    try:
        return text.strip() if kind == "text" else decode(kind, text)
    except (ValueError, RecursionError, Missing):
        raise _NoValue(f"found {quote(text.strip())}, expected {kind}") from None


# ---------------------------------------------------------------- sub-DAGs


@dataclass(frozen=True, slots=True, kw_only=True)
class SubRun:
    """A run of a sub-DAG that has ended. `outputs` are under the names that its steps gave them."""

    name: str
    run_id: str
    params: str
    status: str
    outputs: Mapping[str, str]
    succeeded: bool  # also in part
    problem: str = ""  # why it could not begin, where no worker was there for it


def sub_dag_document(run: SubRun) -> dict[str, object]:
    """Return what the output of a sub-DAG step is: `${OUT.outputs.KEY}` reads it."""
    return {
        "name": run.name,
        "dagRunId": run.run_id,
        "params": run.params,
        "status": run.status,
        "outputs": dict(run.outputs),
    }


def parallel_document(runs: Sequence[SubRun]) -> dict[str, object]:
    """Return what the output of a parallel step is. `outputs` has one object for each run that succeeded, in order of items."""
    good = [run for run in runs if run.succeeded]
    return {
        "summary": {"total": len(runs), "succeeded": len(good), "failed": len(runs) - len(good)},
        "results": [sub_dag_document(run) for run in runs],
        "outputs": [dict(run.outputs) for run in good],
    }


def items_of(value: object) -> tuple[str, ...]:
    """Return the items of a parallel step as texts, objects as JSON: of a list, of JSON text, or of words in a text.

    Raises ValueError for more than 1,000 items.
    """
    found = value
    if isinstance(value, str):
        try:
            found = parse_json(value)
        except Missing:
            found = value.split()
        if not isinstance(found, list):
            found = [found] if isinstance(found, Mapping) else value.split()
    items = list(found) if isinstance(found, list | tuple) else [found]
    if len(items) > MAX_ITEMS:
        raise ValueError(f"found {len(items):,} items, expected at most {MAX_ITEMS:,}")
    return tuple(as_text(item) for item in items)
