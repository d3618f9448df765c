"""What all shapes of the API have in common, and those that many answers hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from provisioning.core.faults import Fault as CoreFault
from provisioning.core.history import iso

NAME = r"^[A-Za-z0-9](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*\.?$"
"""`core.declare.NAME_PATTERN` without looking ahead, which JSON Schema need not know."""
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=128)]
"""The one rule for names: letters, digits, dot, dash and underscore, at most 128, no `..`."""
Instant = Annotated[datetime, PlainSerializer(iso, return_type=str, when_used="json")]
"""A UTC time as ISO 8601 with `Z`, to the millisecond."""
Note = Annotated[str, StringConstraints(max_length=2000)]


class Shape(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """What a call says. A field that nobody knows is an error, as everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Shape):
    """An error, as RFC 9457 has it (`application/problem+json`)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="a stable word for programs, such as not_found")
    hint: str = Field(default="", description="what to do about it")
    faults: list[Fault] = Field(default=[], description="every fault that was found in the files")


class Fault(Shape):
    """One thing that is wrong in a file, and where. Lines and columns count from 1, 0 is unknown."""

    code: str
    severity: str
    message: str
    file: str = ""
    path: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""


class Done(Shape):
    """It is done, or asked for."""

    done: bool = True


def fault(one: CoreFault) -> Fault:
    """Return a fault as the API shows it."""
    return Fault(
        code=one.code,
        severity=one.severity.value,
        message=one.message,
        file=one.file,
        path=one.path,
        line=one.line,
        column=one.column,
        hint=one.hint,
    )


Problem.model_rebuild()
