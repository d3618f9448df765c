"""Secret references: `env:NAME` and `file:PATH`. A value never appears in a message or a repr."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from provisioning.core.shown import quote
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError

MAX_BYTES = 1024 * 1024
SCHEMES = "env:NAME, file:PATH"


class ReferenceSecrets:
    """The port `Secrets`, reading the environment and files. Relative paths are relative to the workspace.

    Nothing is kept: each call reads again, so a rotated secret is seen at once.
    """

    def __init__(self, workspace: Path, environ: Mapping[str, str] | None = None) -> None:
        self._workspace = workspace
        self._environ = os.environ if environ is None else environ
        self._schemes: Mapping[str, Callable[[str], str]] = {"env": self._from_env, "file": self._from_file}

    def __repr__(self) -> str:
        return f"ReferenceSecrets({str(self._workspace)!r})"

    def resolve(self, reference: str) -> str:
        """Return the value. One newline at the end of a file is taken off. An empty value is refused.

        Raises ConfigError: unknown scheme, variable not set, file missing, unreadable, too big or not UTF-8.
        """
        scheme, colon, place = reference.partition(":")
        read = self._schemes.get(scheme)
        if not colon or read is None:
            raise _unknown_scheme(scheme if colon else "")
        value = read(place)
        if not value:
            raise ConfigError(f"secret {quote(reference)} is empty", hint="set a value, or remove the secret")
        return value

    def readable(self, references: Iterable[str]) -> Sequence[str]:
        """Return the values that can be read now without waiting for anybody: pipes are left alone, and what is missing."""
        values = []
        for reference in references:
            with suppress(ConfigError):
                if not reference.startswith("file:") or self._path(reference.removeprefix("file:")).is_file():
                    values.append(self.resolve(reference))
        return values

    def _path(self, place: str) -> Path:
        """Return where a file is. Raises ConfigError."""
        try:
            return self._workspace / Path(place).expanduser()
        except (ValueError, RuntimeError) as error:  # no home folder
            raise _unreadable(place, error) from None

    def _from_env(self, name: str) -> str:
        value = self._environ.get(name)
        if value is None:
            raise ConfigError(f"secret {quote(f'env:{name}')}: the variable is not set", hint=f"export {name}=...")
        return value

    def _from_file(self, place: str) -> str:
        try:
            with self._path(place).open("rb") as stream:  # may be a pipe, whose size nobody knows before
                data = stream.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise _unreadable(place, error) from None
        if len(data) > MAX_BYTES:
            raise ConfigError(f"secret {quote(f'file:{place}')} is bigger than {MAX_BYTES // 1024} KiB")
        try:
            return data.decode().removesuffix("\n")
        except UnicodeDecodeError:
            # without the cause: its repr holds the bytes
            raise ConfigError(
                f"secret {quote(f'file:{place}')} is not UTF-8 text", hint="store binary values as base64"
            ) from None


def _unreadable(place: str, error: Exception) -> ConfigError:
    why = getattr(error, "strerror", None) or error
    hint = "relative paths are relative to the workspace"
    return ConfigError(f"secret {quote(f'file:{place}')} cannot be read: {why}", hint=hint)


def _unknown_scheme(scheme: str) -> ConfigError:
    """Return the error without the reference: what has no scheme may be a password put in the wrong place."""
    if not scheme:
        return ConfigError("a secret reference has no scheme", hint=f"write {SCHEMES}")
    known = nearest(scheme, ["env", "file"])
    named = f"the unknown scheme {quote(scheme)}" if known or re.fullmatch("[a-z]{2,10}", scheme) else "an unknown scheme"
    meant = f"did you mean {quote(known)}? " if known else ""
    return ConfigError(f"a secret reference has {named}", hint=f"{meant}known: {SCHEMES}")
