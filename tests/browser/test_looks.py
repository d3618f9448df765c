"""What every page holds: names, order and contrast for everybody, in both colours; what is said when the server is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.dagengine import Engine, until
from support.webpages import Visit

Visits = Callable[..., Visit]
pytestmark = pytest.mark.slow

RULES = (Path(__file__).parents[1] / "support" / "looks.js").read_text("utf-8")
SOME = """
description: Says two things
labels: team=data
schedule: "0 4 * * *"
params:
  - name: DAY
    default: monday
steps:
  - name: one
    command: echo one
  - name: two
    command: sh -c 'echo oh >&2; exit 3'
"""
PLACES = ("/", "/runs", "/schedules", "/workspaces", "/dead-letters", "/tokens", "/users", "/audit", "/account", "/nowhere")
COLOURS = ("light", "dark")


def faults(one: Visit, *paths: str) -> dict[str, list[str]]:
    """Return what does not hold, by page."""
    found = {}
    for path in paths:
        one.open(path)
        one.settle()
        if kept := one.page.evaluate(RULES):
            found[path] = kept
    return found


def test_the_pages_one_lives_on_can_be_read_and_used_by_everybody(visit: Visits, engine: Engine) -> None:
    engine.dag("some", SOME)
    assert engine("run", "some").code != 0
    one = visit(color_scheme="dark")
    run = one.asked("/runs")["runs"][0]["run_id"]
    assert faults(one, "/", "/dags/some", f"/runs/{run}") == {}


@pytest.mark.soak  # looks at much: make soak
@pytest.mark.parametrize("colours", COLOURS)
def test_every_page_can_be_read_and_used_by_everybody(visit: Visits, engine: Engine, colours: str) -> None:
    engine.dag("some", SOME)
    engine.dag("broken", "steps:\n  - name: a\n    comand: echo\n")
    assert engine("run", "some").code != 0
    one = visit(color_scheme=colours)
    run = one.asked("/runs")["runs"][0]["run_id"]
    tabs = [f"/dags/some?tab={tab}" for tab in ("graph", "runs", "source")]
    tabs += [f"/runs/{run}?tab={tab}" for tab in ("steps", "timeline", "logs", "values")]
    assert faults(one, *PLACES, *tabs, "/dags/broken") == {}
    one.open("/dags/some")
    one.button("Run now").click()
    one.page.get_by_role("dialog").get_by_label("DAY").wait_for()
    assert one.page.evaluate(RULES) == []


@pytest.mark.soak  # waits for a server twice: make soak
def test_a_server_that_is_gone_is_said_to_be_so_and_pages_go_on_when_it_is_back(visit: Visits, engine: Engine) -> None:
    engine.dag("some", SOME)
    one = visit()
    one.page.get_by_role("link", name="some").wait_for()
    one.server.stop()
    gone = one.page.get_by_text("The server cannot be reached.")
    gone.wait_for()
    assert one.page.get_by_role("link", name="some").is_visible()
    one.picture("lost")
    engine.dag("fresh", "steps:\n  - echo hi\n")
    with engine.started("server", "--port", one.server.port):
        one.page.get_by_role("link", name="fresh", exact=True).wait_for()
        until(lambda: gone.count() == 0)
        one.page.keyboard.press("g")
        one.page.keyboard.press("r")
        one.heading("Runs").wait_for()
