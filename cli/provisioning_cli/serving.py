"""`dag server`: API, pages and scheduler."""

from __future__ import annotations

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
