"""What the actions that run programs share: their environment, what is kept of their output, and what their end means."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import TypeVar

from provisioning.codec import CodecError, encode, parse
from provisioning.core.outside import Ears, Ended
from provisioning.core.ports import Outcome, Task
from provisioning.core.shown import escaped
from provisioning.engine.actions import Context, Result
from provisioning.engine.actions.checking import Check, environment_names, one_of, scalar_text, seconds, whole

T = TypeVar("T")
CAPTURE_BYTES = 64 * 1024
GRACE_S = 5.0
OUTPUT_SETTINGS: Mapping[str, Check] = {"capture_bytes": whole, "grace_s": seconds, "output": one_of("text", "json")}
_LABEL_LIMIT = 60


def marks(task: Task) -> dict[str, str]:
    """Return the variables that say which attempt a process works for."""
    return {
        "PROVISIONING_RUN_ID": task.run,
        "PROVISIONING_STEP": task.step,
        "PROVISIONING_ATTEMPT": str(task.attempt),
    }


def variables(task: Task) -> tuple[dict[str, str], list[str]]:
    """Return the environment that settings and arguments ask for, marks aside, and what is wrong with the arguments.

    What a step is given by others reaches it here, never as a part of its command: text stays as it is, the rest is JSON.
    """
    env = task.action.settings.get("env")
    given = {name: scalar_text(value) for name, value in env.items()} if isinstance(env, Mapping) else {}
    if not isinstance(task.args, Mapping):
        return given, []
    if wanted := environment_names(task.args):
        return given, [f"the arguments have to be {wanted}"]
    try:
        given |= {name: value if isinstance(value, str) else _as_json(value) for name, value in task.args.items()}
    except CodecError as error:  # half a character
        return given, [f"an argument {error}"]
    return given, []


def _as_json(value: object) -> str:
    return "" if value is None else encode(value).decode()


class Kept:
    """The beginning of what a program prints on standard output. Everything also goes to the log."""

    def __init__(self, context: Context, limit_bytes: int) -> None:
        self.ears = Ears(stdout=self._heard, stderr=context.err, note=context.note)
        self.cut = False
        self.data = bytearray()
        self._context, self._limit_bytes = context, limit_bytes

    def _heard(self, data: bytes) -> None:
        room = self._limit_bytes - len(self.data)
        self.cut = self.cut or len(data) > room
        if room > 0:
            self.data += data[:room]
        self._context.out(data)

    def text(self) -> str:
        """Return it without the newlines at its end, and without half a character where it was cut."""
        data = bytes(self.data)
        if self.cut:
            data = _whole_characters(data)
        return data.decode("utf-8", "replace").rstrip("\r\n")


def _whole_characters(data: bytes) -> bytes:
    """Return `data` without the beginning of a character at its end."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            return data[:-back] if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else data
        if byte < 0x80:
            break
    return data


def first_line(text: str) -> str:
    """Return what a message calls a command: its first line that says something, shortened."""
    line = next((line for line in text.splitlines() if line.strip() and not line.startswith("#!")), text).strip()
    return escaped(line if len(line) <= _LABEL_LIMIT else f"{line[: _LABEL_LIMIT - 3]}...")


def result_of(ended: Ended, label: str, kept: Kept, context: Context, *, wants_json: bool) -> Result:
    """Say how a program ended, and what is kept of its output."""
    if kept.cut:
        limit = f"{len(kept.data):,}"
        context.note(f"the output of this step is cut: of standard output only the first {limit} bytes are kept for others")
    if ended.kind not in ("exit", "signal"):
        return Result(outcome=Outcome.FAILED, error_kind="start", error=ended.message)
    if ended.kind == "signal" or ended.code != 0:
        how = f"was killed by signal {ended.code}" if ended.kind == "signal" else f"ended with exit code {ended.code}"
        code = 128 + ended.code if ended.kind == "signal" else ended.code
        output = None if wants_json else kept.text() or None
        return Result(outcome=Outcome.FAILED, exit_code=code, error_kind=ended.kind, error=f"`{label}` {how}", output=output)
    if not wants_json:
        return Result(outcome=Outcome.OK, exit_code=0, output=kept.text() or None)
    return _with_json(label, kept)


def _with_json(label: str, kept: Kept) -> Result:
    if kept.cut:
        why = f"`{label}` printed more than {len(kept.data):,} bytes, and JSON that is cut is none: raise capture_bytes"
        return Result(outcome=Outcome.FAILED, exit_code=0, error_kind="output", error=why)
    try:
        return Result(outcome=Outcome.OK, exit_code=0, output=parse(bytes(kept.data)))
    except CodecError as error:
        said = f"no JSON: {error}" if kept.data.strip() else "nothing, where JSON was expected"
        return Result(outcome=Outcome.FAILED, exit_code=0, error_kind="output", error=f"`{label}` printed {said}")


async def to_its_end(work: Coroutine[object, object, T]) -> T:
    """Await work although we are cancelled, once more too: it stops what was begun."""
    job = asyncio.ensure_future(work)
    while not job.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(job)
    return job.result()
