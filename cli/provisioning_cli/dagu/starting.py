"""`dag run`, `retry` and `restart`: runs that this process shows to their end; `enqueue`: one that a cluster is left with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, Found, with_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from provisioning.core.dagu.declared import DagFile
    from provisioning.core.dagu.params import Given
    from provisioning.operations.dagu.otherwise import Otherwise
    from provisioning.operations.dagu.running import Start

WHAT = click.argument("what", metavar="NAME|FILE", shell_complete=complete.dags)
WORDS = click.argument("words", nargs=-1, metavar="[-- K=V ...]", type=click.UNPROCESSED)
PARAMS = click.option("-p", "--params", metavar="TEXT", help="Parameters as one text, such as 'a \"b c\" K=v', or as JSON.")
RUN_ID = click.option("-r", "--run-id", metavar="ID", help="The run's id; a new one if nothing is said.")


def _how(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how a run is started."""
    for option in reversed(
        [
            WHAT,
            WORDS,
            PARAMS,
            RUN_ID,
            click.option("--label", "labels", multiple=True, metavar="K[=V]", help="A label of the run; repeatable."),
            click.option("--labels", "more", default="", metavar="K=V,...", help="Several of them."),
            click.option("-N", "--name", metavar="NAME", help="Run it under this name."),
            click.option("-u", "--queue", metavar="QUEUE", help="Wait for a slot of this queue, whatever the file says."),
            click.option("--default-working-dir", "folder", metavar="DIR", help="Where it runs if its file does not say."),
        ]
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What these options say."""

    what: str
    words: tuple[str, ...]
    params: str | None
    run_id: str | None
    labels: tuple[str, ...]
    more: str
    name: str | None
    queue: str | None
    folder: str | None

    def read(self, found: Found) -> tuple[DagFile, Start]:
        """Return the DAG as it is to run, and how it is started. Raises NotFoundError, UsageError, ConfigError."""
        from provisioning.operations.dagu.running import Start

        otherwise = _otherwise(self.name, self.queue, self.folder, far=found.access is not None)
        dag = otherwise.changed(found.catalogue.load(self.what))
        given = given_params(self.params, self.words)
        _check_allowed(dag, given, self.run_id)
        labels = _labels([*self.labels, *self.more.split(",")])
        return dag, Start(given=given, run_id=checked_id(self.run_id), labels=labels, otherwise=otherwise)


@click.command(cls=DagRunsCommand)
@_how
@click.option("--profile", hidden=True)
@click.option("--no-reuse", is_flag=True, hidden=True)
@pass_app
def run(app: App, /, *, profile: str | None, no_reuse: bool, **how: Any) -> None:  # noqa: ANN401 -- those of `_how`
    """Run a DAG to its end, and show how it goes.

    Parameters stand after `--`, as K=V or in their order. The exit code is 0 where the run succeeded, also in part.
    """
    _refuse(profile=profile is not None, no_reuse=no_reuse)
    found, asked = with_runs(app), _Asked(**how)
    _run(app, found, asked.what, *asked.read(found))


@click.command(cls=DagRunsCommand)
@_how
@pass_app
def enqueue(app: App, /, **how: Any) -> None:  # noqa: ANN401 -- those of `_how`
    """Have a cluster run a DAG when there is room for it, and return at once.

    Without a cluster it is refused: nothing would take the run out of its queue.
    """
    import asyncio

    from provisioning.errors import UsageError

    found, asked = with_runs(app), _Asked(**how)
    if found.access is None:
        hint = f"`dag-engine run --queue QUEUE {asked.what}` waits for a slot and then runs it; --nats URL names a cluster"
        raise UsageError("nothing takes runs out of a queue: there is no server", hint=hint)
    from provisioning.operations.cluster import dagruns

    dag, start = asked.read(found)
    run_id = asyncio.run(dagruns.enqueue(found.access, found.catalogue, asked.what, start, found.settings))
    app.emit({"run_id": run_id, "workflow": dag.name, "status": "queued"}, lambda: f"run {run_id} of {dag.name} is queued\n")
    if not found.reach.driven(found.data):
        app.say("no process decides for the cluster now: it starts when one does")


@click.command(cls=DagRunsCommand)
@click.argument("what", metavar="RUN|NAME", shell_complete=complete.dags)
@RUN_ID
@click.option("--step", metavar="STEP", help="Only this step, whatever became of it.")
@click.option("--downstream", is_flag=True, help="With --step: also everything below it.")
@pass_app
def retry(app: App, what: str, run_id: str | None, step: str | None, downstream: bool) -> None:
    """Run an ended run again, or one whose process is gone: what failed and everything below it.

    What has succeeded is not repeated. RUN is an id or the beginning of one; of a NAME the newest run is meant.
    """
    import asyncio

    from provisioning.core.requests import Extent
    from provisioning.errors import UsageError
    from provisioning.operations.dagu import records, running
    from provisioning.operations.dagu.refs import one_run
    from provisioning.settings import load
    from provisioning_cli.dagu.telling import finish, watching

    if downstream and step is None:
        raise UsageError("--downstream goes with --step", hint="without both, what failed and all below it is run again")
    found = with_runs(app)
    data = found.data
    summary = one_run(found.catalogue, what, run_id)
    if summary.trigger.startswith(records.SUBDAG):
        outer = summary.trigger.removeprefix(records.SUBDAG)
        raise UsageError(f"run {summary.run_id} is a part of another", hint=f"dag-engine retry {outer}")
    flow = records.flow_of(data, summary)
    _check_step(summary.run_id, step, [one.id for one in flow.steps if one.kind in {"step", "handler"}])
    extent = Extent.ALONE if step is not None and not downstream else Extent.BELOW
    again = running.Again(step=step, extent=extent)
    with watching(app, flow) as listener:
        if found.access is not None:
            from provisioning.operations.cluster import dagruns

            detail = asyncio.run(dagruns.retry(found.access, summary.run_id, again, listener))
        else:
            detail = asyncio.run(running.retry(found.catalogue, summary.run_id, again, load(), listener))
    finish(app, detail, flow)


@click.command(cls=DagRunsCommand)
@WHAT
@pass_app
def restart(app: App, what: str) -> None:
    """Stop the runs of a DAG that go on, wait its restart_wait_sec, and start it with the same parameters.

    Where none goes on, the parameters are those of the newest run.
    """
    from provisioning.operations.dagu.restarting import stop_for_restart
    from provisioning.operations.dagu.running import Start
    from provisioning_cli.context import me

    found = with_runs(app)
    dag = found.catalogue.load(what)
    given = stop_for_restart(found.data, dag, me().identity, app.say, found.reach)
    _run(app, found, what, dag, Start(given=given))


# ---------------------------------------------------------------- parts


def _run(app: App, found: Found, what: str, dag: DagFile, start: Start) -> None:
    import asyncio

    from provisioning.core.dagu.compile import compile_dag
    from provisioning.operations.dagu import running
    from provisioning.settings import load
    from provisioning_cli.dagu.telling import finish, watching

    flow = compile_dag(dag)
    running.check_params(dag, start.given)
    with watching(app, flow) as listener:
        if found.access is not None:
            from provisioning.operations.cluster import dagruns

            sent = dagruns.start(found.access, found.catalogue, what, start, found.settings, flow, listener)
            detail = asyncio.run(sent)
        else:
            detail = asyncio.run(running.start(found.catalogue, dag, start, load(), listener))
    finish(app, detail, flow)


def given_params(text: str | None, words: Sequence[str]) -> tuple[Given, ...]:
    """Return the parameters of a call. Raises UsageError where both ways are used, or a quote is never closed."""
    from provisioning.core.dagu.params import from_arguments, parse_params
    from provisioning.errors import UsageError

    if text is not None and words:
        raise UsageError("parameters are given twice, with --params and after --", hint="give them in one of these ways")
    return parse_params(text) if text is not None else from_arguments(words)


def checked_id(run_id: str | None) -> str:
    """Return a run id that somebody gave; nothing where a new one is meant. Raises UsageError for one that is no name."""
    from provisioning.core.check_faults import NAME_RULE
    from provisioning.core.shown import quote
    from provisioning.errors import UsageError
    from provisioning.operations.dagu.catalogue import is_dag_name

    if run_id is not None and not is_dag_name(run_id):
        raise UsageError(f"found the run id {quote(run_id)}, expected {NAME_RULE}")
    return run_id or ""


def _check_step(run_id: str, step: str | None, known: Sequence[str]) -> None:
    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    if step is not None and step not in known:
        near = nearest(step, known)
        hint = f"did you mean {near}?" if near else f"`dag-engine status {run_id}` lists its steps"
        raise NotFoundError(f"run {run_id} has no step {step}", hint=hint)


def _labels(words: Sequence[str]) -> Mapping[str, str]:
    from provisioning.errors import UsageError

    found: dict[str, str] = {}
    for word in words:
        key, _, value = word.strip().partition("=")
        if key:
            found[key.lower()] = value
        elif word:
            raise UsageError(f"found the label {word!r}, expected K or K=V")
    return found


def _otherwise(name: str | None, queue: str | None, folder: str | None, *, far: bool) -> Otherwise:
    """Return what the options want otherwise than the file. `far`: on a cluster, whose workers have other folders.

    Raises UsageError.
    """
    import os

    from provisioning.errors import UsageError
    from provisioning.operations.dagu.catalogue import is_dag_name
    from provisioning.operations.dagu.otherwise import Otherwise

    if name is not None and not is_dag_name(name):
        raise UsageError(f"{name!r} is no name for a DAG", hint="letters, digits, dots, underscores and hyphens")
    if folder and far and not os.path.isabs(folder):  # noqa: PTH117 -- never raises, however long the name is
        raise UsageError(f"{folder} is no whole path", hint="with a cluster it is a folder of the worker: say it from / on")
    if folder is not None and not far and not os.path.isdir(folder):  # noqa: PTH112
        raise UsageError(f"there is no folder {folder}")
    return Otherwise(name=name or "", queue=queue, folder=os.path.abspath(folder) if folder else "")  # noqa: PTH100


def _check_allowed(dag: DagFile, given: Sequence[Given], run_id: str | None) -> None:
    """Raise UsageError for what the DAG's run_config forbids."""
    from provisioning.errors import UsageError

    if dag.run_config.disable_param_edit and given:
        raise UsageError(f"{dag.name} takes no other parameters: its run_config forbids it")
    if dag.run_config.disable_run_id_edit and run_id is not None:
        raise UsageError(f"{dag.name} takes no run id: its run_config forbids it")


def _refuse(*, profile: bool, no_reuse: bool) -> None:
    from provisioning.errors import UsageError

    if profile:
        raise UsageError("--profile is not supported: there are no profiles here", hint="give parameters, or a base.yaml")
    if no_reuse:
        raise UsageError("--no-reuse is not supported: results are never taken from another run", hint="leave it out")
