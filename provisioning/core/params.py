"""Parameters of taskservs: what a declaration allows, and a node's values with the defaults filled in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from provisioning.core.declare import ParamSpec
from provisioning.core.faults import Fault
from provisioning.core.shown import quote, step
from provisioning.core.suggest import nearest

PARAM_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*\Z"
"""What a parameter may be called: templates write `params.NAME`."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PARAM_TYPES: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list | tuple),
    "map": lambda value: isinstance(value, Mapping),
    "secret": lambda value: isinstance(value, str),  # the name of a secret that the workspace declares, or ""
}
_EMPTY: Mapping[str, object] = {"string": "", "integer": 0, "number": 0, "boolean": False, "list": (), "map": {}, "secret": ""}


def fits(type_name: str, value: object) -> bool:
    """Return whether `value` is of a parameter's type. An unknown type fits nothing."""
    check = PARAM_TYPES.get(type_name)
    return check is not None and check(value)


def param_faults(
    taskserv: str,
    specs: Mapping[str, ParamSpec],
    given: Mapping[str, object],
    path: str = "$",
    shared: Collection[str] = (),
) -> list[Fault]:
    """Return what is wrong with a node's params: unknown, of the wrong type, missing. `path` is where `given` stands.

    `shared` has the params that the workspace gives. A taskserv that declares no params takes any.
    """
    faults: list[Fault] = []
    if not specs:
        return faults
    for name, value in given.items():
        spec = specs.get(name)
        if spec is None:
            known = nearest(name, list(specs))
            hint = f"did you mean {quote(known)}?" if known else f"{quote(taskserv)} declares: {', '.join(specs) or 'none'}"
            faults.append(
                _fault("unknown_param", f"taskserv {quote(taskserv)} has no param {quote(name)}", path + step(name), hint)
            )
        elif not fits(spec.type, value):
            message = f"param {quote(name)} of taskserv {quote(taskserv)} must be a {spec.type}, found {_kind(value)}"
            faults.append(_fault("param_type", message, path + step(name), spec.description))
    for name, spec in specs.items():
        if spec.required and name not in given and name not in shared:
            message = f"param {quote(name)} of taskserv {quote(taskserv)} is required"
            faults.append(_fault("missing_param", message, path, spec.description))
    return faults


def fill_params(specs: Mapping[str, ParamSpec], given: Mapping[str, object]) -> dict[str, object]:
    """Return every declared param: what was given, else the default, else the type's empty value; then undeclared ones."""
    filled = {name: _EMPTY.get(spec.type) if spec.default is None else spec.default for name, spec in specs.items()}
    return {**filled, **given}


def _fault(code: str, message: str, path: str, hint: str) -> Fault:
    return Fault(code=code, message=message, path=path, hint=hint)


def _kind(value: object) -> str:
    """Return what a person calls the type of a JSON value."""
    if value is None:
        return "null"
    return next((name for name, check in PARAM_TYPES.items() if check(value)), type(value).__name__)
