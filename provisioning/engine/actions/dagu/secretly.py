"""Secrets of a Dagu file: their values, at the last moment. What is kept refers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from provisioning.core.dagu.declared import Secret
from provisioning.core.mask import MIN_BYTES
from provisioning.core.ports import Secrets


def revealed(declared: Iterable[Secret], secrets: Secrets) -> dict[str, str]:
    """Return the values by name. Raises ConfigError naming the secret, never its value."""
    return {one.name: secrets.resolve(reference(one)) for one in declared}


def reference(secret: Secret) -> str:
    """Return a secret as the port knows it: `env:NAME`, `file:PATH`."""
    return secret.ref or f"{secret.provider}:{secret.key}"


def without(variables: Mapping[str, str], declared: Iterable[Secret]) -> dict[str, str]:
    """Return variables of a process without those that are secrets: what is evaluated with them is kept in the history."""
    secret = names(declared)
    return {name: value for name, value in variables.items() if name not in secret}


def names(declared: Iterable[Secret]) -> frozenset[str]:
    """Return what a file may call its secrets, the variables of the process that hold them among it."""
    return frozenset(name for one in declared for name in (one.name, _variable(one)) if name)


def every_name(declared: Iterable[Secret], values: Mapping[str, str]) -> dict[str, str]:
    """Return values by all names that a file may call them by: also by those of the process's variables that hold them."""
    variables = {_variable(one): values[one.name] for one in declared}
    return {name: value for name, value in {**variables, **values}.items() if name}


def handed_over(
    pairs: Iterable[tuple[str, str]], declared: Iterable[Secret], values: Mapping[str, str]
) -> tuple[list[tuple[str, str]], Sequence[Secret]]:
    """Return parameters of another run without the secrets that are in them, and the secrets that they refer to instead.

    The names of those follow from where the secrets come from: nothing else in that run is called so.
    """
    kept, needed = list(pairs), []
    for one in sorted(declared, key=lambda one: -len(values[one.name])):  # one may be a part of another
        value, known = values[one.name], replace(one, name=_handed_name(one))
        if len(value.encode("utf-8", "surrogateescape")) >= MIN_BYTES and any(value in text for _name, text in kept):
            kept = [(name, text.replace(value, f"${{{known.name}}}")) for name, text in kept]
            needed.append(known)
    return kept, needed


def _handed_name(secret: Secret) -> str:
    mark = "_" + hashlib.sha256(reference(secret).encode()).hexdigest()[:8]
    return secret.name.removesuffix(mark) + mark


def _variable(secret: Secret) -> str:
    """Return the variable of the process that holds a secret; nothing for one in a file."""
    provider, _, key = reference(secret).partition(":")
    return key if provider == "env" else ""
