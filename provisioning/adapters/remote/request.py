"""What the wrapper is asked. Nothing of a request is in a command's arguments, so no listing of processes shows it."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field

from provisioning.adapters.remote.contents import contents
from provisioning.adapters.remote.frames import fields, netstrings
from provisioning.adapters.remote.quote import quote
from provisioning.core.declare import NAME_PATTERN
from provisioning.core.frozen import dataclass
from provisioning.core.hosts import Bundle, Unit
from provisioning.errors import HostError

Settings = dict[str, str | bytes | int]
_SECRETS_LIMIT_BYTES = 8 * 1024 * 1024  # they are kept in the server's memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: a verb of the wrapper and its fields. `archive` is sent when the wrapper says that it wants it."""

    verb: str
    payload: bytes = field(repr=False)
    archive: bytes = field(default=b"", repr=False)


def start_request(unit: Unit, bundle: Bundle | None, *, seen: str = "", offset: int = 0) -> Request:
    """Ask for a unit to be run, or, without a bundle, what has become of it.

    `seen` is the name of the unit, ours or one followed in its stead, of whose output the first `offset` bytes have come.
    """
    inline = _files(bundle) if bundle else None
    archive = bundle.data if bundle and inline is None else b""
    settings: Settings = {
        **_unit_settings(unit),
        "payload": int(bundle is not None),
        "entry": bundle.entry if bundle else "",
        "operation": unit.operation,
        "digest": unit.digest or "-",
        "token": unit.token,
        "limit": f"{unit.timeout_s:.3f}",
        "idempotent": int(unit.idempotent),
        "fresh": int(unit.fresh),
        "earlier": unit_name(*unit.resumes) if unit.resumes else "",
        "seen": seen,
        "offset": offset,
        "files": inline or b"",
        "archive": len(archive),
        "secrets": _secret_files(unit, bundle) if bundle else b"",
        "upload_only": int(unit.upload_only),
        "environment": netstrings(item for pair in _environment(unit).items() for item in pair),
    }
    return Request(verb="start", payload=fields(settings), archive=archive)


def stop_request(unit: Unit, *, limit_s: float) -> Request:
    """Ask for a unit to be stopped; the answer comes when it is gone, or after `limit_s`."""
    return Request(verb="stop", payload=fields({**_unit_settings(unit), "limit": int(limit_s)}))


def probe_request(command: str, *, timeout_s: float) -> Request:
    """Ask for a command to be run and killed after `timeout_s`."""
    return Request(
        verb="probe", payload=fields({"nonce": _nonce(), "command": command, "limit": f"{max(timeout_s, 0.001):.3f}"})
    )


def forget_request(unit: Unit, names: Sequence[str]) -> Request:
    """Ask for the output of finished units, in the workspace of `unit`, to be removed: their ends have been recorded.

    Records that are older than a week go as well.
    """
    return Request(verb="forget", payload=fields({**_unit_settings(unit), "names": netstrings(names)}))


def unit_name(run: str, attempt: int, step: str) -> str:
    """Return the folder of a unit: a step's id may hold anything, so it is hashed."""
    return f"{path_token(run)}.{hashlib.sha256(step.encode()).hexdigest()[:16]}.{attempt}"


def path_token(name: str) -> str:
    """Return `name` where it is fit for a path, else a hash of it."""
    if re.match(NAME_PATTERN, name) and not name.startswith("h-"):
        return name
    return "h-" + hashlib.sha256(name.encode()).hexdigest()[:32]


def secrets_file(values: Mapping[str, str]) -> bytes:
    """Return the values as a file that a script can source."""
    return "".join(f"{name}={quote(value)}\n" for name, value in sorted(values.items())).encode("ascii")


def _files(bundle: Bundle) -> bytes | None:
    """Return path, mode and content of each file, or None when the archive has to be sent."""
    if not bundle.files:
        return contents(bundle.data)
    return netstrings(word for name, runs, data in bundle.files for word in (name, "755" if runs else "644", data))


def _secret_files(unit: Unit, bundle: Bundle) -> bytes:
    """Return what goes to memory only: the file that can be sourced, and rendered files with secret values."""
    values = netstrings(("secrets.env", "600", secrets_file(unit.secrets))) if unit.secrets else b""
    if not bundle.secret_data:
        return values
    rendered = contents(bundle.secret_data, limit_bytes=_SECRETS_LIMIT_BYTES)
    if rendered is None:
        raise HostError(f"{unit.taskserv}: the rendered files that hold secrets are too large", server=unit.server)
    return values + rendered


def _nonce() -> str:
    return secrets.token_hex(16)


def _unit_settings(unit: Unit) -> Settings:
    return {
        "nonce": _nonce(),
        "lineage": path_token(unit.lineage),
        "resource": _resource_name(unit),
        "taskserv": path_token(unit.taskserv),
        "name": unit_name(unit.run, unit.attempt, unit.step),
    }


def _resource_name(unit: Unit) -> str:
    """Return the file name of one taskserv on one server; `~` is in no name. File systems allow 255 bytes."""
    name = f"{path_token(unit.server)}~{path_token(unit.taskserv)}"
    return name if len(name) <= 200 else hashlib.sha256(name.encode()).hexdigest()


def _environment(unit: Unit) -> dict[str, str]:
    return {
        "PROVISIONING_SERVER": unit.server,
        "PROVISIONING_FORMULA": unit.formula,
        "PROVISIONING_TASKSERV": unit.taskserv,
        "PROVISIONING_PROFILE": unit.profile,
        "PROVISIONING_OPERATION": unit.operation,
        "PROVISIONING_RUN_ID": unit.run,
        "PROVISIONING_STEP": unit.step,
        "PROVISIONING_ATTEMPT": str(unit.attempt),
        "PROVISIONING_TOKEN": str(unit.token),
    }
