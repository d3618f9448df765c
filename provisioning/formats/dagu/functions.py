"""`functions.toml` in the folder of the DAGs: commands under ids, for steps to name.

    [backup]
    command = "pg_dump \\"$1\\" | gzip"      # for a shell; or a program and its arguments: ["rsync", "-a"]
    working_dir = "scripts"                 # optional; relative to the folder of the file
    env = { RETENTION = 7 }                 # optional
    description = "dumps a database"        # optional

The parameters of a step reach a command as variables where they have names; the others are `$1`, `$2`, ... of a shell, or come
behind the arguments of a program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from provisioning.core.check_faults import NAME_RULE
from provisioning.core.dagu.functions import Function
from provisioning.core.faults import Fault
from provisioning.core.shown import quote, show
from provisioning.errors import ConfigError
from provisioning.formats.dagu.names import good_name
from provisioning.formats.tomlreader import TomlReader
from provisioning.formats.tomltext import SIZE_LIMIT_BYTES

FILE_NAME = "functions.toml"
_KEYS = ("command", "working_dir", "env", "description")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def load_functions(folder: Path) -> Mapping[str, Function]:
    """Return the functions of a folder; none when it has no such file. Raises ConfigError with all faults."""
    path = folder / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as wrong:
        raise ConfigError(f"{path} cannot be read: {(wrong.strerror or str(wrong)).lower()}") from wrong
    functions, faults = read_functions(data, file=FILE_NAME, folder=folder)
    if faults:
        raise ConfigError(f"{path} is wrong: {faults[0].message}", faults=faults)
    return functions


def read_functions(data: bytes, *, file: str, folder: Path) -> tuple[dict[str, Function], list[Fault]]:
    """Return the functions by id, and every fault. One with a fault is left out. `folder` is what paths are relative to."""
    if len(data) > SIZE_LIMIT_BYTES:
        return {}, [Fault(code="too_large", message=f"found more than {SIZE_LIMIT_BYTES:,} bytes", file=file)]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        return {}, [Fault(code="encoding", message="found bytes that are not UTF-8", file=file, line=line)]
    reader = _Reader(text, file)
    found = (reader.function(id, spec, folder) for id, spec in reader.parse().items())
    return {function.id: function for function in found if function is not None}, reader.faults


class _Reader(TomlReader):
    """One file of functions."""

    __slots__ = ()

    def function(self, id: str, spec: object, folder: Path) -> Function | None:
        """Return one function, or nothing when it has a fault."""
        before = len(self.faults)
        if not good_name(id):
            self.fault("bad_name", f"found the function {quote(id)}, expected {NAME_RULE}", (id,))
        if not isinstance(spec, dict):
            self.fault(
                "wrong_type", f"function {quote(id)} must be a table, found {show(spec)}", (id,), '[NAME] command = "..."'
            )
            return None
        self.unknown_keys(spec, _KEYS, (id,))
        self._text(id, spec, "description")
        command, argv = self._command(id, spec)
        where = self._folder(id, spec, folder)
        env = self._env(id, spec.get("env", {}))
        if len(self.faults) > before:
            return None
        return Function(id=id, command=command, argv=argv, working_dir=where, env=MappingProxyType(env))

    def _command(self, id: str, spec: Mapping[str, object]) -> tuple[str | None, tuple[str, ...]]:
        given = spec.get("command")
        if given is None:
            self.fault("missing_key", f"function {quote(id)} has no command", (id,), 'command = "..."')
        elif isinstance(given, str) and given.strip() and "\0" not in given:
            return given, ()
        elif isinstance(given, list) and given and all(_is_word(word) for word in given) and given[0]:
            return None, tuple(given)
        else:
            expected = "a text, or a list of texts, the first of them a program"
            self.fault("wrong_type", f"'command' must be {expected}, found {show(given)}", (id, "command"))
        return None, ()

    def _folder(self, id: str, spec: Mapping[str, object], folder: Path) -> str:
        where = self._text(id, spec, "working_dir")
        try:
            return str(folder / Path(where).expanduser()) if where else ""
        except RuntimeError:  # `~` of nobody
            self.fault("bad_path", f"found the folder {quote(where)} of a user who is not known", (id, "working_dir"))
            return ""

    def _text(self, id: str, spec: Mapping[str, object], key: str) -> str:
        value = spec.get(key, "")
        if isinstance(value, str) and _is_word(value):
            return value
        self.fault("wrong_type", f"{quote(key)} must be a text, found {show(value)}", (id, key))
        return ""

    def _env(self, id: str, given: object) -> dict[str, str]:
        if not isinstance(given, dict):
            self.fault("wrong_type", f"'env' must be a table, found {show(given)}", (id, "env"), 'env = { NAME = "value" }')
            return {}
        for name, value in given.items():
            if not _VARIABLE.match(name):
                self.fault("bad_name", f"found the variable {quote(name)}, expected letters, digits and _", (id, "env", name))
            if not isinstance(value, str | int | float) or not _is_word(str(value)):
                expected = "a text, a number, true or false"
                self.fault("wrong_type", f"variable {quote(name)} must be {expected}, found {show(value)}", (id, "env", name))
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _is_word(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value
