"""Read declared files: JSON as text, Nickel by evaluation; and give faults their file, line and column."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.core.faults import Fault, Severity
from provisioning.core.frozen import dataclass
from provisioning.core.shown import escaped
from provisioning.formats.jsontext import SIZE_LIMIT_BYTES, Parsed, locate, parse_json, too_large

if TYPE_CHECKING:
    from provisioning.formats.nickel import Evaluated, NickelLimits

MESSAGE_LIMIT = 600  # characters
_KEY_MARK = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file that was read. With an error among `faults` the value must not be used."""

    file: str  # as faults name it
    value: object = None
    text: str = ""  # of a JSON file; "" has no positions
    faults: tuple[Fault, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there is a value, perhaps one with faults."""
        return self.value is not None


def read_sources(paths: Sequence[Path], *, root: Path, limits: NickelLimits | None = None) -> list[Source]:
    """Read `.json` and `.ncl` files, the latter in one child process. Never raises for what the files are or contain.

    Faults name files relative to `root`.
    """
    contents = {path: read_bytes(path) for path in paths}
    scripts = [path for path in paths if path.suffix == ".ncl" and isinstance(contents[path], bytes)]
    evaluated = dict(zip(scripts, _evaluate(scripts, root=root, limits=limits), strict=True)) if scripts else {}
    sources = []
    for path in paths:
        shown, content = shown_path(path, root), contents[path]
        if isinstance(content, Fault):
            sources.append(Source(file=shown, faults=(replace(content, file=shown),)))
        elif path in evaluated:
            sources.append(_evaluated(evaluated[path], path, shown, root, limits))
        else:
            sources.append(_parsed(parse_json(content), shown))
    return sources


def shown_path(path: Path, root: Path) -> str:
    """Return how faults name a file."""
    return escaped(str(path.relative_to(root) if path.is_relative_to(root) else path))


def read_bytes(path: Path, *, most: int = SIZE_LIMIT_BYTES) -> bytes | Fault:
    """Return a file's content, or the fault that it cannot be read, or is larger than `most` bytes."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _unreadable("is a folder, expected a file")
        if not stat.S_ISREG(status.st_mode):
            return _unreadable("is no regular file")
        if status.st_size > most:
            return too_large(status.st_size, most)
        return path.read_bytes()
    except FileNotFoundError:
        return _unreadable("is a link to nothing" if path.is_symlink() else "does not exist")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return _unreadable(f"cannot be read: {reason.lower()}")


def finish(source: Source, faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Return the faults of a source with file, line and column, once each and in the order of the file."""
    every = _with_contract(source.faults, _distinct(faults))
    asked = {fault.path for fault in every if fault.path and not fault.line}
    places = locate(source.text, asked) if source.text and asked else {}
    return tuple(sorted((_placed(fault, source, places) for fault in every), key=_order))


def has_errors(faults: Iterable[Fault]) -> bool:
    """Whether any of the faults refuses the file."""
    return any(fault.severity is Severity.ERROR for fault in faults)


def _unreadable(message: str) -> Fault:
    return Fault(code="unreadable", message=message)


def _parsed(parsed: Parsed, shown: str) -> Source:
    faults = tuple(replace(fault, file=shown) for fault in parsed.faults)
    text = "" if parsed.value is None else parsed.text
    return Source(file=shown, value=parsed.value, text=text, faults=_null(parsed.value, shown, faults))


def _null(value: object, shown: str, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    if value is not None or faults:
        return faults
    return (Fault(code="wrong_type", message="found null, expected an object", file=shown, path="$"),)


def _evaluate(paths: Sequence[Path], *, root: Path, limits: NickelLimits | None, lenient: bool = False) -> Sequence[Evaluated]:
    from provisioning.formats.nickel import evaluate

    return evaluate(paths, root=root, limits=limits, lenient=lenient)


def _evaluated(evaluated: Evaluated, path: Path, shown: str, root: Path, limits: NickelLimits | None) -> Source:
    faults = evaluated.faults
    if evaluated.contract:  # Nickel stops at the first broken contract; without contracts we see everything
        evaluated = _evaluate([path], root=root, limits=limits, lenient=True)[0]
    if evaluated.faults:
        return Source(file=shown, faults=faults)
    parsed = parse_json(evaluated.data)
    found = tuple(replace(fault, file=shown, line=0, column=0) for fault in parsed.faults)
    return Source(file=shown, value=parsed.value, faults=(*faults, *_null(parsed.value, shown, found)))


def _distinct(faults: Iterable[Fault]) -> list[Fault]:
    """Drop what a check found that the schema had said already: same place, same code, other words."""
    kept: dict[tuple[str, str, str], Fault] = {}
    said: set[tuple[str, str]] = set()
    for fault in faults:
        key = (fault.path.removesuffix(_KEY_MARK), fault.code)
        if key not in said or fault.code == "missing_field":
            kept.setdefault((*key, fault.message), fault)
        said.add(key)
    return list(kept.values())


def _with_contract(own: Sequence[Fault], found: list[Fault]) -> list[Fault]:
    """Where a check says what a broken contract says, keep the check's words and Nickel's line; else keep both."""
    broken = next((fault for fault in own if fault.code == "contract"), None)
    words = re.findall(r"`([^`]+)`", broken.message) if broken else []
    alike = [
        index for index, fault in enumerate(found) if words and fault.path.removesuffix(_KEY_MARK).endswith(f".{words[-1]}")
    ]
    if broken is None or len(alike) != 1:
        return [*own, *found]
    index = alike[0]
    placed = replace(found[index], file=broken.file, line=broken.line, column=broken.column)
    return [*(fault for fault in own if fault is not broken), *found[:index], placed, *found[index + 1 :]]


def _placed(fault: Fault, source: Source, places: dict[str, tuple[int, int]]) -> Fault:
    line, column = (fault.line, fault.column) if fault.line else places.get(fault.path, (0, 0))
    message = escaped(fault.message)
    return replace(
        fault,
        file=fault.file or source.file,
        path=fault.path.removesuffix(_KEY_MARK),
        line=line,
        column=column,
        message=message if len(message) <= MESSAGE_LIMIT else f"{message[:MESSAGE_LIMIT]}...",
        hint=escaped(fault.hint)[:MESSAGE_LIMIT],
    )


def _order(fault: Fault) -> tuple[bool, int, int, list[tuple[int, str]]]:
    steps = [(int(number or -1), name) for number, name in re.findall(r"\[(\d{1,9})\]|([^.\[\]]+)", fault.path)]
    return fault.line == 0, fault.line, fault.column, steps
