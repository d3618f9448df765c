"""References in the text of Dagu files: `${NAME}`, `$NAME`, `$1`, `${NAME.a[0]}`, `${id.stdout}`, `${params.x}`, `${x:0:5}`.

What a reference stands for is put in as it is: it is never looked at again. A reference that means nothing here stays as it is
written, so that a shell may still make something of it. So do the shell's own forms, such as `${x:-default}` and `${#x}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from types import MappingProxyType

from provisioning.core.dagu.access import Missing, Path, as_text, parse_json, parse_path, value_at
from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError

LONGEST_CHARS = 16 * 1024 * 1024  # of a text with its references replaced
STEP_PROPERTIES = frozenset({"stdout", "stderr", "exitCode", "exit_code", "output", "outputs"})
_REFERENCE = re.compile(
    r"""
    \$(?:
        \{ (?: (?P<name> [A-Za-z_][A-Za-z0-9_]*+ | [0-9]{1,9} ) (?= [.\[:}] )
             | (?P<dashed> [A-Za-z_][A-Za-z0-9_-]*+ ) (?= \. ) )
           (?P<path> (?: \.[^\s.:\[\]{}$"'`\\]++ | \[[0-9]{1,9}\] )*+ )
           (?: : (?P<offset> [0-9]{1,9} | [ ]+-[0-9]{1,9} ) (?: : [ ]*+ (?P<length> -?[0-9]{1,9} ) )? )?
        \}
      | (?P<bare> [A-Za-z_][A-Za-z0-9_]*+ | [0-9] )
    )
    """,
    re.VERBOSE,
)
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What differs between the dialects, and between the places of a file."""

    escapes: bool = False  # an odd number of backslashes before a `$` protects it (current dialect)
    keeps_backslash: bool = True  # the protecting one too: right where a shell reads the text after us


PLAIN_RULES = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What can be said about a step that has run. None is what it does not have."""

    stdout: str | None = None  # path of the log
    stderr: str | None = None
    exit_code: int | None = None
    output: object = None  # text that was captured, or the values of a structured output
    outputs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What references can mean at one place. Later ones in this list lose: spaces, steps, variables."""

    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # environment, outputs, `1`, `2`
    steps: Mapping[str, StepFacts] = field(default_factory=lambda: MappingProxyType({}))  # by id
    spaces: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: MappingProxyType({}))  # params, env, consts


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference and where it stands in its text, `start` to `end`."""

    start: int
    end: int
    name: str
    path: Path = ()
    offset: int | None = None  # of a slice; negative counts from the end
    length: int | None = None  # negative: up to so many before the end


def references(text: str, rules: Rules = PLAIN_RULES) -> tuple[Reference, ...]:
    """Return all references in a text that the rules do not protect, in order. Takes linear time."""
    return tuple(_reference(found) for found in _REFERENCE.finditer(text) if not _protected(text, found.start(), rules))


def expand(text: str, scope: Scope, *, rules: Rules = PLAIN_RULES) -> str:
    """Return a text with its references replaced.

    A path into a text that is no JSON, or that leads nowhere, stays as it is written, and so does the output of a step that
    captured none; an empty output is empty. Slices count characters and are those of bash: `${x: -3}` is the end, past the end
    is nothing; one whose end is before its beginning stays. The backslash that protects a `$` goes, unless the rules keep it.
    Raises ConfigError when the result would be longer than 16 Mi characters.
    """
    return _expanded(text, scope, rules, lambda _found: True)


def for_shell(text: str, scope: Scope, *, in_quotes: bool = False, rules: Rules = PLAIN_RULES) -> str:
    """Return a text for a shell with those references replaced that no shell understands: paths and slices (rule Y8).

    All others are variables and arguments, which the shell has. With `in_quotes` braces in single quotes are replaced too:
    shells leave them, Dagu did not. Raises as `expand` does.
    """
    quoted = _single_quoted(text) if in_quotes and "'" in text else ()

    def wanted(found: re.Match[str]) -> bool:
        if found["path"] or found["offset"] is not None:
            return True
        return found["bare"] is None and any(start < found.start() < end for start, end in quoted)

    return _expanded(text, scope, rules, wanted)


_SHELL_TEXT = re.compile(
    r"""\\. | "(?:[^"\\]|\\.)*+" | '(?P<single>[^']*+)' | (?:(?<=[\s;&|()])|\A)\#[^\n]*+""", re.VERBOSE | re.DOTALL
)


