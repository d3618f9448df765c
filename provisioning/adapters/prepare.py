"""Run a profile's `prepare` on this machine, before its bundle is made."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from provisioning.core.faults import Fault
from provisioning.core.hosts import BundleRequest
from provisioning.core.shown import quote
from provisioning.core.text import plain_text
from provisioning.errors import ConfigError
from provisioning.profiles import PREPARE

DEFAULT_TIMEOUT_S = 300.0
GRACE_S = 2.0  # between asking it to end and killing it
SHOWN_LINES = 10
_TAIL_BYTES = 16 * 1024


async def run_prepare(folder: Path, request: BundleRequest, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
    """Run `folder/prepare` in `folder`, which is a copy; what it writes there goes into the bundle.

    It runs directly when it is executable, else with bash, with PROVISIONING_TASKSERV, _PROFILE, _OPERATION, _FORMULA,
    _SERVER in its environment and, in PROVISIONING_INPUT, the name of a JSON file with everything templates see. It gets
    no secrets. Its whole process group ends with it. Raises ConfigError with its last lines.
    """
    script = folder / PREPARE
    notes = folder.parent.parent
    input_path = notes / "input.json"
    input_path.write_text(json.dumps(visible(request), default=_jsonable))
    command = [str(script)] if os.access(script, os.X_OK) else ["bash", str(script)]
    with (notes / "output").open("w+b") as output:
        # a file, not a pipe: what it leaves running must not keep us waiting for end-of-file
        code = await _run(command, folder, _environment(request, input_path), output, timeout_s)
        if code != 0:
            raise _failure(request, _how(code, timeout_s), _tail(output))


def visible(request: BundleRequest) -> dict[str, object]:
    """Return what templates and prepare see of a request, secrets aside."""
    return {
        "server": request.server,
        "formula": request.formula,
        "params": request.params,
        "workspace": request.workspace,
        "taskserv": request.taskserv,
        "profile": request.profile,
        "operation": request.operation,
    }


async def _run(command: list[str], folder: Path, env: Mapping[str, str], output: IO[bytes], timeout_s: float) -> int | None:
    """Return the exit code (negative: the signal), or None when the time was over."""
    null = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=dict(env), stdin=null, stdout=output, stderr=output, start_new_session=True
        )
    except OSError as error:
        output.write(f"{error.strerror}\n".encode())
        return 126
    try:
        return await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        return None
    finally:
        await _end_group(process)


async def _end_group(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_S)
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _environment(request: BundleRequest, input_path: Path) -> dict[str, str]:
    return {
        **_not_secret(request),
        "PROVISIONING_TASKSERV": request.taskserv,
        "PROVISIONING_PROFILE": request.profile,
        "PROVISIONING_OPERATION": request.operation,
        "PROVISIONING_FORMULA": request.formula,
        "PROVISIONING_SERVER": str(request.server.get("hostname", "")),
        "PROVISIONING_INPUT": str(input_path),
    }


def _not_secret(request: BundleRequest) -> dict[str, str]:
    """Return our environment without the variables that secrets are taken from."""
    taken = {reference.removeprefix("env:") for reference in request.secrets.values() if reference.startswith("env:")}
    return {name: value for name, value in os.environ.items() if name not in taken}


def _how(code: int | None, timeout_s: float) -> str:
    if code is None:
        return f"was stopped after {timeout_s:g} s"
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _tail(output: IO[bytes]) -> list[str]:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL_BYTES))
    lines = plain_text(output.read()).splitlines()
    return [line.rstrip() for line in lines if line.strip()][-SHOWN_LINES:]


def _failure(request: BundleRequest, how: str, lines: list[str]) -> ConfigError:
    script = str(Path(request.profile_path, PREPARE))
    what = f"prepare of taskserv {quote(request.taskserv)} ({request.profile}) {how}"
    faults = [Fault(code="prepare_failed", message=line, file=script) for line in lines]
    return ConfigError(f"{what}: {lines[-1]}" if lines else what, hint=f"see {script}", faults=faults)


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)
