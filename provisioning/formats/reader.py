"""Read fields of a parsed document strictly and keep going.

What does not fit is read as if it were absent and its item is remembered; `explain` then asks the JSON Schema what is
wrong there. Valid documents never pay for the schema, and the rest of an invalid one can still be checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from enum import StrEnum
from typing import TypeVar, cast

Item = tuple[str | int, ...]
"""A part of a document that is explained as a whole: `("formulas", 3)`; () is the document itself."""

Choice = TypeVar("Choice", bound=StrEnum)
Fields = Mapping[str, object]
NO_FIELDS: Fields = {}
NOTHING: frozenset[str] = frozenset()


class Reader:
    """Reads one document. `deviations` has the items that do not fit, in order."""

    def __init__(self) -> None:
        self.deviations: dict[Item, None] = {}
        self.item: Item = ()

    def note(self) -> None:
        """Remember that the current item does not fit."""
        self.deviations[self.item] = None

    def record(self, value: object, known: Set[str], required: Set[str] = NOTHING) -> Fields:
        """Return an object's fields; unknown and missing ones are noted. Anything else has no fields."""
        if not isinstance(value, dict):
            self.note()
            return NO_FIELDS
        if not value.keys() <= known or not value.keys() >= required:
            self.note()
        return value

    def items(self, fields: Fields, key: str) -> list[object]:
        """Return a list, [] where it is absent or no list."""
        value = fields.get(key, ABSENT)
        if isinstance(value, list):
            return value
        if value is not ABSENT:
            self.note()
        return []

    def mapping(self, fields: Fields, key: str) -> Fields:
        """Return an object with free keys, empty where it is absent or no object."""
        value = fields.get(key, ABSENT)
        if isinstance(value, dict):
            return value
        if value is not ABSENT:
            self.note()
        return NO_FIELDS

    def text(self, fields: Fields, key: str) -> str:
        """Return a text, "" where it is absent or no text."""
        return self.optional_text(fields, key) or ""

    def optional_text(self, fields: Fields, key: str) -> str | None:
        """Return a text, None where it is absent or no text. An empty one is noted: no field takes it."""
        value = fields.get(key, ABSENT)
        if value is ABSENT:
            return None
        if isinstance(value, str) and value:
            return value
        self.note()
        return None

    def matching(self, fields: Fields, key: str, pattern: re.Pattern[str]) -> str | None:
        """Return a text that the whole pattern matches, None where it is absent; another one is noted and returned."""
        value = self.optional_text(fields, key)
        if value is not None and not pattern.fullmatch(value):
            self.note()
        return value

    def flag(self, fields: Fields, key: str) -> bool | None:
        """Return true or false, None where it is absent or neither."""
        value = fields.get(key, ABSENT)
        if isinstance(value, bool):
            return value
        if value is not ABSENT:
            self.note()
        return None

    def whole(self, fields: Fields, key: str) -> int | None:
        """Return a whole number, None where it is absent or none; 4.0 is one, as in JSON Schema."""
        value = fields.get(key, ABSENT)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value is not ABSENT:
            self.note()
        return None

    def number(self, fields: Fields, key: str) -> float | None:
        """Return a number, None where it is absent or none."""
        value = fields.get(key, ABSENT)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if value is not ABSENT:
            self.note()
        return None

    def choice(self, fields: Fields, key: str, choices: type[Choice]) -> Choice | None:
        """Return one of the words of an enum, None where it is absent or no such word."""
        value = fields.get(key, ABSENT)
        if value is ABSENT:
            return None
        try:
            return choices(cast("str", value))
        except ValueError:
            self.note()
            return None


class _Absent:
    """Tells a missing field from null, which no field takes."""


ABSENT = _Absent()
