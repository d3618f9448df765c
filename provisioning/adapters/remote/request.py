"""What is sent to the wrapper: a constant command, and on its standard input a script, its settings and the bundle.

Nothing of a request is in the command's arguments, so no listing of processes shows it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from provisioning.adapters.remote.inline import write_files
from provisioning.adapters.remote.quote import quote
from provisioning.core.declare import NAME_PATTERN
from provisioning.core.ports import Bundle, Unit

HELLO = b"@provisioning hello"

# Skips to the mark, because a password that sudo did not ask for may come first; then reads exactly the script, no byte
# more: what follows is for others. No quotes and no backslashes, so that sh, bash, dash and fish read it alike.
_BOOTSTRAP = (
    'printf "@provisioning hello %s" "" >&2; echo >&2; '
    '[ -z "$1" ] || export PROVISIONING_HOME="$1"; '
    'while IFS= read -r l; do [ "$l" = "@begin" ] && break; done; '
    'read -r n && IFS= read -rN "$n" s && eval "$s"'
)
_BASH = f"bash -c '{_BOOTSTRAP}' provisioning"
COMMAND = f'exec {_BASH} ""'
_AS_ROOT = f'-- {_BASH} "$PROVISIONING_HOME"'  # sudo drops the environment, so the folder is handed over
SUDO_PROMPT = "@provisioning password"
SUDO_COMMAND = f"exec sudo -n {_AS_ROOT}"
SUDO_PASSWORD_COMMAND = f"exec sudo -S -p '{SUDO_PROMPT}' {_AS_ROOT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `nonce` marks what the wrapper says, so that nothing else can be taken for it."""

    nonce: str
    head: bytes = field(repr=False)
    payload: bytes = field(default=b"", repr=False)
    urgent: bool = False  # not to wait behind others
    stays_open: bool = False  # the end of input tells the wrapper that we are gone

    @property
    def data(self) -> bytes:
        """All of it."""
        return self.head + self.payload


def start_request(unit: Unit, bundle: Bundle | None, *, seen: str = "", offset: int = 0, sweep: bool = False) -> Request:
    """Ask for a unit to be run, or, without a bundle, what has become of it.

    `seen` is the name of the unit, ours or one followed in its stead, of whose output the first `offset` bytes have come.
    """
    secret_text = secrets_file(unit.secrets) if bundle else b""
    secret_tar = bundle.secret_data if bundle else b""
    data = bundle.data if bundle else b""
    inline = write_files(bundle) if bundle else ""
    settings: dict[str, object] = {
        **_unit_settings(unit),
        "entry": bundle.entry if bundle else "",
        "operation": unit.operation,
        "digest": unit.digest or "-",
        "token": unit.token,
        "limit": f"{unit.timeout_s:.3f}",
        "idempotent": int(unit.idempotent),
        "earlier": unit_name(*unit.resumes) if unit.resumes else "",
        "seen": seen,
        "offset": offset,
        "payload": len(data),
        "inlined": int(bool(inline)),
        "secrets_size": len(secret_text),
        "secret_tar_size": len(secret_tar),
        "upload_only": int(unit.upload_only),
        "sweep": int(sweep),
        "environment": tuple(f"{name}={value}" for name, value in _environment(unit).items()),
    }
    payload = secret_text + secret_tar + (b"" if inline else data)
    return _request("start", settings, payload=payload, definitions=inline)


def stop_request(unit: Unit, *, limit_s: float) -> Request:
    """Ask for a unit to be stopped; the answer comes when it is gone, or after `limit_s`."""
    return _request("stop", {**_unit_settings(unit), "limit": int(limit_s)}, urgent=True)


def probe_request(command: str, *, timeout_s: float) -> Request:
    """Ask for a command to be run and killed after `timeout_s`."""
    return _request("probe", {"command": command, "limit": f"{max(timeout_s, 0.001):.3f}"}, stays_open=True)


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


def _unit_settings(unit: Unit) -> dict[str, object]:
    return {
        "lineage": path_token(unit.lineage),
        "resource_name": _resource_name(unit),
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


def _request(
    verb: str,
    settings: Mapping[str, object],
    *,
    payload: bytes = b"",
    definitions: str = "",
    urgent: bool = False,
    stays_open: bool = False,
) -> Request:
    nonce = secrets.token_hex(16)
    header = "".join(f"{name}={_word(value)}\n" for name, value in {"nonce": nonce, **settings}.items())
    script = f"{header}{definitions}{_script('common')}{_script(verb)}"
    head = f"@begin\n{len(script)}\n{script}".encode("ascii")
    return Request(nonce=nonce, head=head, payload=payload, urgent=urgent, stays_open=stays_open)


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + " ".join(quote(item) for item in value) + ")"
    return quote(str(value))


@cache
def _script(name: str) -> str:
    """Return a part of the wrapper without comments: it travels with every request."""
    text = files(__package__).joinpath(f"{name}.sh").read_text("ascii")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#")) + "\n"
