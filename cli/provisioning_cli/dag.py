"""`provisioning dag`: the DAG of formulas, of the workspace or of a file, and the DAGs of Dagu files."""

from __future__ import annotations

import click

from provisioning_cli.dagu import ALIASES, VERBS, WHERE
from provisioning_cli.groups import LazyGroup

FORMULAS = {
    "show": "Draw a DAG, with the state of each formula.",
    "validate": "Check a DAG with everything it names; all faults at once.",
    "export": "Write the DAG in another notation.",
    "plan": "Show what would be done.",
}
"""Verbs for formulas; `show` and `validate` take Dagu files as well."""

DAGU = {name: text for name, text in VERBS.items() if name not in FORMULAS}
"""Verbs for Dagu files alone."""


@click.group(
    cls=LazyGroup,
    lazy=FORMULAS | DAGU,
    aliases=ALIASES,
    where=dict(WHERE) | {name: f"formulas:{name}" for name in FORMULAS},
)
def dag() -> None:
    """Show, check, export and plan the DAG of formulas, of the workspace or of a FILE; show and check those of Dagu files.

    A FILE that ends in .yaml or .yml is Dagu's, and so is a NAME where there is no workspace.
    """
