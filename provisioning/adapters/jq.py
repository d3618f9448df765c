"""jq programs, each in a child process with limits on time, memory and output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from functools import cache
from pathlib import Path

from provisioning.adapters.unshaken import to_its_end
from provisioning.core.frozen import dataclass
from provisioning.core.shown import escaped
from provisioning.errors import FilterFailed

_FRAME = re.compile(rb"([a-z]+) ([0-9]{1,15})\n")
_SAID_CHARS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterLimits:
    """What one filter may use, besides its time."""

    memory_bytes: int = 1024 * 1024 * 1024
    output_bytes: int = 64 * 1024 * 1024


class JqFilters:
    """Fulfils `errands.Filters`."""

    def __init__(self, limits: FilterLimits | None = None) -> None:
        self._limits = limits or FilterLimits()

    async def apply(self, program: str, data: bytes, *, raw: bool, timeout_s: float) -> bytes:
        """See Filters."""
        asked = program.encode("utf-8", "surrogatepass")
        starting = asyncio.ensure_future(self._start(len(asked), "raw" if raw else "pretty", timeout_s))
        try:
            async with asyncio.timeout(timeout_s):
                child = await asyncio.shield(starting)
                output, _ = await child.communicate(asked + data)
        except TimeoutError as late:
            raise _too_much("time", timeout_s, self._limits) from late
        except OSError as wrong:
            raise FilterFailed(f"jq cannot be started: {(wrong.strerror or str(wrong)).lower()}") from wrong
        finally:
            await to_its_end(_end(starting))
        return self._result(output, child.returncode or 0, timeout_s)

    async def _start(self, size: int, style: str, timeout_s: float) -> asyncio.subprocess.Process:
        limits = [str(int(timeout_s) + 1), str(self._limits.memory_bytes), str(self._limits.output_bytes)]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("jq_child.py")), _home()),
            *(*limits, style, str(size)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ},
            start_new_session=True,
        )

    def _result(self, output: bytes, code: int, timeout_s: float) -> bytes:
        head = _FRAME.match(output)
        if head is None or head.end() + int(head[2]) != len(output):
            death = "time" if code == -signal.SIGXCPU else "memory" if code < 0 else f"exit code {code}"
            raise _too_much(death, timeout_s, self._limits)
        kind, text = head[1].decode("ascii"), output[head.end() :]
        if kind == "ok":
            return text
        if kind != "error":
            raise _too_much(kind, timeout_s, self._limits)
        raise FilterFailed(_said(text.decode("utf-8", "replace")))


async def _end(starting: asyncio.Future[asyncio.subprocess.Process]) -> None:
    """Return when the child is gone, also one that was about to be started."""
    await asyncio.wait([starting])
    if starting.exception() is None and (child := starting.result()).returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


@cache
def _home() -> str:
    """Return the folder that jq is installed in, without importing it here."""
    from importlib.util import find_spec

    spec = find_spec("jq")
    if spec is None or spec.origin is None:
        raise FilterFailed("the package jq is not installed", hint="install provisioning again")
    return str(Path(spec.origin).parent)


def _said(text: str) -> str:
    """Return jq's message as one line."""
    lines = [line.strip() for line in text.splitlines()]
    shown = [line for line in lines if line and line != "^" and not re.fullmatch(r"jq: \d+ compile errors?", line)]
    return escaped("jq: " + " ".join(shown).removeprefix("jq: error: ")[:_SAID_CHARS])


def _too_much(death: str, timeout_s: float, limits: FilterLimits) -> FilterFailed:
    hint = "look for a filter without end"
    if death == "time":
        return FilterFailed(f"jq: the filter took longer than {timeout_s:g} s", hint=hint)
    if death == "memory":
        return FilterFailed(f"jq: the filter needed more than {limits.memory_bytes // 1024 // 1024:,} MiB of memory", hint=hint)
    if death == "large":
        return FilterFailed(f"jq: the filter gave more than {limits.output_bytes:,} bytes", hint=hint)
    return FilterFailed(f"jq: the filter's process ended with {death}")
