"""`dag dry`: what a DAG would run. Nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagCommand, catalogue
from provisioning_cli.dagu.starting import PARAMS, WHAT, WORDS, given_params

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@click.command(cls=DagCommand)
@WHAT
@WORDS
@PARAMS
@pass_app
def dry(app: App, what: str, words: tuple[str, ...], params: str | None) -> None:
    """Show what a DAG would run, in order, with which parameters. Nothing is executed or evaluated."""
    from provisioning.operations.dagu.dry import dry_document
    from provisioning.operations.dagu.running import check_params

    dag = catalogue(app).load(what)
    given = given_params(params, words)
    check_params(dag, given)
    document = dry_document(dag, given)
    app.emit(document, lambda: _text(document))


def _text(document: Mapping[str, Any]) -> str:
    from provisioning_cli import output

    params = output.table(document["params"], ["name", "value", "from"]) if document["params"] else ""
    conditions = [f"only if {_condition(one)}\n" for one in document["preconditions"]]
    rows = [_row(one) for one in document["steps"]] + [_row(one) for one in document["handlers"]]
    steps = output.table(rows, ["step", "turn", "kind", "runs", "after", "if"], empty="no steps", spare=["kind", "turn"])
    return params + "".join(map(output.cell, conditions)) + "\n" * bool(conditions) + steps + "".join(_notes(document))


def _notes(document: Mapping[str, Any]) -> Iterator[str]:
    if any(one["from"] == "command" for one in document["params"]):
        yield "values from commands are known when the DAG runs\n"
    yield "nothing was executed\n"


def _row(one: Mapping[str, Any]) -> dict[str, object]:
    return {
        "step": one["id"] if "event" not in one else f"({one['event']})",
        "turn": one.get("turn"),
        "kind": one["kind"],
        "runs": "\n".join(one["commands"]) or one["does"],
        "after": one["depends_on"],
        "if": "; ".join(_condition(condition) for condition in one["preconditions"]),
    }


def _condition(one: Mapping[str, Any]) -> str:
    sign = "!=" if one.get("negate") else "=="
    if "expected" in one:
        return f"{one['condition']} {sign} {one['expected']}"
    return f"not {one['condition']}" if one.get("negate") else str(one["condition"])
