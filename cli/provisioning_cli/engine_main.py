"""`dag-engine`: runs Dagu files. The same commands as those of `provisioning dag` for them, with Dagu's own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import click

from provisioning import __version__
from provisioning_cli.dagu import ALIASES, VERBS, WHERE
from provisioning_cli.dagu.asked import engine_options
from provisioning_cli.groups import LazyGroup
from provisioning_cli.main import run

NAME = "dag-engine"
SCHEDULE = "When DAGs are due; pause that, and run what is past."
COMPLETION = "Shell completion for bash, zsh, fish and nushell."


@click.group(
    cls=LazyGroup,
    lazy={**VERBS, "schedule": SCHEDULE, "completion": COMPLETION},
    aliases=ALIASES,
    where=WHERE,
    common=engine_options,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 a step failed, 2 usage, 3 a file is wrong, 4 not found, 6 locked, 130 interrupted.",
)
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
def dag_engine() -> None:
    """Run DAGs that are written for Dagu, unchanged, and keep their history."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    run(args, root=dag_engine, name=NAME)


if __name__ == "__main__":
    main()
