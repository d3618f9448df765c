"""What an attempt leaves for the steps after it: what it printed, entries of its output, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from provisioning.core.dagu.access import as_text, parse_json
from provisioning.core.dagu.declared import MAX_OUTPUT_BYTES, Output, OutputEntry
from provisioning.core.dagu.outputs import Captured, Entry, captured, structured
from provisioning.core.frozen import dataclass
from provisioning.engine.actions.dagu.terms import joined
from provisioning.engine.actions.dagu.work import Done, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """`document` is the step's output for others, None where nobody can ask for it. With a `problem` the step has failed."""

    printed: str = ""
    document: Mapping[str, Any] | None = None
    problem: str = ""


def leave(work: Work, done: Done) -> Left:
    """Return what is left. Output is captured of a failed step too; the last attempt counts."""
    output, step = work.step.output, work.step
    printed = bytes(work.streams.kept).decode("utf-8", "replace")
    if output is None and not step.id and done.left is None and not done.variables:
        return Left(printed=printed)
    said = _Said(value=done.left) if output is None else _said(work, done, output, printed)
    chosen = done.left.get("chosen") if isinstance(done.left, Mapping) else None
    fields: dict[str, object] = {
        "id": step.id,
        "output": said.value,
        "outputs": said.outputs,
        "variables": {**done.variables, **said.variables},
        "chosen": chosen,
    }
    document = {
        "exit_code": done.exit_code,
        "stdout": work.attempt.path,
        "stderr": work.attempt.err_path or work.attempt.path,
        **{name: value for name, value in fields.items() if value or (name == "output" and value is not None)},
    }
    return Left(printed=printed, document=document, problem=said.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    value: object = None
    outputs: Mapping[str, object] = field(default_factory=dict)  # of the run
    variables: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def _said(work: Work, done: Done, output: Output, printed: str) -> _Said:
    """Return what the step's `output` asks for."""
    if output.entries:
        problem, values = _entries(work, output.entries, printed)
        return _Said(value=values, outputs=values, problem=problem)
    if done.left is not None:
        taken = Captured(text=as_text(done.left))
    else:
        taken = captured(bytes(work.streams.kept), int(work.settings.get("max_output_bytes", MAX_OUTPUT_BYTES)))
    return _Said(
        value=taken.text,
        outputs={} if output.omit else {output.key or output.name: taken.text},
        variables={output.name: taken.text},
        problem=taken.problem,
    )


def _entries(work: Work, entries: tuple[OutputEntry, ...], printed: str) -> tuple[str, Mapping[str, Any]]:
    """Return the values of a structured output, and what is wrong with them."""
    found = structured([_entry(work, one, printed) for one in entries], lambda kind, text: _decode(work, kind, text))
    return "; ".join(fault.message for fault in found.faults), found.values


def _entry(work: Work, one: OutputEntry, printed: str) -> Entry:
    if one.value is not None:
        text: str | None = work.terms.plain(one.value)
    elif one.source == "file":
        path = joined(work.terms.cwd, work.terms.plain(one.path))
        data = work.tools.disk.read(path, int(work.settings.get("max_output_bytes", MAX_OUTPUT_BYTES)))
        text = data.decode("utf-8", "replace") if data is not None else None
    else:
        text = printed if one.source == "stdout" else work.attempt.tail("err")
    return Entry(name=one.name, text=text, decode=one.decode, select=one.select)


def _decode(work: Work, kind: str, text: str) -> object:
    return parse_json(text) if kind == "json" else work.tools.readers.yaml(text)
