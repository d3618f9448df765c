"""Commands in text, `` `date` `` and `$(date)`: found here, run elsewhere, and only where the caller wants them (rule Y3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from provisioning.core.dagu.text import PLAIN_RULES, Rules, Scope, expand
from provisioning.core.frozen import dataclass

_OPENING = re.compile(r"`|\$\(")
_ESCAPED = re.compile(r"\\([`\\$])")
_BACKTICK = re.compile(r"[^`\\]*+(?:\\.[^`\\]*+)*+`", re.DOTALL)
_INSIDE = re.compile(
    r"""\\. | '[^']*+' | "(?:[^"\\]|\\.)*+" | [()] | ['"]""", re.VERBOSE | re.DOTALL
)  # a quote by itself is one that is never closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command and where it stands in its text, its marks included."""

    start: int
    end: int
    command: str


def commands_in(text: str) -> tuple[Command, ...]:
    """Return the outermost commands of a text, in order. Takes linear time.

    In `$(..)` parentheses nest, and quotes hide them; in backticks a backslash protects a backtick, a dollar and itself.
    An odd number of backslashes before a command protects it. `$((..))` is arithmetic, which is left to shells. A command that
    is never closed is text, and so is everything behind it.
    """
    found: list[Command] = []
    at = 0
    while opening := _OPENING.search(text, at):
        start = opening.start()
        if _protected(text, start) or text.startswith("$((", start):
            at = opening.end()
            continue
        end = _end(text, opening)
        if end < 0:
            break
        found.append(Command(start=start, end=end, command=_inner(text, opening, end)))
        at = end
    return tuple(found)


def with_results(text: str, results: Sequence[str], scope: Scope | None = None, *, rules: Rules = PLAIN_RULES) -> str:
    """Return a text with its commands replaced by what they printed, newlines at its end aside, as shells do it.

    With a scope, the references around the commands are replaced too; those in what was printed are not.
    Raises ValueError unless there are as many results as commands.
    """
    parts: list[str] = []
    done = 0
    for command, result in zip(commands_in(text), results, strict=True):
        parts += (_around(text[done : command.start], scope, rules), result.rstrip("\r\n"))
        done = command.end
    return "".join([*parts, _around(text[done:], scope, rules)])


def _around(text: str, scope: Scope | None, rules: Rules) -> str:
    return text if scope is None else expand(text, scope, rules=rules)


def _inner(text: str, opening: re.Match[str], end: int) -> str:
    inner = text[opening.end() : end - 1]
    return _ESCAPED.sub(r"\1", inner) if opening[0] == "`" else inner


def _end(text: str, opening: re.Match[str]) -> int:
    """Return the offset behind a command, or -1 where it is never closed."""
    if opening[0] == "`":
        closed = _BACKTICK.match(text, opening.end())
        return closed.end() if closed else -1
    depth = 1
    for part in _INSIDE.finditer(text, opening.end()):
        if part[0] in {"'", '"'}:
            return -1
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if depth == 0:
            return part.end()
    return -1


def _protected(text: str, at: int) -> bool:
    first = at
    while first and text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1
