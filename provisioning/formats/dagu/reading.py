"""Typed readers over YAML nodes: each returns what fits, and remembers what does not as a fault with its place.

A `Spot` is a node and where it stands. Paths are put together only for messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from typing import TypeVar

from provisioning.core.dagu.doing import Pair, Text
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import listed, quote, show, step
from provisioning.core.suggest import nearest
from provisioning.formats.dagu.spelling import Table
from provisioning.formats.goyaml import Fields, Items, Node, Place, Scalar, go_text

Choice = TypeVar("Choice", bound=StrEnum)
_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
_FLAGS: Mapping[str, bool] = {"true": True, "false": False}
HINTS = 50  # nearest names that are looked for in one file
MOST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A place that versions of Dagu read differently, and how it is read here."""

    code: str
    message: str
    line: int
    column: int


@dataclass(slots=True)
class Findings:
    """What has been found in one file so far."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    hints: int = HINTS
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Spot:
    """A node of the file, and the way to it."""

    node: Node
    found: Findings
    above: Spot | None = None
    key: str | int = ""

    @property
    def line(self) -> int:
        """Its line, from 1."""
        return self.node.at.line

    @property
    def column(self) -> int:
        """Its column, from 1."""
        return self.node.at.column

    @property
    def path(self) -> str:
        """Its JSON path."""
        keys: list[str] = []
        spot: Spot = self
        while spot.above is not None:
            keys.append(step(spot.key))
            spot = spot.above
        return "$" + "".join(reversed(keys))

    @property
    def shown(self) -> str:
        """What is there, for a message."""
        if isinstance(self.node, Scalar):
            return show(self.node.value)
        return _counted(len(self.node.items), "a list of", "item") if isinstance(self.node, Items) else "a map"

    def fault(self, code: str, message: str, hint: str = "", at: Place | Text | None = None, path: str = "") -> None:
        """Remember what is wrong here, or at the place of a key."""
        at = at or self.node.at
        self.found.faults.append(
            Fault(
                code=code,
                message=message,
                file=self.found.file,
                path=path or self.path,
                line=at.line,
                column=at.column,
                hint=hint,
            )
        )

    def expected(self, what: str, hint: str = "") -> None:
        """Remember that something else is here than what should be."""
        self.fault("wrong_type", f"found {self.shown}, expected {what}", hint)

    def note(self, code: str, message: str) -> None:
        """Remember how this place is read."""
        self.found.notes.append(Note(code=code, message=message, line=self.line, column=self.column))

    def nearest(self, name: str, known: Iterable[str]) -> str:
        """Return a hint with the known name that is most like `name`, if there is one."""
        if self.found.hints <= 0:
            return ""
        self.found.hints -= 1
        best = nearest(name, known)
        return f'did you mean "{best}"?' if best else ""

    # ------------------------------------------------------------ what kind of node

    @property
    def scalar(self) -> Scalar | None:
        """The scalar that is here, None for a list or map."""
        return self.node if isinstance(self.node, Scalar) else None

    @property
    def is_list(self) -> bool:
        """Whether a list is here."""
        return isinstance(self.node, Items)

    @property
    def is_map(self) -> bool:
        """Whether a map is here."""
        return isinstance(self.node, Fields)

    @property
    def is_null(self) -> bool:
        """Whether nothing is here."""
        return isinstance(self.node, Scalar) and self.node.value is None

    def items(self) -> Iterator[Spot]:
        """Yield the items of a list; of anything else itself, of nothing none."""
        if isinstance(self.node, Items):
            for index, node in enumerate(self.node.items):
                yield Spot(node, self.found, self, index)
        elif not self.is_null:
            yield self

    def entries(self) -> Iterator[tuple[str, Spot]]:
        """Yield keys and values of a map with free keys; anything else is a fault."""
        if isinstance(self.node, Fields):
            for key, node in self.node.fields.items():
                yield key, Spot(node, self.found, self, key)
        elif not self.is_null:
            self.expected("a map")

    # ------------------------------------------------------------ scalars

    def text(self) -> Text | None:
        """Return a scalar as the text that Go makes of it, None for nothing. A list or map is a fault."""
        if not isinstance(self.node, Scalar):
            self.expected("text")
            return None
        if self.node.value is None:
            return None
        return Text(raw=go_text(self.node.value), line=self.line, column=self.column)

    def word(self) -> str:
        """Return a text that is not expanded, "" for nothing."""
        text = self.text()
        return text.raw if text is not None else ""

    def texts(self) -> tuple[Text, ...]:
        """Return a text or a list of them."""
        return tuple(text for item in self.items() if (text := item.text()) is not None)

    def words(self) -> tuple[str, ...]:
        """Return a text or a list of them that are not expanded."""
        return tuple(text.raw for text in self.texts())

    def flag(self) -> bool | None:
        """Return true or false."""
        value = self._value()
        if isinstance(value, str):
            value = _FLAGS.get(value.lower(), value)
        if value is None or isinstance(value, bool):
            return value
        self.expected("true or false")
        return None

    def whole(self, least: int = 0, most: int = MOST) -> int | None:
        """Return a whole number between two others, also from digits in quotes."""
        value = self._value()
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.expected("a whole number")
            return None
        if not least <= value <= most:
            self.fault("out_of_range", f"found {show(value)}, expected {least:,} to {most:,}")
            return None
        return value

    def number(self) -> float | None:
        """Return a number."""
        value = self._value()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        self.expected("a number")
        return None

    def later(self) -> int | Text | None:
        """Return a whole number, or a text with a reference that becomes one."""
        if isinstance(self.node, Scalar) and isinstance(self.node.value, str) and "$" in self.node.value:
            return self.text()
        return self.whole()

    def choice(self, choices: type[Choice]) -> Choice | None:
        """Return one of the words of an enum."""
        text = self.text()
        if text is None or text.raw == "":
            return None
        try:
            return choices(text.raw)
        except ValueError:
            message = f"found {quote(text.raw)}, expected one of {listed([one.value for one in choices])}"
            self.fault("unknown_word", message, self.nearest(text.raw, [one.value for one in choices]))
            return None

    def _value(self) -> object:
        """Return a scalar's value; a list or map is itself, which no reader takes."""
        return self.node.value if isinstance(self.node, Scalar) else self.node

    # ------------------------------------------------------------ maps

    def pairs(self) -> tuple[Pair, ...]:
        """Return a map of free names to texts."""
        return tuple(Pair(name=key, value=text) for key, spot in self.entries() if (text := spot.text()) is not None)

    def record(self, table: Table) -> Record:
        """Return a map by the current names of its keys. Unknown, refused and doubled keys are faults."""
        record = Record(self, {})
        if not isinstance(self.node, Fields):
            if not self.is_null:
                self.expected("a map")
            return record
        for key, node in self.node.fields.items():
            name = table.name(key)
            if name is None or name in record.spots or name in table.refused:
                self._odd(key, name, table)
            else:
                record.spots[name] = Spot(node, self.found, self, key)
        return record

    def _odd(self, key: str, name: str | None, table: Table) -> None:
        at = self.node.keys[key] if isinstance(self.node, Fields) else None
        path = self.path + step(key)
        if name is None:
            known = sorted({known for known in table.names.values() if known not in table.refused})
            self.fault(
                "unknown_key", f"found the key {quote(key)}, which means nothing here", self.nearest(key, known), at, path
            )
        elif name in table.refused:
            self.fault("unsupported_key", f"found the key {quote(key)}: {table.refused[name]}", "", at, path)
        else:
            self.fault(
                "duplicate_key", f"found the key {quote(key)}: {name} has been said before in other letters", "", at, path
            )


