"""`dag validate` of Dagu files: every fault, the dialect, and every place that could be read otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagCommand, catalogue

if TYPE_CHECKING:
    from provisioning.core.dagu.declared import DagFile
    from provisioning.formats.dagu.dialect import Recognised
    from provisioning.operations.dagu.catalogue import Entry
    from provisioning.operations.dagu.checking import Checked

DIALECTS: Mapping[str, str] = {
    "A0": "Dagu up to 1.16",
    "A1": "Dagu 1.17 to 1.30",
    "B": "Dagu 2.0 to 2.6",
    "C": "Dagu 2.7 or later",
    "mixed": "keys of versions that exclude one another",
    "any": "nothing tells the version",
}
BECAUSE: Mapping[str, str] = {
    "said": "the file says so",
    "depends": "a step has depends",
    "dialect": "that version means it so",
    "base": "base.yaml says so",
    "default": "the setting dagu.default_type says so",
}
MARKS_SHOWN = 3


@click.command(cls=DagCommand)
@click.argument("what", nargs=-1, metavar="[NAME|FILE|FOLDER]...", shell_complete=complete.dags)
@pass_app
def validate(app: App, what: tuple[str, ...]) -> None:
    """Check DAG files: every fault, the dialect of each, and every reading that is ambiguous.

    A FOLDER is every DAG file in it; with nothing given, the usual folder is meant.
    """
    check(app, what)


def check(app: App, what: Sequence[str]) -> None:
    """Report on what names and paths mean, and leave with 3 if anything is wrong. Raises NotFoundError, UsageError."""
    from provisioning import wiring
    from provisioning.operations.dagu.catalogue import every_fault
    from provisioning.operations.dagu.checking import check_entries
    from provisioning.operations.dagu.times import local_zone

    checked = check_entries(_entries(app, what), wiring.clock().now(), local_zone())
    faults = every_fault(one.entry for one in checked)
    app.emit(lambda: _document(checked), lambda: "\n".join(_lines(checked)) + "\n")
    if faults:
        app.leave(3)


def _entries(app: App, what: Sequence[str]) -> Iterator[Entry]:
    import os

    if not what:
        yield from catalogue(app).entries()
        return
    usual = catalogue(app)
    for one in what:
        if one not in usual.known_names() and os.path.isdir(one):  # noqa: PTH112 -- never raises, however long the name is
            yield from catalogue(app, one).entries(one)
        else:
            yield usual.find(one)


# ---------------------------------------------------------------- JSON


def _document(checked: Sequence[Checked]) -> dict[str, object]:
    from provisioning.operations.dagu.catalogue import every_fault
    from provisioning_cli.failures import fault_document

    faults = every_fault(one.entry for one in checked)
    files = [_file(one) for one in checked]
    alone = {key: files[0][key] for key in ("dialect", "type")} if len(files) == 1 else {}
    notes = [_note(one, number) for one in checked for number in range(len(one.notes))]
    return {"valid": not faults, **alone, "faults": [fault_document(one) for one in faults], "notes": notes, "files": files}


def _file(one: Checked) -> dict[str, object]:
    reading = one.entry.reading
    dags: Sequence[DagFile | None] = reading.documents or [None] * len(reading.recognised)
    documents = [_of_document(recognised, dag) for recognised, dag in zip(reading.recognised, dags, strict=True)]
    first = documents[0] if documents else {"dialect": None, "type": None}
    changes = [
        {
            "expression": change.cron.expression,
            "zone": change.zone,
            "at": change.at.isoformat(timespec="minutes"),
            "dagu": change.dagu.value,
            "line": change.cron.line,
            "column": change.cron.column,
        }
        for change in one.changes
    ]
    return {
        "file": one.entry.file,
        "name": one.entry.name,
        "valid": not one.entry.faults,
        "dialect": first["dialect"],
        "type": first["type"],
        "documents": documents,
        "clock_changes": changes,
    }


def _of_document(recognised: Recognised, dag: DagFile | None) -> dict[str, object]:
    return {
        "name": dag.name if dag is not None else None,
        "dialect": recognised.dialect.value,
        "marks": [
            {"key": mark.key, "dialects": sorted(mark.dialects), "line": mark.line, "column": mark.column}
            for mark in recognised.marks
        ],
        "type": dag.type.value if dag is not None else None,
        "because": dag.type_because.value if dag is not None else None,
    }


def _note(one: Checked, number: int) -> dict[str, object]:
    note = one.notes[number]
    return {"code": note.code, "file": one.entry.file, "line": note.line, "column": note.column, "message": note.message}


# ---------------------------------------------------------------- text


def _lines(checked: Sequence[Checked]) -> Iterator[str]:
    from provisioning.operations.dagu.catalogue import every_fault
    from provisioning_cli import output
    from provisioning_cli.failures import fault_lines, readable

    yield from fault_lines(every_fault(one.entry for one in checked), sys.stdout)
    for one in checked:
        yield _verdict(one)
        mark = output.paint("note:", "cyan")
        for note in one.notes:
            yield f"  {readable(one.entry.file)}:{note.line}:{note.column}: {mark} {readable(note.message)}"
    if not checked:
        yield "no DAG files"


def _verdict(one: Checked) -> str:
    from provisioning_cli import output
    from provisioning_cli.failures import readable

    faults, reading = one.entry.faults, one.entry.reading
    word = f"invalid, {output.count(len(faults), 'error')}" if faults else "valid"
    told = [_dialect(recognised) for recognised in reading.recognised[:1]]
    dag = reading.dag
    if dag is not None:
        told.append(f"type {dag.type.value}: {BECAUSE[dag.type_because.value]}")
        told.append(output.count(len(dag.steps), "step"))
    if len(reading.documents) > 1:
        told.append(output.count(len(reading.documents), "document"))
    return "; ".join([f"{readable(one.entry.file)}: {word}", *told])


def _dialect(recognised: Recognised) -> str:
    from provisioning_cli.failures import readable

    marks = [f"`{readable(mark.key)}` in line {mark.line}" for mark in recognised.marks[-MARKS_SHOWN:]]
    by = f", told by {', '.join(marks)}" if marks else ""
    return f"dialect {recognised.dialect.value} ({DIALECTS[recognised.dialect.value]}){by}"
