"""The options with which a command works on a cluster instead of this machine alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App
from provisioning_cli.groups import Command, remember, with_options

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.adapters.nats.connect import Access
    from provisioning.operations import Project
    from provisioning.settings import Settings

FLAGS: Mapping[str, str] = MappingProxyType(
    {"nats": "nats.url", "creds": "nats.credentials", "namespace": "nats.namespace", "nats_ca": "nats.ca"}
)
"""Name of the option -> setting."""


def cluster_options() -> list[click.Parameter]:
    """Return the options that say which cluster is meant, and who we are to it."""

    def option(name: str, metavar: str, help: str) -> click.Option:
        return click.Option([name], metavar=metavar, expose_value=False, callback=remember, help=help)

    return [
        option("--nats", "URL", "The cluster's servers, with commas between them; `off`: none, whatever the settings say."),
        option("--creds", "FILE", "A .creds file: who we are to the cluster."),
        option("--nats-ca", "FILE", "The certificates of those who sign its servers'."),
        option("--namespace", "NAME", "Which of the installations on it."),
    ]


class ClusterCommand(Command):
    """A command that works on a cluster as well."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, those of the cluster, the common ones, then `--help`."""
        return with_options(super().get_params(ctx), cluster_options())


def flags(app: App) -> dict[str, object]:
    """Return the settings that were given as options. Raises UsageError for one that is empty."""
    from provisioning.errors import UsageError

    given = {name: app.given[name] for name in FLAGS if name in app.given}
    empty = next((name for name, value in given.items() if not value), None)
    if empty is not None:  # an unset variable in a script must not mean this machine
        raise UsageError(f"--{empty.replace('_', '-')} is empty", hint="`--nats off` means this machine")
    return {FLAGS[name]: value for name, value in given.items()}


def settings(app: App) -> tuple[Settings, Path | None]:
    """Return the settings with what the options say, and the workspace if there is one. Raises ConfigError, UsageError."""
    from provisioning.errors import NotFoundError
    from provisioning.formats.workspace import load_workspace
    from provisioning.settings import load

    try:
        folder = app.folder()
    except NotFoundError:
        return load(flags=flags(app)), None
    return load(flags=flags(app), workspace=load_workspace(folder).settings), folder


def access(app: App) -> Access | None:
    """Return how the cluster is reached that is meant; None where this machine is. Raises ConfigError, UsageError."""
    from provisioning import clusters

    found, folder = settings(app)
    return clusters.access(found, folder)


def on_cluster(app: App, project: Project) -> Project:
    """Return a project with the cluster that is meant, if one is. Raises ConfigError, UsageError."""
    from dataclasses import replace

    return replace(project, cluster=access(app))


def required(app: App) -> Access:
    """Return how the cluster is reached that is meant. Raises UsageError where none is."""
    from provisioning.errors import UsageError

    found = access(app)
    if found is None:
        raise UsageError("no cluster is named", hint="give --nats URL, the setting nats.url, or PROVISIONING_NATS")
    return found
