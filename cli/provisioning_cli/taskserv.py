"""`provisioning taskserv`: install services with everything they need, and look at what there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.clustered import ClusterCommand, on_cluster
from provisioning_cli.context import App, me, pass_app
from provisioning_cli.groups import Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from provisioning.core.declare import Taskserv
    from provisioning.core.plan import Plan, Selection
    from provisioning.formats.taskserv import Catalogue
    from provisioning.operations import Project, RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The flags of `create`."""

    name: str | None
    everything: bool
    servers: tuple[str, ...]
    only: bool
    check: bool
    connect: bool
    reset: bool
    reset_prerequisites: bool
    update: bool
    operation: str | None
    upload: bool
    keep_going: bool
    max_parallel: int | None
    wait: bool

    def refuse_contradictions(self) -> None:
        """Raise UsageError for flags that cannot hold together."""
        from provisioning.core.scope import check_selection
        from provisioning.errors import UsageError

        hint = "`provisioning taskserv create --help` explains each option"
        if self.connect and not self.check:
            raise UsageError("--connect goes with --check", hint=hint)
        if self.operation == "":  # an unset variable in a script must not mean an installation
            raise UsageError("--cmd is empty", hint=hint)
        if self.update and self.operation is not None:
            raise UsageError("--update installs what has changed, --cmd runs another operation", hint=hint)
        check_selection(self.selection())

    def selection(self) -> Selection:
        """Return what was asked for, as the planner takes it."""
        from provisioning.core.plan import Selection

        return Selection(
            name=self.name,
            everything=self.everything,
            servers=frozenset(self.servers),
            only=self.only,
            update=self.update,
            reset=self.reset,
            reset_prerequisites=self.reset_prerequisites,
            operation=self.operation or "install",
            upload=self.upload,
        )

    def options(self) -> RunOptions:
        """Return how to run it."""
        from provisioning.operations import RunOptions

        actor = me()
        return RunOptions(
            keep_going=self.keep_going,
            max_parallel=self.max_parallel or 0,
            wait=self.wait,
            actor=actor.identity,
            source=actor.source,
        )


@click.group(cls=Group)
def taskserv() -> None:
    """Install services with everything they need, and look at what there is."""


@taskserv.command(cls=ClusterCommand)
@click.argument("name", required=False, shell_complete=complete.taskservs)
@click.option("--all", "everything", is_flag=True, help="The whole DAG.")
@click.option(
    "--server", "servers", multiple=True, metavar="HOST", shell_complete=complete.servers, help="Only there; repeatable."
)
@click.option("--only", is_flag=True, help="NAME alone, without its prerequisites.")
@click.option("--check", is_flag=True, help="Show the plan; write nothing and contact nobody.")
@click.option("--connect", is_flag=True, help="With --check: also try logins and gates.")
@click.option("--reset", is_flag=True, help="Run the targets again even if completed.")
@click.option("--reset-prerequisites", is_flag=True, help="Run prerequisites again as well.")
@click.option("--update", is_flag=True, help="Install again what has changed since it was completed.")
@click.option("--cmd", "operation", metavar="OP", help="Run another operation: update, config, status, remove, ...")
@click.option("--upload", is_flag=True, help="Deliver the bundles without running them.")
@click.option("--keep-going", is_flag=True, help="After a failure, go on where nothing depends on it.")
@click.option("--max-parallel", type=click.IntRange(min=1), metavar="N", help="Steps at once in the whole run.")
@click.option("--wait", is_flag=True, help="Wait while another runner holds the workspace.")
@pass_app
def create(app: App, /, **flags: object) -> None:
    """Install NAME and everything it needs, or the whole DAG with --all. With --nats the workers of a cluster do it."""
    asked = Asked(**flags)  # type: ignore[arg-type]
    asked.refuse_contradictions()
    project = on_cluster(app, app.project())
    if asked.check:
        _check(app, project, asked)
    else:
        _run(app, project, asked)


def _check(app: App, project: Project, asked: Asked) -> None:
    from provisioning.errors import UsageError
    from provisioning_cli import output, plans

    if asked.connect and project.cluster is not None:
        raise UsageError("--connect tries from this machine, and the workers' machines do the work", hint="leave it out")
    plan = project.plan(asked.selection())
    document = plans.plan_document(plan)
    if not asked.connect:
        app.emit(document, lambda: plans.plan_table(plan))
        return
    found = project.check_connections(plan)
    gates = {step.id for step in plan.steps if step.kind == "gate"}
    rows = [{"what": name, "ok": not wrong, "problem": wrong or None} for name, wrong in found.items()]
    table = plans.plan_table
    app.emit(document | {"connections": rows}, lambda: table(plan) + output.table(rows, ["what", "ok", "problem"]))
    if any(wrong and name not in gates for name, wrong in found.items()):
        app.leave(7)