def _single_quoted(text: str) -> tuple[tuple[int, int], ...]:
    """Return where single quotes begin and end; those in double quotes and comments mean nothing."""
    return tuple(found.span() for found in _SHELL_TEXT.finditer(text) if found["single"] is not None)


def _expanded(text: str, scope: Scope, rules: Rules, wanted: Callable[[re.Match[str]], bool]) -> str:
    if "$" not in text:
        return text
    parsed: dict[str, object] = {}
    parts: list[str] = []
    size = done = 0
    for found in _REFERENCE.finditer(text):
        part = _replaced(text, found, scope, rules, parsed) if wanted(found) else None
        if part is None:
            continue
        start = found.start() - (1 if _protected(text, found.start(), rules) else 0)
        parts += (text[done:start], part)
        size += start - done + len(part)
        done = found.end()
        if size > LONGEST_CHARS:
            raise ConfigError(f"a text becomes longer than {LONGEST_CHARS:,} characters by what its references stand for")
    return "".join([*parts, text[done:]])


def _replaced(text: str, found: re.Match[str], scope: Scope, rules: Rules, parsed: dict[str, object]) -> str | None:
    """Return what comes in the place of a reference, or None when it stays as it is written."""
    if _protected(text, found.start(), rules):
        return None if rules.keeps_backslash else found[0]
    reference = _reference(found)
    try:
        return _sliced(_meaning(reference, scope, parsed), reference)
    except Missing:
        return None


# ---------------------------------------------------------------- what is written


def _reference(found: re.Match[str]) -> Reference:
    offset, length = found["offset"], found["length"]
    return Reference(
        start=found.start(),
        end=found.end(),
        name=found["name"] or found["dashed"] or found["bare"],
        path=parse_path(found["path"] or ""),
        offset=None if offset is None else int(offset),
        length=None if length is None else int(length),
    )


def _protected(text: str, dollar: int, rules: Rules) -> bool:
    if not rules.escapes:
        return False
    first = dollar
    while first and text[first - 1] == "\\":
        first -= 1
    return (dollar - first) % 2 == 1


# ---------------------------------------------------------------- what it means


def _meaning(reference: Reference, scope: Scope, parsed: dict[str, object]) -> str:
    for values in _readings(reference, scope):
        try:
            return _read(*values, parsed)
        except Missing:
            continue
    raise Missing


def _readings(reference: Reference, scope: Scope) -> Iterator[tuple[str, object, Path]]:
    """Yield what a reference can be read as: a key to remember parsed text by, a value, and the path into it."""
    name, path = reference.name, reference.path
    if path and isinstance(path[0], str):
        if name in scope.spaces and path[0] in scope.spaces[name]:
            yield f"{name}.{path[0]}", scope.spaces[name][path[0]], path[1:]
        if name in scope.steps and path[0] in STEP_PROPERTIES:
            yield f"{name}.{path[0]}", _fact(scope.steps[name], path[0]), path[1:]
    if name in scope.variables:
        yield name, scope.variables[name], path


def _fact(step: StepFacts, name: str) -> object:
    if name in {"exitCode", "exit_code"}:
        return step.exit_code
    value: object = getattr(step, name)
    return value


def _read(key: str, value: object, path: Path, parsed: dict[str, object]) -> str:
    """Return what is at a path of a value; text is read as JSON, once. A fact that is not there is Missing."""
    if not path:
        if value is None:
            raise Missing
        return as_text(value)
    if isinstance(value, str):
        if key not in parsed:
            parsed[key] = _json_or_nothing(value)
        value = parsed[key]
    return as_text(value_at(value, path))


def _json_or_nothing(text: str) -> object:
    """Return a value that no path leads into for a text that is no JSON, so that it is looked at once only."""
    try:
        return parse_json(text)
    except Missing:
        return None


def _sliced(text: str, reference: Reference) -> str:
    if reference.offset is None:
        return text
    start = reference.offset if reference.offset >= 0 else len(text) + reference.offset
    if start < 0:
        return ""
    length = reference.length
    end = len(text) if length is None else start + length if length >= 0 else len(text) + length
    if end < start <= len(text):
        raise Missing
    return text[start:end] if end >= start else ""