@dataclass(frozen=True, slots=True)
class Record:
    """A map by the current names of its keys. What is null is absent."""

    spot: Spot
    spots: dict[str, Spot]

    def at(self, name: str) -> Spot | None:
        """Return where a value stands, None where nothing is said."""
        spot = self.spots.get(name)
        return None if spot is None or spot.is_null else spot

    def has(self, name: str) -> bool:
        """Whether something is said."""
        return self.at(name) is not None

    def note_ignored(self, name: str, why: str) -> None:
        """Note a key that changes nothing here, if it is said."""
        if self.has(name):
            self.spots[name].note("ignored_key", f"{name} changes nothing: {why}")

    def text(self, name: str) -> Text | None:
        """Return a text."""
        spot = self.at(name)
        return spot.text() if spot is not None else None

    def word(self, name: str) -> str:
        """Return a text that is not expanded, "" where nothing is said."""
        spot = self.at(name)
        return spot.word() if spot is not None else ""

    def texts(self, name: str) -> tuple[Text, ...]:
        """Return a text or a list of them."""
        spot = self.at(name)
        return spot.texts() if spot is not None else ()

    def words(self, name: str) -> tuple[str, ...]:
        """Return a text or a list of them that are not expanded."""
        spot = self.at(name)
        return spot.words() if spot is not None else ()

    def flag(self, name: str) -> bool:
        """Return true or false, false where nothing is said."""
        spot = self.at(name)
        return spot is not None and bool(spot.flag())

    def whole(self, name: str, absent: int = 0, least: int = 0, most: int = MOST) -> int:
        """Return a whole number, `absent` where nothing is said."""
        spot = self.at(name)
        value = spot.whole(least, most) if spot is not None else None
        return absent if value is None else value

    def number(self, name: str) -> float | None:
        """Return a number."""
        spot = self.at(name)
        return spot.number() if spot is not None else None

    def pairs(self, name: str) -> tuple[Pair, ...]:
        """Return a map of free names to texts."""
        spot = self.at(name)
        return spot.pairs() if spot is not None else ()

    def items(self, name: str) -> Iterator[Spot]:
        """Yield the items of a list, or a single one."""
        spot = self.at(name)
        if spot is not None:
            yield from spot.items()


def _counted(count: int, lead: str, noun: str) -> str:
    return f"{lead} {count:,} {noun}{'' if count == 1 else 's'}"
