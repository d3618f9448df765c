"""`dag server`: API, pages and scheduler."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from provisioning_cli.context import App, pass_app
from provisioning_cli.dagu.asked import DagRunsCommand, places


@click.command(cls=DagRunsCommand)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("-p", "--port", default=8090, show_default=True, type=click.IntRange(0, 65_535), help="0 is any free one.")
@click.option("--dags-dir", metavar="DIR", type=click.Path(), help="The folder of the DAG files, as --dags.")
@click.option("--scheduler", is_flag=True, help="Also start what is due.")
@click.option("--tls-cert", default="", metavar="FILE", type=click.Path(), help="Certificate, PEM.")
@click.option("--tls-key", default="", metavar="FILE", type=click.Path(), help="Its key, PEM.")
@click.option("--allow-host", "names", multiple=True, metavar="NAME", help="A name that this server is called by; repeatable.")
@click.option("--no-auth", is_flag=True, help="Let everybody on this machine do everything.")
@pass_app
def server(
    app: App,
    *,
    host: str,
    port: int,
    dags_dir: str | None,
    scheduler: bool,
    tls_cert: str,
    tls_key: str,
    names: tuple[str, ...],
    no_auth: bool,
) -> None:
    """Serve the pages and the API over DAG files, runs and workspaces; Ctrl-C ends it.

    Workspaces are those of `provisioning workspace list`; the one that it is started in becomes one of them.
    At the first start it prints a token with which the first user is made. Runs that go on at its end are taken up at the next
    start. With --nats it shows and steers the runs of a cluster, and runs nothing itself.
    """
    from provisioning.errors import UsageError
    from provisioning.operations.session import run_blocking
    from provisioning.settings import load
    from provisioning_cli.clustered import flags

    try:
        from provisioning.api.serve import Listen, serve
    except ImportError as error:
        raise UsageError("the server is not installed", hint="pip install 'provisioning[server]'") from error
    where = places(app, dags_dir)
    offer_workspace(app)
    listen = Listen(
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        authentication=not no_auth,
        names=names,
        scheduler=scheduler,
    )
    run_blocking(serve(where, load(flags=flags(app)), listen, app.say))


def offer_workspace(app: App) -> None:
    """Have the workspace that is meant here, if one is, among those that this user knows: a server offers these.

    What is wrong with one that nobody asked for with -w is told, and no reason not to serve. Raises ConfigError, NotFoundError.
    """
    from provisioning.errors import ConfigError, NotFoundError, StoreError

    try:
        found = app.workspace()
        told = _made_known(found.name, found.path)
    except NotFoundError:
        if app.asked("workspace") is not None:
            raise
        return
    except (ConfigError, StoreError) as error:
        if app.asked("workspace") is not None:
            raise
        told = f"the workspace here is not offered: {error.message}"
    if told:
        app.say(told)


def _made_known(name: str, path: str) -> str:
    """Return what there is to say about it; nothing where it was known."""
    from provisioning import userfile

    mine = userfile.read()
    other = mine.workspaces.get(name, path)
    if other != path and (Path(other) / "workspace.toml").is_file():
        return f"{name} means the workspace in {other}; to offer the one here: provisioning workspace use {path}"
    if name in mine.workspaces and other == path:
        return ""
    userfile.write(replace(mine, workspaces={**mine.workspaces, name: path}))
    return f"workspace {name} is known from now on: {path}"
