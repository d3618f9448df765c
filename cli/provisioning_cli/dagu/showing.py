"""`dag show` of Dagu files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provisioning_cli import complete
from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagCommand, catalogue
from provisioning_cli.drawings import DRAWINGS, emit_drawing

if TYPE_CHECKING:
    from provisioning.formats.draw.picture import Picture


@click.command(cls=DagCommand)
@click.argument("what", metavar="NAME|FILE", shell_complete=complete.dags)
@click.option("--format", "form", type=click.Choice(DRAWINGS), help="How to draw it; tree if nothing is said.")
@pass_app
def show(app: App, what: str, form: str | None) -> None:
    """Draw a DAG: its steps, what they do and wait for, and its handlers."""
    show_dag(app, what, form)


def show_dag(app: App, what: str, form: str | None) -> None:
    """Draw the DAG that a name or a path means. Raises NotFoundError, UsageError, ConfigError."""
    from provisioning.formats.draw.steps import steps_document, steps_picture

    dag = catalogue(app).load(what)
    if form == "json" or (form is None and app.json):
        from provisioning_cli import output

        output.write(output.to_json(steps_document(dag)))
        return
    emit_drawing(app, steps_picture(dag), form or "tree", table=_table, empty="no steps\n")


def exported(app: App, what: str, form: str) -> str:
    """Return a DAG as Mermaid, as DOT, or as the workflow that the engine runs. Raises UsageError for other notations."""
    from provisioning.errors import UsageError

    dag = catalogue(app).load(what)
    if form == "workflow":
        from provisioning.codec import pretty
        from provisioning.core.dagu.compile import compile_dag

        return pretty(compile_dag(dag)).decode()
    if form not in {"mermaid", "dot"}:
        raise UsageError(f"DAGs of Dagu files cannot be written as {form}", hint="--format workflow, mermaid or dot")
    from provisioning.formats.draw import notation
    from provisioning.formats.draw.steps import steps_picture

    return notation.mermaid(steps_picture(dag)) if form == "mermaid" else notation.dot(steps_picture(dag))


def _table(drawn: Picture) -> str:
    from provisioning_cli import output

    needs = drawn.needs()
    rows = [
        {"step": box.id, "kind": box.server, "does": box.nodes, "after": [drawn.boxes[tail].id for tail in needs[index]]}
        for index, box in enumerate(drawn.boxes)
    ]
    return output.table(rows, ["step", "kind", "does", "after"], empty="no steps")
