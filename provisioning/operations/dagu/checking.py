"""How DAG files are read, and every place that could be read otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, tzinfo

from provisioning.core.cron import Dagu
from provisioning.core.frozen import dataclass
from provisioning.formats.dagu.reading import Note
from provisioning.operations.dagu.catalogue import Entry
from provisioning.operations.dagu.times import CHANGES_MOST, ClockChange, clock_changes, crons

CLOCK_CHANGE = "clock_change"  # the code of the note that reading makes for every schedule at fixed times


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file. `changes` are the schedules that, within a year, fire otherwise than in Dagu."""

    entry: Entry
    notes: tuple[Note, ...] = ()
    changes: tuple[ClockChange, ...] = ()


def check_entries(entries: Iterable[Entry], now: datetime, local: tzinfo) -> list[Checked]:
    """Return what there is to say of files. `local` is the zone of schedules that name none."""
    checked = [_checked(entry, now, local) for entry in entries]
    files: dict[str, list[str]] = {}
    for one in checked:
        files.setdefault(one.entry.name, []).append(one.entry.file)
    return [_with_namesakes(one, files[one.entry.name]) for one in checked]


def _checked(entry: Entry, now: datetime, local: tzinfo) -> Checked:
    changes = tuple(change for dag in entry.reading.documents for change in clock_changes(dag, now, local))
    asked = {(cron.line, cron.column) for dag in entry.reading.documents for cron in crons(dag.schedule)[:CHANGES_MOST]}
    found = {(change.cron.line, change.cron.column): change for change in changes}
    notes = [
        replace(note, message=_told(found[place])) if note.code == CLOCK_CHANGE and place in found else note
        for note in entry.reading.notes
        if note.code != CLOCK_CHANGE or (place := (note.line, note.column)) in found or place not in asked
    ]
    return Checked(entry=entry, notes=tuple(notes), changes=changes)


def _told(change: ClockChange) -> str:
    at = f"{change.at:%Y-%m-%d %H:%M} in {change.zone}"
    if change.dagu is Dagu.SKIPS:
        return f"the clock jumps over {at}: this runs right after the jump, Dagu leaves it out"
    return f"the clock shows {at} twice: this runs the first time, Dagu runs it twice"


def _with_namesakes(one: Checked, files: list[str]) -> Checked:
    """Say that other files have a DAG of the same name; of many, only a few."""
    if len(files) < 2:
        return one
    others = [file for file in files[:4] if file != one.entry.file]
    message = f"the DAG is called {one.entry.name} in {', '.join(others)} too: they share one history"
    return replace(one, notes=(*one.notes, Note(code="same_name", message=message, line=1, column=1)))
