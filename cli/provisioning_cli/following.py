"""A run is shown while it goes on, whoever drives it: another process, or this one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.errors import ProvisioningError
from provisioning_cli import output, progress, results
from provisioning_cli.context import App

if TYPE_CHECKING:
    from provisioning.client.client import Client
    from provisioning.core.events import Event
    from provisioning.core.history import RunDetail
    from provisioning_cli.clustered import Runs

    Ask = Callable[[Client], Awaitable[object]]
    Tell = Callable[[Event], None]

LOOK_S = 1.0
"""How often to look whether somebody drives the run. Twice in a row nobody is nobody: a hand-over takes a moment."""


def watch(app: App, runs: Runs, detail: RunDetail) -> None:
    """Show a run that others drive until it ends, and how it ended; leave with its exit code."""
    if app.json:
        _run(_watching(runs, detail.run_id, lambda event: output.write(output.to_json_line(event_document(event))), app.say))
        app.leave(_exit_code(runs.folder, detail.run_id))
    with progress.listener() as listener:
        _expect(listener, detail)
        try:
            _run(_watching(runs, detail.run_id, listener.on_event, listener.on_note))
        except KeyboardInterrupt:
            listener.on_abort()
            app.say("stopped watching; the run goes on")
            raise
    _finish(app, runs, detail.run_id)


def again(app: App, runs: Runs, detail: RunDetail, modules: Sequence[str], ask: Ask) -> None:
    """Have a step or all of an ended run done again by whoever drives the folder, else by ourselves, and show it then."""
    from provisioning.core.model import RUN_ENDED
    from provisioning.errors import UsageError

    if runs.access is not None or runs.reach.driven(runs.folder):
        _run(_ordered(runs, ask))
        document = {"run_id": detail.run_id, "requested": "again"}
        follows = f"`provisioning run watch {detail.run_id}` follows it"
        where = "on the cluster" if runs.access is not None else "in the process that drives it"
        app.emit(document, lambda: f"run {detail.run_id} goes on {where}; {follows}\n")
        return
    if detail.summary.state not in RUN_ENDED:
        message = f"run {detail.run_id} has not ended, and no process drives it"
        raise UsageError(message, hint="start the program that drives it, then try again")
    import_modules(runs.folder, modules)
    with progress.listener() as listener, redirect_stdout(sys.stderr):  # what functions print is no result
        _expect(listener, detail)
        _run(_driving(runs.folder, detail, listener.on_event, ask))
    _finish(app, runs, detail.run_id)


def import_modules(folder: Path, modules: Sequence[str]) -> None:
    """Import what registers tasks. Modules in the current folder and in that of the runs are found, after all others."""
    from importlib import import_module

    from provisioning.errors import UsageError

    sys.path += [path for path in (str(Path.cwd()), str(folder)) if path not in sys.path]
    for name in modules:
        try:
            import_module(name)
        except Exception as error:  # it is the user's, and may raise whatever it likes
            raise UsageError(f"module {name} cannot be imported: {type(error).__name__}: {error}") from error


def event_document(event: Event) -> dict[str, object]:
    """Return the JSON of an event."""
    from provisioning.codec import plain
    from provisioning.core.history import iso

    optional = {"step": event.step, "attempt": event.attempt, "actor": event.actor}
    return {
        "run_id": event.run,
        "seq": event.seq,
        "at": iso(event.at),
        "kind": event.kind.value,
        **{name: value for name, value in optional.items() if value},
        "data": plain(event.data),
    }


# ---------------------------------------------------------------- parts


async def _watching(runs: Runs, run_id: str, tell: Tell, note: Callable[[str], None]) -> None:
    async with runs.client() as client:
        minding = asyncio.create_task(_mind(runs, client, run_id, note))
        try:
            async for event in client.watch(run_id):
                tell(event)
        finally:
            minding.cancel()


async def _mind(runs: Runs, client: Client, run_id: str, note: Callable[[str], None]) -> None:
    """Say it once when nobody drives the run."""
    missed = 0
    with suppress(ProvisioningError):  # whoever watches meets it as well
        while missed < 2:
            missed = 0 if await asyncio.to_thread(runs.reach.driven, runs.folder) else missed + 1
            await asyncio.sleep(LOOK_S)
        if not (await client.info(run_id)).ended:
            note(f"no process drives run {run_id} now: it goes on when one does")


async def _ordered(runs: Runs, ask: Ask) -> None:
    async with runs.client() as client:
        await ask(client)


async def _driving(folder: Path, detail: RunDetail, tell: Tell, ask: Ask) -> None:
    """Drive a run that has ended once more. Ctrl-C and SIGTERM cancel it."""
    from provisioning.client import connect

    async with connect(folder, adopt=False) as client:
        await ask(client)
        mine = asyncio.current_task()
        if mine is not None:
            with suppress(ValueError, RuntimeError):  # only the main thread may
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, mine.cancel)
        try:
            await _told(client, detail.run_id, detail.summary.last_seq, tell)
        except asyncio.CancelledError:
            await client.cancel(detail.run_id, "interrupted")
            await client.wait(detail.run_id)


async def _told(client: Client, run_id: str, after: int, tell: Tell) -> None:
    async for event in client.watch(run_id, after):
        tell(event)


def _run(work: Awaitable[None]) -> None:
    from provisioning.operations.session import run_blocking

    run_blocking(work)  # type: ignore[arg-type]


def _expect(listener: progress.Lines, detail: RunDetail) -> None:
    listener.board.know((step.step, step.server) for step in detail.steps)
    listener.on_run(detail.run_id)


def _finish(app: App, runs: Runs, run_id: str) -> None:
    from provisioning.operations.steering import result_of

    runs.fetch_logs(run_id)
    results.finish(app, result_of(runs.folder, run_id))


def _exit_code(folder: Path, run_id: str) -> int:
    from provisioning.operations.records import find_run

    return find_run(folder, run_id).exit_code or 0
