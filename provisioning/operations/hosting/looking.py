"""One look at all that is followed: events that are new, logs that grew, lists that changed. Blocks: run it in a thread."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioning import wiring
from provisioning.core.events import Event
from provisioning.core.model import STEP_ENDED
from provisioning.errors import NotFoundError, UsageError
from provisioning.operations.dagu.logs import files_of
from provisioning.operations.hosting.reading import Reading
from provisioning.operations.hosting.topics import Topic

EVENTS_MOST = 500  # of one look, for one position
TEXT_BYTES = 64 * 1024  # of one look, of one log
ATTEMPT = 1 << 40
"""Of a log, the position is that many for each attempt, plus the byte."""
OVER = 1 << 39
"""What is added once it was told that the log of an attempt is complete."""
FOLDER_S = 1.0  # between two looks at the folder of the DAG files


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is new in one topic after one position."""

    position: int
    events: Sequence[Event] = ()
    text: str = ""
    attempt: int = 0
    at: int = 0
    ended: bool = False
    changed: bool = False
    gone: bool = False


class Looker:
    """Remembers how the lists were, so that it can say when they have changed."""

    def __init__(self, reading: Reading, data: Path, dags: Path) -> None:
        self._reading, self._data, self._dags = reading, data, dags
        self._numbers = {"runs": 1, "dags": 1}
        self._states: dict[str, object] = {}
        self._looked_s = float("-inf")
        self._places: dict[str, Path] = {}

    def check(self, topics: Sequence[Topic], full: bool) -> None:  # noqa: FBT001 -- called through a thread
        """Raise NotFoundError for a topic about a run or step that is not there, UsageError when the server is full."""
        if full:
            raise UsageError("too many streams are open", hint="close some")
        for topic in topics:
            if topic.run:
                folder, _name = self._reading.place(topic.run)
                if topic.kind == "log":
                    self._reading.pages(folder).history.step(topic.run, topic.step)

    def look(self, wanted: Collection[tuple[Topic, int]]) -> dict[tuple[Topic, int], Look]:
        """Return what is new after each position of each topic; nothing where nothing is."""
        self._look_at_lists({topic.kind for topic, _position in wanted})
        runs = {(topic, position) for topic, position in wanted if topic.kind == "run"}
        found = self._events(runs)
        for topic, position in wanted:
            look = self._of_list(topic, position) if topic.kind in self._numbers else None
            if topic.kind == "log":
                look = self._log(topic, position)
            if look is not None:
                found[topic, position] = look
        return found

    # ------------------------------------------------------------ runs

    def _events(self, wanted: Collection[tuple[Topic, int]]) -> dict[tuple[Topic, int], Look]:
        """One question for where all runs are, one more for each that has gone on."""
        folders: dict[Path, set[str]] = {}
        for run in {topic.run for topic, _position in wanted}:
            folders.setdefault(self._place(run), set()).add(run)
        newest: dict[str, int] = {}
        for folder, runs in folders.items():
            newest |= self._reading.pages(folder).positions(sorted(runs))
        found: dict[tuple[Topic, int], Look] = {}
        for topic, position in wanted:
            last = newest.get(topic.run)
            if last is None:
                self._places.pop(topic.run, None)
                found[topic, position] = Look(position=position, gone=True)
            elif last > position:
                events = self._reading.pages(self._place(topic.run)).events(topic.run, position, EVENTS_MOST)
                found[topic, position] = Look(position=events[-1].seq if events else position, events=events)
        return found

    def _place(self, run: str) -> Path:
        if run not in self._places:
            try:
                self._places[run] = self._reading.place(run)[0]
            except NotFoundError:
                return self._data
        return self._places[run]

    # ------------------------------------------------------------ logs

    def _log(self, topic: Topic, position: int) -> Look | None:
        """Return what came to a log; that of the next attempt once all of an ended one was told."""
        attempt, at = divmod(position, ATTEMPT)
        told, at = divmod(at, OVER)
        newest = {one.attempt: one for one in self._reading.attempts(topic.run, topic.step)}  # of several epochs the last
        for number, one in newest.items():
            if number < attempt or (number == attempt and told):
                continue
            start = at if number == attempt else 0
            path = next((path for name, path in files_of(one.log) if name == topic.stream), None)
            text, size = _more(path, start) if path is not None else ("", 0)
            if text:
                return Look(position=number * ATTEMPT + start + size, text=text, attempt=number, at=start)
            if one.state not in STEP_ENDED:
                return None
            if number == max(newest):
                return Look(position=number * ATTEMPT + OVER + start, attempt=number, at=start, ended=True)
        return None

    # ------------------------------------------------------------ lists

    def _look_at_lists(self, kinds: Collection[str]) -> None:
        if "runs" in kinds:
            self._compare("runs", self._reading.pulse())
        now_s = wiring.clock().monotonic_s()
        if "dags" in kinds and now_s - self._looked_s >= FOLDER_S:
            self._looked_s = now_s
            self._compare("dags", _folder(self._dags))

    def _compare(self, kind: str, state: object) -> None:
        known = self._states.get(kind)
        self._states[kind] = state
        if known is not None and known != state:
            self._numbers[kind] += 1

    def _of_list(self, topic: Topic, position: int) -> Look | None:
        """Whoever comes is told once, so that nothing is missed between a list and its stream."""
        number = self._numbers[topic.kind]
        return Look(position=number, changed=True) if position != number else None


def _more(path: Path, start: int) -> tuple[str, int]:
    """Return the text after a byte and how many bytes it is; a character that is not whole yet is left for later."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(TEXT_BYTES)
    except OSError:
        return "", 0
    whole = len(data) - _unfinished(data)
    return data[:whole].decode("utf-8", "replace"), whole


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end begin a character without ending it."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0b1100_0000 == 0b1000_0000:
            continue
        length = 2 if byte >> 5 == 0b110 else 3 if byte >> 4 == 0b1110 else 4 if byte >> 3 == 0b11110 else 1
        return back if length > back else 0
    return 0


def _folder(folder: Path) -> object:
    try:
        with os.scandir(folder) as found:
            return tuple(sorted((one.name, one.stat().st_mtime_ns) for one in found if not one.is_dir()))
    except OSError:
        return ()
