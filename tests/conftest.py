"""What every test can count on: a clean environment, reproducible examples, throw-away servers and a lab on request."""

from __future__ import annotations

import asyncio
import compileall
import gc
import inspect
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings
from lab.laboratory import Lab
from servers import ThrowawayServers
from sshd import sshd_path
from support.closing import close_all
from support.labs import lab_reason
from support.natsservers import nats_access, nats_server

__all__ = ["nats_access", "nats_server"]

QUICK_EXAMPLES = 30  # of each property; with --soak it is hypothesis' own hundred

settings.register_profile("steady", derandomize=True, deadline=None, database=None)  # with --soak
settings.register_profile("quick", settings.get_profile("steady"), max_examples=QUICK_EXAMPLES)
settings.register_profile("explore", deadline=None)  # pytest --hypothesis-profile=explore
settings.load_profile("quick")

ROOT = Path(__file__).parents[1]
RUN_BY_MANY = ("provisioning", "cli", "tests/support", "tests/lab", "workspaces/demo")  # processes that tests start

PRIVATE = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
UNWANTED = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES", "SSH_AUTH_SOCK")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know `--soak` and `--lab`."""
    parser.addoption("--soak", action="store_true", help="also run the tests that take many rounds")
    parser.addoption("--lab", action="store_true", help="build the lab's base if it is missing, and run its long tests too")


def pytest_configure(config: pytest.Config) -> None:
    """Hear Ctrl-C, and let the programs under test hear it, also where a shell in the background has us ignore it.

    Try more examples where there is time. Compile the modules once: hundreds of processes would do it anew each, being
    killed before they write it down, or told to write nothing.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--soak"):
        settings.load_profile("steady")
    if not hasattr(config, "workerinput"):
        for folder in RUN_BY_MANY:
            compileall.compile_dir(ROOT / folder, quiet=2)


@pytest.hookimpl(tryfirst=True)  # before `-m soak` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the lab's tests: they wait much, and the others fill that time. Properties are part of a soak."""
    for item in items:
        if config.getoption("--soak") and isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker("soak")
    items.sort(key=lambda item: item.get_closest_marker("lab") is None)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was collected: it would look through all of it in every long test."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs OpenSSH's server where there is none, and the long rounds where nobody asked for them."""
    if item.get_closest_marker("soak") and not item.config.getoption("--soak"):
        pytest.skip("many rounds: make soak")
    if item.get_closest_marker("sshd") and sshd_path() is None:
        pytest.skip("OpenSSH's server is not installed (apt-get install openssh-server)")
    if item.get_closest_marker("lab") and (reason := lab_reason(item)):
        pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def run() -> None:
        try:
            await pyfuncitem.obj(**wanted)
        finally:
            close_all()

    asyncio.run(run())
    return True


@pytest.fixture(autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the developer's settings, agent and home folder; return the home that the test has instead."""
    home = tmp_path_factory.mktemp("home", numbered=True)
    for variable in [name for name in os.environ if name.startswith("PROVISIONING_")]:
        monkeypatch.delenv(variable)
    for variable in UNWANTED:
        monkeypatch.delenv(variable, raising=False)
    for variable in PRIVATE:
        monkeypatch.setenv(variable, str(home if variable == "HOME" else home / variable.lower()))
    return home


@pytest.fixture
def tmp_workspace(tmp_path: Path) -> Path:
    """Return an empty workspace: servers, formulas and taskservs are the test's to write."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "workspace.toml").write_text('name = "test"\n', "utf-8")
    return folder


@pytest.fixture
def throwaway_servers(tmp_path: Path) -> Iterator[Callable[..., ThrowawayServers]]:
    """Return a maker of running throw-away servers; it takes what `ThrowawayServers` takes. They are stopped at the end."""
    made: list[ThrowawayServers] = []

    def make(*names: str, shared: bool = False) -> ThrowawayServers:
        servers = ThrowawayServers(names or ("one",), folder=tmp_path / f"servers-{len(made)}", shared=shared)
        made.append(servers)
        servers.start()
        return servers

    yield make
    for servers in made:
        servers.stop()


@pytest.fixture
def throwaway(throwaway_servers: Callable[..., ThrowawayServers]) -> ThrowawayServers:
    """Return the demo's four servers, running. Mark the test `sshd`."""
    return throwaway_servers("edge", "app-1", "app-2", "data")


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Real Debian servers with systemd, for one module: as many as its mark `lab(count=3, disk_mb=None)` says."""
    mark = request.node.get_closest_marker("lab")
    with Lab(mark.kwargs.get("count", 3), disk_mb=mark.kwargs.get("disk_mb")) as servers:
        yield servers
