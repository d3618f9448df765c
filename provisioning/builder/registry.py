"""The Python functions that steps run: registered by name, found by name.

A function goes by `module:name` unless it was given another name. The names are in the journal, so a function that is renamed
keeps its old name as an alias for the runs that are still open.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from provisioning.errors import NotFoundError, UsageError

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

_named: dict[str, Function] = {}
_names: dict[Function, str] = {}


@overload
def task(fn: F) -> F: ...
@overload
def task(*, name: str = "", aliases: Sequence[str] = ()) -> Callable[[F], F]: ...


def task(fn: F | None = None, *, name: str = "", aliases: Sequence[str] = ()) -> F | Callable[[F], F]:
    """Register a function, sync or async, that steps may run. Raises UsageError when a name means another one already."""

    def register(function: F) -> F:
        names = (name or _own_name(function), *aliases)
        for each in names:
            other = _named.get(each)
            if other is not None and _own_name(other) != _own_name(function):
                raise UsageError(f"task {each} is {_own_name(other)} already", hint=f"give {_own_name(function)} another name")
        _named.update(dict.fromkeys(names, function))
        _names[function] = names[0]
        return function

    return register if fn is None else register(fn)


def name_of(function: Function | str) -> str:
    """Return the name a step stores. Raises UsageError for what nobody could find again: a lambda, a function in a function."""
    if isinstance(function, str):
        if function not in _named:
            _check_path(function)
        return function
    if function in _names:
        return _names[function]
    name = _own_name(function)
    if "<" in name:
        raise UsageError(f"{name} cannot be found by its name again", hint="decorate it with @task(name=...)")
    return name


def find(name: str) -> Function:
    """Return the function of this name, imported if need be. Raises NotFoundError."""
    if name in _named:
        return _named[name]
    module, _, attribute = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        if name in _named:  # importing has registered it
            return _named[name]
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        hint = "import the module that registers it; give a renamed function its old name as an alias"
        raise NotFoundError(f"there is no task {name}: {type(error).__name__}: {error}", hint=hint) from error
    if not callable(found):
        raise NotFoundError(f"{name} is no function")
    return found


def _own_name(function: Function) -> str:
    if not hasattr(function, "__qualname__"):
        raise UsageError(f"{function!r} is no function")
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = spec.name if spec is not None else Path(str(getattr(main, "__file__", "__main__"))).stem
    return f"{module}:{function.__qualname__}"


def _check_path(name: str) -> None:
    module, colon, attribute = name.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise UsageError(f"{name!r} is no task", hint='register it with @task, or write "package.module:function"')
