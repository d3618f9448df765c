"""One thing that is wrong in an input file, and where."""

from __future__ import annotations

from enum import StrEnum

from provisioning.core.frozen import dataclass


class Severity(StrEnum):
    """An error refuses the file; a warning is shown and the work goes on."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault says what was found, where, what was expected and, for names, the nearest one.

    `path` is a JSON path (`$.formulas[2].nodes[0].id`) or empty; `line` and `column` count from 1, 0 is unknown.
    `code` is a stable word for programs (`unknown_formula`), `message` one line for people.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    file: str = ""
    path: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""
