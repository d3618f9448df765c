"""Find and load a workspace: a folder with `workspace.toml`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from provisioning.core.check_faults import name_faults
from provisioning.core.declare import EMPTY, Workspace
from provisioning.core.faults import Fault
from provisioning.core.shown import step
from provisioning.errors import ConfigError
from provisioning.formats.explain import explain
from provisioning.formats.jsontext import decode
from provisioning.formats.reader import Fields, Reader
from provisioning.formats.source import Source, finish, read_bytes
from provisioning.formats.tomltext import SIZE_LIMIT_BYTES, parse_toml

WORKSPACE_FILE = "workspace.toml"
_FIELDS = frozenset({"name", "default_infra", "settings", "params", "secrets"})
_REQUIRED = frozenset({"name"})
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f]+")


def find_workspace(start: Path) -> Path | None:
    """Return the nearest folder from `start` upward that has a `workspace.toml`, even a broken one; None if there is none."""
    folder = Path(os.path.abspath(start))  # noqa: PTH100 - links are not followed: upward means as the user wrote it
    return next((one for one in (folder, *folder.parents) if os.path.lexists(one / WORKSPACE_FILE)), None)


def load_workspace(path: Path) -> Workspace:
    """Load the workspace in folder `path`. Raises ConfigError with every fault of its `workspace.toml`."""
    folder = path.absolute()
    content = read_bytes(folder / WORKSPACE_FILE, most=SIZE_LIMIT_BYTES)
    text, fault = ("", content) if isinstance(content, Fault) else decode(content)
    value = {} if fault else parse_toml(text)
    if isinstance(value, Fault):
        fault = value
    if fault is not None:
        raise _invalid([replace(fault, file=WORKSPACE_FILE)])
    workspace, faults = _read(cast("dict[str, object]", value), folder)
    placed = finish(Source(file=WORKSPACE_FILE), (_placed(fault, text) for fault in faults))
    if placed:
        raise _invalid(placed)
    return workspace


def _invalid(faults: list[Fault] | tuple[Fault, ...]) -> ConfigError:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    return ConfigError(f"{WORKSPACE_FILE} is not valid: {count}", faults=faults)


def _read(value: dict[str, object], folder: Path) -> tuple[Workspace, list[Fault]]:
    reader = Reader()
    fields = reader.record(value, _FIELDS, _REQUIRED)
    name, default_infra = reader.text(fields, "name"), reader.optional_text(fields, "default_infra")
    params, settings, secrets = (reader.mapping(fields, key) for key in ("params", "settings", "secrets"))
    if not all(isinstance(one, str) and _REFERENCE.fullmatch(one) for one in secrets.values()):
        reader.note()
    workspace = Workspace(
        name=name,
        path=str(folder),
        default_infra=default_infra,
        params=params or EMPTY,
        settings=settings or EMPTY,
        secrets=cast("dict[str, str]", dict(secrets)),
    )
    checks = [*name_faults(name, "name", "$.name"), *name_faults(default_infra or "", "default_infra", "$.default_infra")]
    found = [*explain("workspace", value, reader.deviations, lambda _: ""), *checks]
    return workspace, [*found, *_no_json(params, "$.params"), *_no_json(settings, "$.settings")]


def _no_json(values: Fields, path: str) -> Iterator[Fault]:
    """Yield what TOML can say and JSON cannot: dates, and numbers that are none."""
    work: list[tuple[object, str]] = [(dict(values), path)]
    while work:
        value, where = work.pop()
        if isinstance(value, dict):
            work += [(inner, where + step(key)) for key, inner in value.items()]
        elif isinstance(value, list):
            work += [(inner, where + step(index)) for index, inner in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield Fault(code="bad_number", message=f"found {value}, expected a number", path=where)
        elif not isinstance(value, str | int | float):
            yield Fault(
                code="wrong_type", message=f"found the date or time {value}, expected text", path=where, hint="quote it"
            )


def _placed(fault: Fault, text: str) -> Fault:
    """Give a fault the line on which its key is set, where that is plain to see."""
    section, _, key = fault.path.removesuffix("!").removeprefix("$.").rpartition(".")
    start = re.search(rf"^[ \t]*\[{re.escape(section)}\]", text, re.MULTILINE) if section else None
    if section and start is None:
        return fault
    found = re.compile(rf'^[ \t]*"?({re.escape(key)})"?[ \t]*=', re.MULTILINE).search(text, start.end() if start else 0)
    if found is None:
        return fault
    line = text.count("\n", 0, found.start(1)) + 1
    return replace(fault, line=line, column=found.start(1) - text.rfind("\n", 0, found.start(1)))