def _run(app: App, project: Project, asked: Asked) -> None:
    from provisioning_cli import output, plans, progress, results

    shown: list[Plan] = []
    with progress.listener() as listener:

        def show(plan: Plan) -> None:
            shown.append(plan)
            if not app.json:
                output.write(plans.plan_table(plan))
            if not plan.empty:
                listener.expect(plan)

        result = project.provision(asked.selection(), asked.options(), listener, show)
    results.finish(app, result, shown[-1] if shown else None)


@taskserv.command("list")
@pass_app
def list_(app: App) -> None:
    """List the taskservs that can be installed, and where each is used."""
    from provisioning_cli import output

    project = app.project()
    used = _used(project)
    rows = [
        {
            "name": one.name,
            "version": one.version or None,
            "profiles": sorted(one.profiles),
            "formulas": used.get(one.name, []),
            "description": one.description or None,
        }
        for one in project.infra.taskservs.values()
    ]
    columns = ["name", "version", "profiles", "formulas", "description"]
    app.emit({"taskservs": rows}, lambda: output.table(rows, columns, empty="no taskservs", spare=["description", "version"]))


def _used(project: Project) -> dict[str, list[str]]:
    used: dict[str, list[str]] = {}
    for formula in project.infra.dag.formulas if project.infra.dag else ():
        for node in formula.nodes:
            used.setdefault(node.taskserv, []).append(formula.id)
    return used


@taskserv.command()
@click.argument("name", shell_complete=complete.taskservs)
@pass_app
def show(app: App, name: str) -> None:
    """Show what NAME takes, and its state on each server."""
    from provisioning_cli import output

    project = app.project()
    facts = _facts(_named(project.infra.taskservs, name))
    states = [
        {"server": server, "state": resources[name].state.value, "ended_at": resources[name].ended_at}
        for server, resources in project.book().servers.items()
        if name in resources
    ]
    facts |= {"formulas": _used(project).get(name, [])}
    shown = {key: value for key, value in facts.items() if key != "params" and value not in (None, [], {})}
    app.emit(facts | {"servers": states}, lambda: output.record(shown) + _params_table(facts["params"]) + _states_table(states))


def _params_table(params: object) -> str:
    from provisioning_cli import output

    rows = [{"param": name, **spec} for name, spec in params.items()] if isinstance(params, dict) else []
    columns = ["param", "type", "required", "default", "description"]
    return output.table(rows, columns, spare=["type", "required"]) if rows else ""


def _states_table(states: Sequence[Mapping[str, object]]) -> str:
    from provisioning_cli import output

    return output.table(states, ["server", "state", "ended_at"], empty="not installed anywhere")


def _facts(one: Taskserv) -> dict[str, object]:
    return {
        "name": one.name,
        "version": one.version or None,
        "description": one.description or None,
        "path": one.path,
        "profiles": sorted(one.profiles),
        "operations": list(one.operations),
        "idempotent": one.idempotent,
        "requires": list(one.requires),
        "provides": list(one.provides),
        "conflicts_with": list(one.conflicts_with),
        "timeout_s": one.timeout_s,
        "params": {
            key: {
                "type": spec.type,
                "required": spec.required,
                "description": spec.description,
                **({} if spec.type == "secret" else {"default": spec.default}),
            }
            for key, spec in one.params.items()
        },
    }


def _named(taskservs: Mapping[str, Taskserv], name: str) -> Taskserv:
    from provisioning.core.suggest import nearest
    from provisioning.errors import NotFoundError

    if name not in taskservs:
        near = nearest(name, taskservs)
        hint = f"did you mean {near}?" if near else "`provisioning taskserv list` shows what there is"
        raise NotFoundError(f"no taskserv {name!r}", hint=hint)
    return taskservs[name]


@taskserv.command()
@click.argument("name")
@pass_app
def generate(app: App, name: str) -> None:
    """Write the files of a new taskserv NAME into the workspace."""
    from provisioning.formats.scaffold import taskserv_files
    from provisioning_cli import output, writing

    folder = app.folder() / "taskservs" / writing.valid_name("taskserv", name)
    files = writing.write_new(folder, taskserv_files(name))
    app.emit(
        {"name": name, "path": str(folder), "files": files},
        lambda: "".join(f"{output.cell(str(Path(folder) / file))}\n" for file in files),
    )


@taskserv.command()
@click.argument("name", required=False, shell_complete=complete.taskservs)
@pass_app
def validate(app: App, name: str | None) -> None:
    """Check the files of NAME, or of every taskserv of the workspace."""
    from provisioning.formats.taskserv import catalogue_folders, load_catalogue
    from provisioning_cli import output, results

    folder = app.folder()
    catalogue: Catalogue = load_catalogue(catalogue_folders(folder, app.infra), folder)
    if name is not None:
        names = [_named(catalogue, name).name]
    else:
        names = [one for one in catalogue if Path(catalogue[one].path).is_relative_to(folder)]
    faults = [fault for one in names for fault in catalogue.inspect(one)[1]]
    results.report_faults(app, faults, output.count(len(names), "taskserv"))
