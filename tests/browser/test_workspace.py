"""The demo's workspace, on four real SSH servers, provisioned by somebody at a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from stage import Stage, set_up
from support.dagengine import Engine
from support.webpages import Visit

pytestmark = [pytest.mark.sshd, pytest.mark.slow]
WHOLE_RUN_MS = 200_000.0  # a limit for what hangs


@pytest.fixture
def stage(tmp_path: Path, throwaway: ThrowawayServers) -> Stage:
    made = set_up(tmp_path / "stage", throwaway)
    assert made.call("workspace", "use", str(made.workspace)).returncode == 0
    return made


@pytest.fixture
def engine(stage: Stage) -> Engine:
    """Return an engine of the person who has used the workspace."""
    return Engine(stage.home)


def test_the_demo_is_provisioned_and_its_gates_are_watched(visit: Callable[..., Visit], stage: Stage) -> None:
    one = visit()
    one.open("/workspaces")
    one.page.locator("main").get_by_role("link").first.click()
    plan = one.page.get_by_role("table", name="Plan")
    plan.get_by_text("health gate").first.wait_for()
    assert plan.get_by_text("create").count() > 0
    one.picture("plan")

    one.button("Provision").click()
    one.page.wait_for_url("**/runs/*")
    steps = one.page.get_by_role("table", name="Steps")
    gate = steps.get_by_role("row").filter(has_text=re.compile(r"/gate"))
    gate.filter(has_text="running").first.wait_for(timeout=WHOLE_RUN_MS)
    one.picture("provisioning")

    one.page.get_by_role("link", name="demo").click()
    one.page.get_by_role("link", name="Provisioning now").wait_for()
    one.tab("Formulas")
    gates = one.page.get_by_role("table", name="Gates").locator(".table-body").get_by_role("row")
    gates.filter(has_text="succeeded").first.wait_for(timeout=WHOLE_RUN_MS)
    one.picture("gates")
    one.page.get_by_role("link", name="Newest run").wait_for(timeout=WHOLE_RUN_MS)
    assert gates.filter(has_text="succeeded").count() == gates.count() > 0
    assert set(stage.resources().values()) == {"completed"}

    one.tab("State")
    one.page.get_by_role("table", name="State").get_by_text("completed").first.wait_for()
    one.tab("Plan")
    one.page.get_by_text("unchanged").first.wait_for()
