"""`schedule backfill`: the past starts of a DAG's schedule, each run once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING

import click

from provisioning.core.backfill import MOST, Reprocess
from provisioning_cli import complete
from provisioning_cli.context import App, me, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, Found, with_runs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from provisioning.core.backfill import Item
    from provisioning.core.dagu.declared import DagFile
    from provisioning.core.dagu.params import Given
    from provisioning.core.instants import Instants
    from provisioning.core.model import RunState
    from provisioning.operations.scheduler.backfilling import Backfill, Progress
    from provisioning.operations.scheduler.ports import Runs

COLUMNS = ("at", "what", "run", "status", "why")


@click.command(cls=DagRunsCommand)
@click.argument("what", metavar="NAME|FILE", shell_complete=complete.dags)
@click.argument("words", nargs=-1, metavar="[-- K=V ...]", type=click.UNPROCESSED)
@click.option(
    "--from", "begin", required=True, metavar="TIME", help="Starts at or after it, such as 2026-01-31 or 2026-01-31T08:00."
)
@click.option("--to", "end", required=True, metavar="TIME", help="Starts before it; a day counts as a whole.")
@click.option("--dry-run", is_flag=True, help="Only show what would be run.")
@click.option("--reprocess", type=click.Choice([one.value for one in Reprocess]), default="none", show_default=True)
@click.option("--parallel", type=click.IntRange(1, 100), default=1, show_default=True, help="How many go on at once.")
@click.option("--newest-first", is_flag=True, help="The other way round.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=MOST, show_default=True, help="A longer range is refused.")
@pass_app
def backfill(
    app: App,
    *,
    what: str,
    words: tuple[str, ...],
    begin: str,
    end: str,
    dry_run: bool,
    reprocess: str,
    parallel: int,
    newest_first: bool,
    limit: int,
) -> None:
    """Run the past starts of a DAG's schedule that no run was for; --reprocess also those whose run failed or succeeded.

    Each run finds its instant in DAG_SCHEDULED_AT. Parameters stand after `--`. Ctrl-C starts nothing more and stops what runs.
    With --nats the workers of a cluster run them.
    """
    import asyncio

    from provisioning import wiring
    from provisioning.core.backfill import instants, plan
    from provisioning.operations.dagu.running import check_params
    from provisioning.operations.dagu.times import local_zone
    from provisioning.operations.scheduler.backfilling import states
    from provisioning_cli.dagu.starting import given_params

    found, local = with_runs(app), local_zone()
    dag = found.catalogue.load(what)
    given = given_params(None, words)
    check_params(dag, given)
    since, until = _time(begin, "--from", local), min(_time(end, "--to", local, whole=True), wiring.clock().now())
    due = instants(_starts(dag, local), since, until, most=limit)
    store = wiring.open_store(found.data)
    try:
        state_of = states(store.history, found.data)
        items = plan(dag.name, due, state_of, reprocess=Reprocess(reprocess), newest_first=newest_first)
    finally:
        store.close()
    if dry_run:
        _emit(app, dag.name, items, None, local)
        return
    progress = asyncio.run(_run(app, found, dag, items, parallel, given))
    _emit(app, dag.name, items, progress, local)
    if progress.stopped:
        app.leave(130)
    if progress.failed:
        app.leave(1)


async def _run(app: App, found: Found, dag: DagFile, items: Sequence[Item], parallel: int, given: Sequence[Given]) -> Progress:
    from provisioning.operations.scheduler.backfilling import Backfill
    from provisioning.operations.scheduler.serving import stopping

    def tell(item: Item, state: RunState | None) -> None:
        done = f"{work.progress.ended} of {work.progress.total - work.progress.skipped}"
        said = f"started as run {item.run_id}" if state is None else f"{state.value} ({done})"
        app.say(f"{item.at:%Y-%m-%dT%H:%MZ} {said}")

    async with _runs(found) as runs:
        work = Backfill(dag, items, runs, parallel=parallel, given=given, actor=me().identity, tell=tell)
        with stopping(_Stop(app, work)):
            return await work.run()


@asynccontextmanager
async def _runs(found: Found) -> AsyncIterator[Runs]:
    """Give what starts the runs: processes of their own, or the cluster."""
    from provisioning.operations.scheduler.serving import processes

    if found.access is not None:
        from provisioning.operations.cluster.scheduling import scheduled_on

        async with scheduled_on(found.access, found.catalogue.places, found.settings) as there:
            yield there
    else:
        async with processes(found.catalogue.places, found.settings) as (_store, here):
            yield here


class _Stop:
    """What a signal does: the first one stops, the second one leaves at once."""

    def __init__(self, app: App, work: Backfill) -> None:
        self._app, self._work = app, work
        self._asked: list[object] = []

    def __call__(self) -> None:
        import asyncio
        import os

        if self._asked:
            os._exit(130)
        self._app.say("stopping what runs; Ctrl-C again leaves at once: what runs then goes on")
        self._asked.append(asyncio.ensure_future(self._work.stop()))


# ---------------------------------------------------------------- parts


def _starts(dag: DagFile, local: tzinfo) -> Instants:
    from provisioning.core.instants import timing_of
    from provisioning.errors import UsageError
    from provisioning.operations.dagu.times import zone

    timing = timing_of(dag, local, zone)
    if timing is None or not (timing.starts.lines or timing.starts.at):
        raise UsageError(f"{dag.name} has no schedule that starts it", hint=f"`dag-engine run {dag.name}` runs it once")
    return timing.starts


def _time(text: str, option: str, local: tzinfo, *, whole: bool = False) -> datetime:
    """Return a point in time; one without a zone is in that of this machine. With `whole` a day means its end."""
    from provisioning.errors import UsageError

    try:
        said = datetime.fromisoformat(text)
        if len(text) == 10:
            said = datetime.combine(said.date() + timedelta(days=int(whole)), time())
        return (said if said.tzinfo is not None else said.replace(tzinfo=local)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        hint = "such as 2026-01-31, 2026-01-31T08:00 or 2026-01-31T08:00Z"
        raise UsageError(f"{option}: found {text!r}, expected a time", hint=hint) from error


def _emit(app: App, name: str, items: Sequence[Item], progress: Progress | None, local: tzinfo) -> None:
    from provisioning_cli import output

    app.emit(
        lambda: {
            "name": name,
            "dry_run": progress is None,
            **_counts(items, progress),
            "items": [_item(one, progress) for one in items],
        },
        lambda: output.table(
            [_row(one, progress, local) for one in items], COLUMNS, empty="no starts in this range", spare=("why",)
        ),
    )


def _counts(items: Sequence[Item], progress: Progress | None) -> dict[str, object]:
    from provisioning.core.backfill import Action

    if progress is None:
        skipped = sum(one.action is Action.SKIP for one in items)
        return {"total": len(items), "skipped": skipped, "started": 0, "ended": 0, "failed": 0, "stopped": False}
    names = ("total", "skipped", "started", "ended", "failed", "stopped")
    return {name: getattr(progress, name) for name in names}


def _item(one: Item, progress: Progress | None) -> dict[str, object]:
    from provisioning.core.history import iso

    return {
        "at": iso(one.at),
        "run_id": one.run_id,
        "action": one.action.value,
        "because": one.because,
        "status": _status(one, progress),
        "error": progress.errors.get(one.run_id, "") if progress is not None else "",
    }


def _status(one: Item, progress: Progress | None) -> str:
    from provisioning.operations.dagu.listing import status_of

    state = progress.states.get(one.run_id) if progress is not None else None
    return status_of(state).value if state is not None else ""


def _row(one: Item, progress: Progress | None, local: tzinfo) -> dict[str, object]:
    error = progress.errors.get(one.run_id, "") if progress is not None else ""
    return {
        "at": f"{one.at.astimezone(local):%Y-%m-%d %H:%M %Z}",
        "what": one.action.value,
        "run": one.run_id,
        "status": _status(one, progress),
        "why": error or one.because,
    }
