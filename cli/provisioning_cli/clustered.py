"""The options with which a command works on a cluster instead of this machine alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App
from provisioning_cli.groups import Command, Group, remember, with_options

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.adapters.nats.connect import Access
    from provisioning.client.client import Client
    from provisioning.operations import Project
    from provisioning.operations.steering import Reach
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


class ClusterGroup(Group):
    """A group of commands that work on a cluster as well."""

    command_class = ClusterCommand

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own parameters, those of the cluster, the common ones, then `--help`."""
        return with_options(super().get_params(ctx), cluster_options())


class Runs:
    """Which runs a command is about: those of a folder, or of a cluster whose history has a copy in `folder`."""

    def __init__(self, app: App) -> None:
        self.settings, base = settings(app)
        from provisioning import clusters
        from provisioning.operations.steering import HERE

        self.access = clusters.access(self.settings, base)
        self.reach: Reach = HERE
        if self.access is None:
            self.folder = app.runs_folder()
        else:
            from provisioning.operations.cluster.reach import OnCluster, caught_up

            self.folder, self.reach = caught_up(self.access), OnCluster(self.access)

    def fetch_logs(self, run_id: str) -> None:
        """Have the logs of a run in the folder."""
        if self.access is not None:
            from provisioning.operations.cluster.reach import caught_up

            caught_up(self.access, run_id)

    def client(self) -> Client:
        """Return a client of them that drives nothing."""
        from provisioning.client import connect
        from provisioning.client.assemble import assemble_on_cluster
        from provisioning.client.engine import Options

        if self.access is None:
            return connect(self.folder, execute=False)
        return assemble_on_cluster(Options(), self.settings, execute=False)


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

    from provisioning import clusters
    from provisioning.settings import load

    found = load(flags=flags(app), workspace=project.infra.workspace.settings)  # which has been read already
    return replace(project, cluster=clusters.access(found, project.folder))


def required(app: App) -> Access:
    """Return how the cluster is reached that is meant. Raises UsageError where none is."""
    from provisioning.errors import UsageError

    found = access(app)
    if found is None:
        raise UsageError("no cluster is named", hint="give --nats URL, the setting nats.url, or PROVISIONING_NATS")
    return found
