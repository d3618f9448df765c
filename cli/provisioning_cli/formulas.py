"""`provisioning dag` over formulas: show, check, export and plan their DAG, of the workspace or of a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.clustered import ClusterCommand, on_cluster
from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import SUFFIXES, DagCommand, DagRunsCommand, is_dagu
from provisioning_cli.drawings import DRAWINGS, emit_drawing

if TYPE_CHECKING:
    from provisioning.core.declare import Dag
    from provisioning.formats.draw.picture import Picture
    from provisioning.operations import Project

EXPORTS = ("json", "toml", "yaml", "nickel", "mermaid", "dot", "workflow")


@click.command(cls=DagRunsCommand)
@click.argument("what", required=False, metavar="[FILE|NAME]", shell_complete=complete.dags)
@click.option("--format", "form", type=click.Choice(DRAWINGS), help="How to draw it; tree if nothing is said.")
@pass_app
def show(app: App, what: str | None, form: str | None) -> None:
    """Draw the DAG of the workspace, with the state of each formula; or that of FILE, or the Dagu DAG NAME."""
    if what is not None and is_dagu(app, what):
        from provisioning_cli.dagu.showing import show_dag

        show_dag(app, what, form)
        return
    _show(app, Path(what) if what is not None else None, form)


def _show(app: App, file: Path | None, form: str | None) -> None:
    from provisioning.formats.draw.notation import rows

    drawn = _picture(app, file)
    if form == "json" or (form is None and app.json):
        from provisioning_cli import output

        output.write(output.to_json({"formulas": rows(drawn)}))
        return
    emit_drawing(app, drawn, form or "tree", table=_table, empty="no formulas\n")


def _picture(app: App, file: Path | None) -> Picture:
    from provisioning.core.plan import Selection
    from provisioning.formats.draw.picture import picture

    if file is not None:
        return picture(_loaded(app, file))
    project = on_cluster(app, app.project())
    found = project.infra.dag
    if found is None:
        app.say("no dag file: taskservs are installed directly, without order and gates")
        return picture(_no_formulas())
    plan = project.plan(Selection(everything=True)) if found.formulas else None
    return picture(found, plan, project.book())


def _table(drawn: Picture) -> str:
    from provisioning.formats.draw import notation
    from provisioning_cli import output

    rows = [_row(box) for box in notation.rows(drawn)]
    return output.table(rows, ["formula", "server", "state", "nodes", "gate", "after"], empty="no formulas")


def _row(box: dict[str, object]) -> dict[str, object]:
    deps = box["depends_on"] if isinstance(box["depends_on"], list) else []
    names = [dep["formula_id"] + ("" if dep["condition"] == "healthy" else f" ({dep['condition']})") for dep in deps]
    return box | {"formula": box["id"], "after": names}


@click.command(cls=DagCommand)
@click.argument("what", nargs=-1, metavar="[FILE|NAME|FOLDER]...", shell_complete=complete.dags)
@pass_app
def validate(app: App, what: tuple[str, ...]) -> None:
    """Check the DAG of the workspace with everything it names, and report all faults at once.

    Or that of a FILE. Of Dagu files several may be given, by path or by name; a FOLDER is all of them in it.
    """
    from provisioning.errors import UsageError

    of_dagu = [one for one in what if is_dagu(app, one)]
    if of_dagu and len(of_dagu) == len(what):
        from provisioning_cli.dagu.checking import check

        check(app, what)
    elif len(what) > 1:
        raise UsageError("several files are given, and not all of them are Dagu's", hint="give one DAG of formulas at a time")
    else:
        _validate(app, Path(what[0]) if what else None)


def _validate(app: App, file: Path | None) -> None:
    from provisioning_cli import results

    if file is not None:
        from provisioning.formats.dagfile import inspect_dag_file

        found, faults = inspect_dag_file(_existing(file), limits=app.limits())
        results.report_faults(app, list(faults), _size(found) if found else str(file))
        return
    from provisioning.errors import ConfigError
    from provisioning.formats.infra import choose_infra

    try:
        workspace = app.workspace()
        infra = choose_infra(workspace, app.infra)
        seen = results.inspected(workspace, infra, app.limits(workspace))
    except ConfigError as error:
        results.report_faults(app, results.faults_of(error), "workspace")
        return
    results.report_faults(app, list(seen.faults), _size(seen.infra.dag) if seen.infra else f"infra {infra}")


def _size(found: Dag | None) -> str:
    from provisioning_cli import output

    return output.count(len(found.formulas), "formula") if found else "no formulas"


@click.command(cls=DagCommand)
@click.argument("what", required=False, metavar="[FILE|NAME]", shell_complete=complete.dags)
@click.option("--format", "form", type=click.Choice(EXPORTS), default="json", show_default=True, help="The notation.")
@click.option("--output-file", type=click.Path(path_type=Path, dir_okay=False), help="Write it there instead of printing it.")
@pass_app
def export(app: App, what: str | None, form: str, output_file: Path | None) -> None:
    """Write the DAG in another notation; `workflow` is what the engine runs.

    Those of Dagu files can be written as workflow, mermaid and dot.
    """
    if what is not None and is_dagu(app, what):
        from provisioning_cli.dagu.showing import exported

        text = exported(app, what, form)
    else:
        text = _exported(app, Path(what) if what is not None else None, form)
    if output_file is None:
        app.emit({"format": form, "content": text}, lambda: text)
        return
    _written(output_file, text)
    app.emit({"format": form, "file": str(output_file)}, lambda: f"{output_file}\n")


def _exported(app: App, file: Path | None, form: str) -> str:
    if form == "workflow":
        from provisioning.codec import pretty
        from provisioning.core.compile import compile_plan
        from provisioning.core.plan import Selection

        project = _project(app, file)
        return pretty(compile_plan(project.plan(Selection(everything=True)), project.infra)).decode()
    found = _loaded(app, file) if file is not None else (app.project().infra.dag or _no_formulas())
    if form in {"mermaid", "dot"}:
        from provisioning.formats.draw import notation
        from provisioning.formats.draw.picture import picture

        return notation.mermaid(picture(found)) if form == "mermaid" else notation.dot(picture(found))
    from provisioning.formats.export import dump_dag

    return dump_dag(found, form)


def _written(path: Path, text: str) -> None:
    from provisioning.errors import StoreError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


@click.command(cls=ClusterCommand)
@click.argument("what", required=False, metavar="[NAME|FILE]", shell_complete=complete.taskservs)
@click.option(
    "--server", "servers", multiple=True, metavar="HOST", shell_complete=complete.servers, help="Only there; repeatable."
)
@pass_app
def plan(app: App, what: str | None, servers: tuple[str, ...]) -> None:
    """Show what would be done for taskserv NAME, or for the whole DAG of the workspace or of FILE."""
    from provisioning.core.plan import Selection
    from provisioning.errors import UsageError
    from provisioning_cli import plans

    if what is not None and what.endswith(SUFFIXES):
        raise UsageError(f"{what} is a Dagu file, and plans are for formulas", hint="`dag show` draws what it does")
    file = Path(what) if what is not None and _is_file(what) else None
    name = what if file is None else None
    project = _project(app, file) if file is not None else on_cluster(app, app.project())
    made = project.plan(Selection(name=name, everything=name is None, servers=frozenset(servers)))
    app.emit(plans.plan_document(made), lambda: plans.plan_table(made))


def _is_file(what: str) -> bool:
    return what.endswith((".json", ".ncl")) or "/" in what


def _project(app: App, file: Path | None) -> Project:
    """Return the workspace's project, or one that is made of nothing but a DAG file."""
    if file is None:
        return app.project()
    from provisioning.core.declare import Infra, Server, Workspace
    from provisioning.formats.taskserv import catalogue_folders, load_catalogue
    from provisioning.operations import Project

    found, folder = _loaded(app, file), file.absolute().parent
    infra = Infra(
        workspace=Workspace(name=file.stem, path=str(folder)),
        name=file.stem,
        servers=tuple(Server(hostname=name) for name in dict.fromkeys(formula.server for formula in found.formulas)),
        dag=found,
        taskservs=load_catalogue(catalogue_folders(folder), folder),
    )
    return Project(infra=infra, folder=folder)


def _loaded(app: App, file: Path) -> Dag:
    """Read a DAG file. Raises NotFoundError, ConfigError with every fault."""
    from provisioning.core.faults import Severity
    from provisioning.errors import ConfigError
    from provisioning.formats.dagfile import inspect_dag_file

    found, faults = inspect_dag_file(_existing(file), limits=app.limits())
    errors = [fault for fault in faults if fault.severity is Severity.ERROR]
    if errors or found is None:
        raise ConfigError(f"{file} is not a valid DAG", faults=tuple(faults))
    return found


def _existing(file: Path) -> Path:
    from provisioning.errors import NotFoundError

    if not os.path.exists(file):  # noqa: PTH110 -- never raises, however long the name is
        raise NotFoundError(f"no file {file}", hint="without FILE the workspace's own DAG is meant")
    return file


def _no_formulas() -> Dag:
    from provisioning.core.declare import Dag

    return Dag()
