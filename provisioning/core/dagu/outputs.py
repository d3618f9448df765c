"""What steps leave for others: captured stdout, entries of structured outputs, files of outputs, documents of sub-DAGs.

Files and streams are read elsewhere; here is what their text means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from provisioning.core.dagu.access import Missing, as_text, parse_json, parse_path, value_at
from provisioning.core.dagu.declared import MAX_OUTPUT_BYTES
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote

MAX_ITEMS = 1_000  # of a parallel step
_MARK = re.compile("=|<<")

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


# ---------------------------------------------------------------- files of outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a step has written to `$DAGU_OUTPUT_FILE`. With faults the step has failed."""

    values: Mapping[str, str]
    faults: tuple[Fault, ...] = ()


def read_output_file(text: str) -> Written:
    """Return the outputs of a file of `NAME=value` lines, and `NAME<<END`, lines of text, `END`. The last of a name counts.

    Empty lines mean nothing. A line that is neither, and a text without its end, are faults with their lines.
    """
    values: dict[str, str] = {}
    faults: list[Fault] = []
    lines = iter(enumerate(text.removesuffix("\n").split("\n"), 1))
    for number, line in lines:
        if not line.strip():
            continue
        name, mark, rest = _parted(line.removesuffix("\r"))
        if not name or (mark == "<<" and not rest.strip()):
            faults.append(_line_fault(number, f"found {quote(line)}, expected NAME=value or NAME<<END"))
        elif mark == "=":
            values[name] = rest
        else:
            _take_lines(name, rest.strip(), number, lines, values, faults)
    return Written(values=MappingProxyType(values), faults=tuple(faults))


def _parted(line: str) -> tuple[str, str, str]:
    """Return the name, its mark and what follows; the name is empty where there is no mark."""
    mark = _MARK.search(line)
    return (line[: mark.start()].strip(), mark[0], line[mark.end() :]) if mark else ("", "", "")


def _take_lines(
    name: str, end: str, number: int, lines: Iterator[tuple[int, str]], values: dict[str, str], faults: list[Fault]
) -> None:
    taken: list[str] = []
    for _, line in lines:
        if line.removesuffix("\r") == end:
            values[name] = "\n".join(taken)
            return
        taken.append(line)
    faults.append(_line_fault(number, f"the text of {quote(name)} is never ended by a line {quote(end)}"))


def _line_fault(number: int, message: str) -> Fault:
    return Fault(code="bad_output_file", message=message, line=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredOutput:
    """An output that a step has to write."""

    name: str
    json: bool = False  # its value is JSON


def declared_outputs(declared: Iterable[DeclaredOutput], written: Written) -> Structured:
    """Return the values of the outputs that a step declares; one that was not written, or is no JSON, is a fault."""
    values: dict[str, object] = {}
    faults = list(written.faults)
    for one in declared:
        text = written.values.get(one.name)
        problem = "" if text is not None else "it was not written to $DAGU_OUTPUT_FILE"
        if text is not None:
            try:
                values[one.name] = parse_json(text) if one.json else text
            except Missing:
                problem = f"found {quote(text)}, expected json"
        if problem:
            faults.append(Fault(code="bad_output", message=f"output {quote(one.name)}: {problem}"))
    return Structured(values=MappingProxyType(values), faults=tuple(faults))


# ---------------------------------------------------------------- who sees them, and the run's


def visible(step: str, depends: Mapping[str, Sequence[str]], outputs: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the outputs that a step sees: those of everything it depends on, near or far, and of nothing else.

    `depends` has the direct dependencies of every step; `outputs` what each has left, in the order in which they ended: of two
    with one name the later counts.
    """
    above: set[str] = set()
    rest = list(depends.get(step, ()))
    while rest:
        one = rest.pop()
        if one not in above:
            above.add(one)
            rest.extend(depends.get(one, ()))
    return {name: text for one, left in outputs.items() if one in above for name, text in left.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a step has left under a name, and the `key` that it asks for in the outputs of the run, if it does."""

    name: str
    value: object
    key: str = ""


def run_outputs(left: Iterable[Left]) -> dict[str, object]:
    """Return the outputs of a run, failed or not, from those of its steps in the order of writing: the last of a key counts."""
    return {one.key or camel_case(one.name): one.value for one in left}


def camel_case(name: str) -> str:
    """Return `TOTAL_COUNT` as `totalCount`. A name without underscores that has small letters stays."""
    words = [word for word in name.split("_") if word]
    if not words or (words == [name] and name != name.upper()):
        return name
    return words[0].lower() + "".join(word.capitalize() for word in words[1:])


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
