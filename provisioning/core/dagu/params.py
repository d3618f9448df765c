"""Parameters of a DAG run: written as one text, overridden on the command line, checked, and given to steps.

Every parameter has a number, in the order of the file, a named one too: `$2` is the second of all. A positional override
replaces by that number; those past the last get the numbers that follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from types import MappingProxyType

from provisioning.core.dagu.access import Missing, as_text, parse_json
from provisioning.core.dagu.declared import Param
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import listed, quote
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError, UsageError

Finds = Callable[[str, str], bool]
"""(pattern, text) -> whether it is in there; raises ConfigError for a pattern that is none."""

_NAMED = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)=", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z", re.ASCII)
_BLANK = re.compile(r"\s+")
_PIECE = re.compile(
    r"""
      " (?P<double> [^"\\]*+ (?: \\. [^"\\]*+ )*+ ) "
    | ' (?P<single> [^']*+ ) '
    | (?P<command> ` [^`\\]*+ (?: \\. [^`\\]*+ )*+ ` )    # its marks stay: the caller may evaluate it
    | \\ (?P<escaped> ["'`] )
    | (?P<plain> \\ | [^\s"'`\\]++ )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r'\\(["\\])')
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}\Z", re.ASCII)
_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One parameter as somebody gave it; without a name it counts by its position."""

    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One parameter of a run. None as `text` is one that was neither given nor has a default."""

    name: str
    text: str | None
    typed: object = None  # what its declared type makes of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The parameters of a run, in order of their numbers. With faults the run is refused."""

    values: tuple[Value, ...]
    faults: tuple[Fault, ...] = ()


# ---------------------------------------------------------------- what is written


def parse_params(text: str) -> tuple[Given, ...]:
    r"""Return the parameters of one text, such as `a "b c" K=v 'x y'`, or of a JSON object or array.

    In double quotes `\"` and `\\` are a quote and a backslash; single quotes hide everything. Backticks hold together and stay.
    A quoted `"K=v"` as a whole has no name. Raises UsageError for a quote that is never closed.
    """
    structured = _from_json(text)
    if structured is not None:
        return structured
    found: list[Given] = []
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank is not None:
            at = blank.end()
            continue
        named = _NAMED.match(text, at)
        value, at = _word(text, named.end() if named else at)
        found.append(Given(name=named["name"] if named else "", value=value))
    return tuple(found)


def from_arguments(arguments: Sequence[str]) -> tuple[Given, ...]:
    """Return the parameters given as arguments of a command line: `K=v`, or positional.

    A JSON object or array alone is taken apart. A shell has read them already, so quotes and blanks in them mean nothing.
    """
    if len(arguments) == 1 and (structured := _from_json(arguments[0])) is not None:
        return structured
    return tuple(_argument(one) for one in arguments)


def _argument(text: str) -> Given:
    named = _NAMED.match(text)
    return Given(name=named["name"], value=text[named.end() :]) if named else Given(value=text)


def _word(text: str, at: int) -> tuple[str, int]:
    """Return a value and the offset behind it."""
    pieces: list[str] = []
    while at < len(text) and not text[at].isspace():
        piece = _PIECE.match(text, at)
        if piece is None:
            message = f"params: the {text[at]} in column {at + 1} is never closed"
            raise UsageError(message, hint='write \\" for a quote that means itself')
        pieces.append(_unquoted(piece))
        at = piece.end()
    return "".join(pieces), at


def _unquoted(piece: re.Match[str]) -> str:
    if piece["double"] is not None:
        return _ESCAPED.sub(r"\1", piece["double"])
    return next(piece[name] for name in ("single", "command", "escaped", "plain") if piece[name] is not None)


def _from_json(text: str) -> tuple[Given, ...] | None:
    """Return the parameters of a JSON object or array, or None for another text."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        value = parse_json(text)
        if isinstance(value, Mapping):
            return _from_object(value)
        return tuple(one for item in value for one in _from_item(item)) if isinstance(value, list) else None
    except Missing:
        return None


def _from_item(item: object) -> tuple[Given, ...]:
    if isinstance(item, Mapping):
        return _from_object(item)
    return (_argument(item) if isinstance(item, str) else Given(value=_text(item)),)


def _from_object(fields: Mapping[str, object]) -> tuple[Given, ...]:
    return tuple(Given(name=name, value=_text(value)) for name, value in fields.items())


def _text(value: object) -> str:
    return "" if value is None else as_text(value)


# ---------------------------------------------------------------- what a run gets


def resolve(declared: Sequence[Param], defaults: Sequence[str | None], given: Sequence[Given], finds: Finds) -> Resolved:
    """Return the values of a run: what was given, else the default, each checked against what is declared.

    `defaults` has one text for each declared parameter, references and commands in it replaced, or None. A name that is not
    declared is a fault, if any is; otherwise it is one more parameter. Of two overrides of one name the last counts.
    """
    faults: list[Fault] = []
    index = {param.name: number for number, param in enumerate(declared) if param.name}
    positional = [one.value for one in given if not one.name]
    more = positional[len(declared) :]
    texts = [*positional[: len(declared)], *defaults[len(positional) :], *more]
    added: dict[str, str] = {}
    for one in given:
        if one.name in index:
            texts[index[one.name]] = one.value
        elif one.name and (refused := _refused(one.name, index)):
            faults.append(refused)
        elif one.name:
            added[one.name] = one.value
    params = [*declared, *(Param(name=None) for _ in more), *(Param(name=name) for name in added)]
    pairs = zip(params, [*texts, *added.values()], strict=True)
    values = tuple(_checked(param, number, text, finds, faults) for number, (param, text) in enumerate(pairs, 1))
    return Resolved(values=values, faults=tuple(faults))


def environment(values: Sequence[Value]) -> dict[str, str]:
    """Return the variables that steps get: `1`, `2` and so on, the names, and all of them in `DAG_PARAMS_JSON`."""
    numbered = {str(number): one.text for number, one in enumerate(values, 1) if one.text is not None}
    return {**numbered, **by_name(values), "DAG_PARAMS_JSON": params_json(values)}


def by_name(values: Sequence[Value]) -> dict[str, str]:
    """Return what `${params.NAME}` reads."""
    return {one.name: one.text for one in values if one.name and one.text is not None}


def params_json(values: Sequence[Value]) -> str:
    """Return one JSON object: values of their declared types under their names, or numbers where they have none."""
    fields = {one.name or str(number): one.typed for number, one in enumerate(values, 1) if one.text is not None}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _refused(name: str, known: Mapping[str, int]) -> Fault | None:
    """Return why a run may not have a parameter that is not declared."""
    if not _NAME.match(name):
        message = f"params: {quote(name)} is no name for a parameter"
        return Fault(code="bad_param_name", message=message, hint="letters, digits, _ . and -, a letter or _ first")
    if not known:
        return None
    near = nearest(name, known)
    message = f"params: there is no {quote(name)}, accepted are {listed(known)}"
    return Fault(code="unknown_param", message=message, hint=f"did you mean {near}?" if near else "")


# ---------------------------------------------------------------- checks


def _checked(param: Param, number: int, text: str | None, finds: Finds, faults: list[Fault]) -> Value:
    name = param.name or ""
    called = f"param {quote(name)}" if name else f"param {number}"
    if text is None:
        if param.required:
            faults.append(Fault(code="missing_param", message=f"{called} is required", hint=param.description))
        return Value(name=name, text=None)
    if "\0" in text:
        faults.append(Fault(code="param_type", message=f"{called} has a NUL in it, which no variable can hold"))
    try:
        typed = _READERS.get(param.type, str)(text)
    except ValueError:
        message = f"{called} must be {_NAMES.get(param.type, param.type)}, found {quote(text)}"
        faults.append(Fault(code="param_type", message=message, hint=param.description))
        return Value(name=name, text=text, typed=text)
    for code, problem in _problems(param, text, typed, finds):
        faults.append(Fault(code=code, message=f"{called} {problem}", hint=param.description))
    return Value(name=name, text=text, typed=typed)


def _problems(param: Param, text: str, typed: object, finds: Finds) -> list[tuple[str, str]]:
    """Return what is wrong with a value of the right type: code and message, all at once."""
    found: list[tuple[str, str]] = []
    if param.enum and not any(_same(param, one, text, typed) for one in param.enum):
        found.append(("param_enum", f"must be one of {listed(param.enum)}, found {quote(text)}"))
    if isinstance(typed, int | float) and not isinstance(typed, bool):
        bounds = _bounds(typed, param.minimum, param.maximum)
        found += [("param_range", f"must be {bound}, found {quote(text)}") for bound in bounds]
    if isinstance(typed, str):
        bounds = _bounds(len(text), param.min_length, param.max_length)
        found += [("param_length", f"must have {bound} characters, found {len(text):,}") for bound in bounds]
        if param.pattern is not None and (problem := _mismatch(param.pattern, text, finds)):
            found.append(("param_pattern", problem))
    return found


def _mismatch(pattern: str, text: str, finds: Finds) -> str:
    try:
        return "" if finds(pattern, text) else f"must match {quote(pattern)}, found {quote(text)}"
    except ConfigError as error:
        return f"cannot be checked: {error.message}"


def _same(param: Param, allowed: str, text: str, typed: object) -> bool:
    try:
        return allowed == text or _READERS.get(param.type, str)(allowed) == typed
    except ValueError:
        return False


def _bounds(value: float, least: float | None, most: float | None) -> list[str]:
    found = [f"at least {least:g}"] if least is not None and value < least else []
    return [*found, f"at most {most:g}"] if most is not None and value > most else found


def _whole(text: str) -> int:
    if not _WHOLE.match(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number) or "_" in text:
        raise ValueError(text)
    return int(text) if _WHOLE.match(text) else number


def _truth(text: str) -> bool:
    if text not in _TRUTHS:
        raise ValueError(text)
    return _TRUTHS[text]


_READERS: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"string": str, "integer": _whole, "number": _number, "boolean": _truth}
)
_NAMES = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
