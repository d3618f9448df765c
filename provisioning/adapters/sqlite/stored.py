"""What was stored, as records again. Rows may have been damaged: what does not fit is refused as SQLite refuses a bad page."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from provisioning.codec import CodecError, build, decode

T = TypeVar("T")


class Damaged(sqlite3.DataError):
    """A cell holds what was never written there. `database.store_error` tells it as it tells damaged pages."""

    sqlite_errorname = "SQLITE_CORRUPT"


def from_json(body: object, type_: type[T]) -> T:
    """Return the record in a cell of JSON; unknown fields are ignored. Raises Damaged."""
    if not isinstance(body, str | bytes):
        raise Damaged(f"expected JSON, got {body!r}")
    try:
        return decode(body, type_, strict=False)
    except CodecError as error:
        raise Damaged(f"{type_.__name__}: {error}") from error


def from_row(type_: type[T], names: Sequence[str], row: Sequence[object]) -> T:
    """Return the record whose fields of these names a row holds. Times have an offset. Raises Damaged."""
    try:
        record = build(dict(zip(names, row, strict=True)), type_, strict=False)
    except CodecError as error:
        raise Damaged(f"{type_.__name__}: {error}") from error
    for name in names:
        value = getattr(record, name)
        if isinstance(value, datetime) and value.utcoffset() is None:
            raise Damaged(f"{type_.__name__}: $.{name}: a time without an offset")
    return record


def text(value: object) -> str:
    """Return the text in a cell. Raises Damaged."""
    if not isinstance(value, str):
        raise Damaged(f"expected text, got {value!r}")
    return value


def number(value: object) -> int:
    """Return the whole number in a cell. Raises Damaged."""
    if not isinstance(value, int):
        raise Damaged(f"expected a number, got {value!r}")
    return value
