from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import demo
import pytest
from processes import command_line, with_environment
from servers import ThrowawayServers, take_down
from stage import COMMAND, Stage, set_up

DEMO = Path(demo.__file__)
pytestmark = [pytest.mark.sshd, pytest.mark.slow]


@pytest.fixture
def shop(tmp_path: Path, throwaway: ThrowawayServers) -> Stage:
    return set_up(tmp_path / "stage", throwaway)


def run_demo(*arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(temporary)}
    return subprocess.run([sys.executable, DEMO, *arguments], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.timeout(600)
def test_the_story_of_the_demo_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = run_demo(temporary=tmp_path)

    assert told.returncode == 0, told.stdout + told.stderr
    assert list(tmp_path.iterdir()) == []
    assert with_environment("DEMO_ROOT", tmp_path) == []


@pytest.mark.timeout(600)
def test_ctrl_c_ends_the_servers_of_the_demo_too(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, DEMO],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    ) as told:
        assert told.stdout is not None
        for line in told.stdout:
            if "storage/kv-store" in line and "succeeded" in line:
                break
        os.killpg(told.pid, signal.SIGINT)  # as a terminal does: the demo and the command it runs
        told.communicate()

    assert told.returncode == 130
    assert with_environment("DEMO_ROOT", tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
def test_what_demo_up_prints_can_be_done_and_demo_down_ends_all_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    up = run_demo("--up", str(folder), temporary=tmp_path)
    try:
        assert up.returncode == 0, up.stderr
        created = subprocess.run(
            [folder / "provisioning", "taskserv", "create", "load-balancer"], capture_output=True, check=False
        )
        assert created.returncode == 0, created.stderr
        services = [one for one in with_environment("DEMO_ROOT", folder) if "python3" in command_line(one)]
        assert len(services) == 4  # kv-store, both apps, the balancer
    finally:
        take_down(folder)

    assert with_environment("DEMO_ROOT", tmp_path) == []
    assert not folder.exists()


def test_the_demo_workspace_is_valid_as_it_stands_in_git(clean_environment: Path) -> None:
    valid = subprocess.run([COMMAND, "-w", DEMO.parent, "dag", "validate"], capture_output=True, text=True, check=False)

    assert valid.returncode == 0, valid.stderr
    assert not (DEMO.parent / ".provisioning").exists()


@pytest.mark.timeout(600)
def test_every_service_of_the_shop_can_be_asked_and_removed(shop: Stage) -> None:
    created = shop.call("taskserv", "create", "--all")
    assert created.returncode == 0, created.stderr
    assert len(shop.services()) == 6

    removed = shop.call("taskserv", "create", "--all", "--cmd", "remove")
    assert removed.returncode == 0, removed.stderr
    assert shop.services() == {}
