"""Is this what an action's settings may be? Asked before anything is done, by builders as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from provisioning.core.ports import Outcome
from provisioning.core.shown import quote
from provisioning.core.suggest import nearest
from provisioning.engine.actions import Result

Check = Callable[[object], str]
"""Returns what a value should have been, or nothing when it is right. Never repeats the value: it may be a secret."""

Scalar = str | int | float | bool | None


def faults(settings: Mapping[str, object], known: Mapping[str, Check]) -> list[str]:
    """Return what is wrong with each setting. One that is null counts as not given."""
    found = []
    for name, value in settings.items():
        if name not in known:
            near = nearest(name, known)
            found.append(f"unknown setting {quote(name)}" + (f', did you mean "{near}"?' if near else ""))
        elif value is not None and (wanted := known[name](value)):
            found.append(f"{name} has to be {wanted}")
    return found


def given(settings: Mapping[str, object], *names: str) -> list[str]:
    """Return those of the names that are set."""
    return [name for name in names if settings.get(name) is not None]


def refused(found: list[str]) -> Result:
    """Return the end of a step whose settings are wrong."""
    return Result(outcome=Outcome.FAILED, error_kind="settings", error="; ".join(found), retryable=False)


def scalar_text(value: object) -> str:
    """Return a scalar as programs are given it: true, 1.5, text as it is, nothing for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# ---------------------------------------------------------------- checks


def text(value: object) -> str:
    """A text; NUL ends one for the system, so it is refused."""
    return "" if isinstance(value, str) and _sound(value) else "a text"


def name(value: object) -> str:
    """A text that is not empty and no option in disguise."""
    right = isinstance(value, str) and value.strip() and not value.startswith("-") and value.isprintable()
    return "" if right else "a text that is not empty and does not begin with -"


def flag(value: object) -> str:
    """True or false."""
    return "" if isinstance(value, bool) else "true or false"


def seconds(value: object) -> str:
    """A time that may be zero."""
    return "" if _number(value) and 0 <= float(value) < float("inf") else "a number of seconds"  # type: ignore[arg-type]


def more_seconds(value: object) -> str:
    """A time above zero."""
    return "" if not seconds(value) and float(value) > 0 else "a number of seconds above 0"  # type: ignore[arg-type]


def whole(value: object) -> str:
    """A count of something, zero included."""
    return "" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "a whole number, at least 0"


def words(value: object) -> str:
    """A program and its arguments."""
    right = isinstance(value, list | tuple) and value and not any(text(each) for each in value) and value[0]
    return "" if right else "a list of texts, the first of them not empty"


def texts(value: object) -> str:
    """A list of texts that may be empty."""
    right = isinstance(value, list | tuple) and not any(text(each) for each in value)
    return "" if right else "a list of texts"


def scalars(value: object) -> str:
    """Names and values."""
    right = isinstance(value, Mapping) and all(isinstance(each, Scalar) for each in value.values())
    return "" if right else "an object whose values are texts, numbers, true or false"


def environment(value: object) -> str:
    """Variables for a program."""
    if wanted := scalars(value):
        return wanted
    return environment_names(value) if isinstance(value, Mapping) else ""


def environment_names(variables: Mapping[str, object]) -> str:
    """Return what is wrong with the names or values of variables."""
    for variable, value in variables.items():
        if (
            not variable
            or not _sound(variable)
            or variable.startswith("#")
            or any(char == "=" or char.isspace() for char in variable)
        ):
            return f"without the variable {quote(variable)}, whose name no system takes"
        if isinstance(value, str) and not _sound(value):
            return f"without the variable {quote(variable)}, whose value no system takes"
    return ""


def one_of(*choices: str) -> Check:
    """Return the check for one of a few words."""
    return lambda value: "" if value in choices else " or ".join(choices)


def _sound(value: str) -> bool:
    try:
        return b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character
        return False


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
