"""Names for shell completion. Whatever goes wrong here, the shell simply gets no names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Names = Callable[[App], Iterable[str]]
Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(names: Names) -> Completer:
    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        try:
            return [name for name in names(ctx.ensure_object(App)) if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


def dags(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names of DAG files, and have the shell add files of its own."""
    from click.shell_completion import CompletionItem

    found = _dag_names(ctx, param, incomplete)
    return [*map(CompletionItem, found), CompletionItem(incomplete, type="file")]


def _taskservs(app: App) -> Iterable[str]:
    from provisioning.formats.taskserv import catalogue_folders, load_catalogue

    return load_catalogue(catalogue_folders(app.folder(), app.infra))


def _servers(app: App) -> Iterable[str]:
    return [server.hostname for server in app.project().infra.servers]


def _dags(app: App) -> Iterable[str]:
    from provisioning_cli.dagu.asked import catalogue

    return catalogue(app).names()


def _runs(app: App) -> Iterable[str]:
    from provisioning.operations.records import list_runs

    return ["last", *(run.run_id for run in list_runs(app.runs_folder(), 50))]


def _letters(app: App) -> Iterable[str]:
    from provisioning.operations.records import open_history

    with open_history(app.runs_folder()) as history:
        return [str(letter.id) for letter in history.dead_letters(50)]


def _workspaces(_app: App) -> Iterable[str]:
    from provisioning.userfile import read

    return read().workspaces


taskservs = _completer(_taskservs)
servers = _completer(_servers)
_dag_names = _completer(_dags)
runs = _completer(_runs)
letters = _completer(_letters)
workspaces = _completer(_workspaces)
