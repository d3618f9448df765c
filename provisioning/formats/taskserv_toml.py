"""What `taskserv.toml` declares: keys, types, faults. `schemas/taskserv.schema.json` says the same to editors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from provisioning.core.declare import NAME_PATTERN, ParamSpec, Taskserv
from provisioning.core.faults import Fault
from provisioning.core.params import PARAM_PATTERN, PARAM_TYPES, fits
from provisioning.core.shown import quote, show
from provisioning.core.suggest import nearest
from provisioning.formats.tomlreader import TomlReader

FILE_NAME = "taskserv.toml"
_NAME = re.compile(NAME_PATTERN)


def read_declaration(text: str, name: str, file: str) -> tuple[Taskserv, list[Fault]]:
    """Return what `text` declares of taskserv `name`, without path and profiles, and every fault in it.

    A key with a fault keeps its default, so that the rest can still be used.
    """
    reader = _Reader(text=text, file=file)
    table = reader.parse()
    reader.unknown_keys(table, _KEYS)
    values = {key: value for key in _KEYS if (value := reader.value(table, key)) is not None}
    if values.pop("name", name) != name:
        reader.fault("name_differs", f"name {quote(str(table['name']))} is not its folder's name {quote(name)}", ("name",))
    return Taskserv(name=name, path="", profiles={}, params=reader.params(table), **values), reader.faults  # type: ignore[arg-type]


def _text(value: object) -> object | None:
    return value if isinstance(value, str) else None


def _names(value: object) -> object | None:
    if isinstance(value, list) and all(isinstance(item, str) and _NAME.match(item) for item in value):
        return tuple(dict.fromkeys(value))
    return None


def _operations(value: object) -> object | None:
    return _names(value) or None


def _flag(value: object) -> object | None:
    return value if isinstance(value, bool) else None


def _seconds(value: object) -> object | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**7:
        return float(value)
    return None


_KEYS: Mapping[str, tuple[Callable[[object], object | None] | None, str]] = {
    "name": (_text, "a text"),
    "version": (_text, "a text"),
    "description": (_text, "a text"),
    "operations": (_operations, "a list of at least one name"),
    "idempotent": (_flag, "true or false"),
    "timeout_s": (_seconds, "seconds, above 0"),
    "requires": (_names, "a list of capabilities"),
    "provides": (_names, "a list of capabilities"),
    "conflicts_with": (_names, "a list of taskservs or capabilities"),
    "params": (None, "a table"),
}
_PARAM_KEYS = ("type", "default", "required", "description")


class _Reader(TomlReader):
    """One declaration."""

    __slots__ = ()

    def value(self, table: Mapping[str, object], key: str) -> object | None:
        check, expected = _KEYS[key]
        if check is None or key not in table:
            return None
        value = check(table[key])
        if value is None:
            self.fault("wrong_type", f"{quote(key)} must be {expected}, found {show(table[key])}", (key,))
        return value

    def params(self, table: Mapping[str, object]) -> dict[str, ParamSpec]:
        declared = table.get("params", {})
        if not isinstance(declared, dict):
            self.fault("wrong_type", f"'params' must be a table, found {show(declared)}", ("params",))
            return {}
        return {name: self._param(name, spec) for name, spec in declared.items()}

    def _param(self, name: str, spec: object) -> ParamSpec:
        path = ("params", name)
        if not re.match(PARAM_PATTERN, name):
            self.fault("bad_name", f"param {quote(name)} cannot be written in a template", path, "letters, digits and _ only")
        if not isinstance(spec, dict):
            self.fault(
                "wrong_type", f"param {quote(name)} must be a table, found {show(spec)}", path, '{ type = "string", ... }'
            )
            return ParamSpec()
        self.unknown_keys(spec, _PARAM_KEYS, path)
        made = ParamSpec(
            type=self._type(name, spec.get("type", "string")),
            default=spec.get("default"),
            required=self._plain(spec, "required", bool, path) is True,
            description=str(self._plain(spec, "description", str, path) or ""),
        )
        self._check_default(made, spec, path)
        return made

    def _type(self, name: str, given: object) -> str:
        if isinstance(given, str) and given in PARAM_TYPES:
            return given
        near = nearest(str(given), PARAM_TYPES)
        hint = f"did you mean {quote(near)}?" if near else f"known: {', '.join(PARAM_TYPES)}"
        self.fault("unknown_type", f"param {quote(name)} has the unknown type {show(given)}", ("params", name), hint)
        return "string"

    def _plain(self, spec: Mapping[str, object], key: str, kind: type, path: tuple[str, ...]) -> object | None:
        value = spec.get(key)
        if value is None or isinstance(value, kind):
            return value
        self.fault("wrong_type", f"{quote(key)} must be a {kind.__name__}, found {show(value)}", path)
        return None

    def _check_default(self, spec: ParamSpec, given: Mapping[str, object], path: tuple[str, ...]) -> None:
        if "default" not in given or given.get("type", spec.type) != spec.type:
            return  # nothing to check, or its type is a fault of its own
        name = path[-1]
        if spec.required:
            self.fault("useless_default", f"param {quote(name)} is required, so its default is never used", path)
        elif not fits(spec.type, spec.default):
            self.fault("wrong_type", f"default of param {quote(name)} must be a {spec.type}, found {show(spec.default)}", path)
        elif not _is_json(spec.default):
            self.fault("wrong_type", f"default of param {quote(name)} holds a date or time", path, "write it as text")


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
