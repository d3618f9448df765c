"""What commands over Dagu files are given: where the files are, and which of them are meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from provisioning_cli.context import App
from provisioning_cli.groups import Command, output_option, remember, with_options

if TYPE_CHECKING:
    from pathlib import Path

    from provisioning.adapters.nats.connect import Access
    from provisioning.operations.dagu.catalogue import Catalogue
    from provisioning.operations.dagu.places import Places
    from provisioning.operations.steering import Reach
    from provisioning.settings import Settings

SUFFIXES = (".yaml", ".yml")


def folder_options() -> list[click.Parameter]:
    """Return the options that say where DAG files are."""
    return [
        click.Option(["--dags"], metavar="DIR", expose_value=False, callback=remember, help="The folder of the DAG files."),
        click.Option(
            ["--dagu-home"], metavar="DIR", expose_value=False, callback=remember, help="The folder that DAGU_HOME names."
        ),
    ]


def engine_options() -> list[click.Parameter]:
    """Return what every command of `dag-engine` takes."""
    quiet = click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=remember, help="Print nothing but results and errors."
    )
    return [*folder_options(), output_option(), quiet]


class DagCommand(Command):
    """A command over Dagu files: it takes the folders as well, whatever its root."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, the folders, the common ones, then `--help`."""
        return with_options(super().get_params(ctx), folder_options())


class DagRunsCommand(DagCommand):
    """A command over runs of Dagu files, those of a cluster too."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters, those of the cluster, the common ones, then `--help`."""
        from provisioning_cli.clustered import cluster_options

        return with_options(super().get_params(ctx), cluster_options())


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The DAG files that can be found, and where their runs are."""

    catalogue: Catalogue
    settings: Settings
    reach: Reach
    access: Access | None = None

    @property
    def data(self) -> Path:
        """The folder with the history, of a cluster its copy."""
        return self.catalogue.places.data

    def fetch_logs(self, run_id: str) -> None:
        """Have the logs of a run in the folder."""
        if self.access is not None:
            from provisioning.operations.cluster.reach import caught_up

            caught_up(self.access, run_id)


def with_runs(app: App, dags: str | None = None) -> Found:
    """Return the DAG files and the runs that are meant; `dags` is a folder that the call names.

    Raises UsageError, ConfigError, ClusterUnreachable.
    """
    from provisioning import clusters
    from provisioning.operations.dagu.catalogue import Catalogue
    from provisioning.operations.steering import HERE
    from provisioning.settings import load
    from provisioning_cli.clustered import flags

    settings = load(flags=flags(app))
    where, access = places(app, dags), clusters.access(settings)
    kind = settings.dagu.default_type
    if access is None:
        return Found(catalogue=Catalogue(where, default_type=kind), settings=settings, reach=HERE)
    from provisioning.operations.cluster.reach import OnCluster, caught_up

    found = Catalogue(replace(where, data=caught_up(access)), default_type=kind)
    return Found(catalogue=found, settings=settings, reach=OnCluster(access), access=access)


def places(app: App, dags: str | None = None) -> Places:
    """Return which folders are meant; `dags` is one that the call names. Raises UsageError, ConfigError."""
    from provisioning.operations.dagu.places import find_places

    return find_places(dags=dags if dags is not None else app.given.get("dags"), home=app.given.get("dagu_home"))


def catalogue(app: App, dags: str | None = None) -> Catalogue:
    """Return the DAG files that can be found. Raises UsageError, ConfigError."""
    from provisioning.operations.dagu.catalogue import Catalogue
    from provisioning.settings import load

    return Catalogue(places(app, dags), default_type=load().dagu.default_type)


def is_dagu(app: App, what: str) -> bool:
    """Whether a FILE or NAME that could be a formula DAG's means one of Dagu.

    A file tells by its ending; a folder is Dagu's; so is a bare name where no workspace is meant.
    """
    import os

    from provisioning.errors import ProvisioningError

    if what.endswith(SUFFIXES):
        return True
    if what.endswith((".json", ".ncl")):
        return False
    if os.path.exists(what):  # noqa: PTH110 -- never raises, however long the name is
        return os.path.isdir(what)  # noqa: PTH112
    if "/" in what or app.asked("workspace") is not None:
        return False
    try:
        app.folder()
    except ProvisioningError:
        return True
    return False
