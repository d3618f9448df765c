"""Small screens, keyboards, large graphs, and what the first page weighs."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from support.dagengine import Engine
from support.webpages import Visit

Visits = Callable[..., Visit]
pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 375, "height": 720}, "color_scheme": "dark", "has_touch": True}
FIRST_PAGE_LIMIT_B = 300_000
CHAIN = "type: chain\nlabels: team=data\nschedule: '0 4 * * *'\nsteps:\n  - echo one\n  - echo two\n"
PLACES = ("/", "/runs", "/schedules", "/workspaces", "/dead-letters", "/tokens", "/users", "/audit", "/account", "/nowhere")


@pytest.mark.soak  # looks at much: make soak
def test_every_page_fits_on_a_phone_in_the_dark(visit: Visits, engine: Engine) -> None:
    engine.dag("a-dag-with-quite-a-long-name-that-goes-on", CHAIN)
    one = visit(**PHONE)
    assert one.page.locator("html").get_attribute("data-mantine-color-scheme") == "dark"
    run = one.run("a-dag-with-quite-a-long-name-that-goes-on")
    one.status("succeeded")
    dag = "/dags/a-dag-with-quite-a-long-name-that-goes-on"
    tabs = [f"{dag}?tab={tab}" for tab in ("graph", "runs", "source")]
    tabs += [f"/runs/{run}?tab={tab}" for tab in ("steps", "timeline", "logs", "values")]
    for path in (*PLACES, *tabs):
        one.open(path)
        one.settle()
        assert one.too_wide_px() <= 0, path
    one.open("/")
    one.page.get_by_role("table", name="DAGs").wait_for()
    one.picture("phone")
    one.button("Menu").click()
    one.page.get_by_role("link", name="Runs").click()
    one.heading("Runs").wait_for()


def test_a_dag_is_started_with_the_keyboard_alone(visit: Visits, engine: Engine) -> None:
    engine.dag("simple", CHAIN)
    one = visit()
    keys = one.page.keyboard
    run = one.button("Run simple")
    run.wait_for()
    for _ in range(40):
        keys.press("Tab")
        if run.evaluate("element => element === document.activeElement"):
            break
    keys.press("Enter")
    one.page.get_by_role("dialog").get_by_role("button", name="Run now").wait_for()
    keys.press("Enter")
    one.page.wait_for_url("**/runs/*")
    one.status("succeeded")


def test_colours_can_be_chosen_and_are_remembered(visit: Visits) -> None:
    one = visit()
    root = one.page.locator("html")
    assert root.get_attribute("lang") == "en"
    assert root.get_attribute("data-mantine-color-scheme") == "light"
    one.button("Use dark colours").click()
    one.page.reload()
    one.button("Use light colours").wait_for()
    assert root.get_attribute("data-mantine-color-scheme") == "dark"


def large(first: str) -> str:
    """Return a DAG of 5,000 steps: a tree of which each step has fifty branches."""
    wide = "".join(f"  - name: s{index}\n    command: 'true'\n    depends: s{(index - 1) // 50}\n" for index in range(1, 5000))
    return f"type: graph\nsteps:\n  - name: s0\n    command: {first}\n{wide}"


@pytest.mark.soak  # looks at much: make soak
def test_a_run_of_5000_steps_is_usable_while_it_goes_on(visit: Visits, engine: Engine) -> None:
    engine.dag("large", large("sleep 600"))
    one = visit()
    one.run("large")
    one.status("running")
    table = one.page.get_by_role("table", name="Steps")
    table.get_by_text("running").wait_for()
    assert table.get_attribute("aria-rowcount") == "5001"
    assert table.get_by_role("row").count() < 60
    assert one.page.locator(".box").count() <= 120
    one.page.get_by_label("Search steps").fill("s4999")
    table.get_by_role("button", name="s4999", exact=True).wait_for()
    assert table.get_by_role("row").count() == 2
    one.picture("large-run")
    one.button("Cancel").click()
    one.button("Stop it").click()
    one.status("aborted")


@pytest.mark.soak  # looks at much: make soak
def test_a_graph_of_5000_steps_comes_as_groups_that_open(visit: Visits, engine: Engine) -> None:
    engine.dag("large", large("echo first"))
    one = visit()
    one.open("/dags/large")
    graph = one.page.get_by_role("region", name="Graph of large")
    boxes = graph.get_by_role("button", name="opens")
    boxes.first.wait_for()
    before = graph.locator(".box").count()
    boxes.first.click()
    one.button("Close groups").wait_for()
    assert before < 50 < graph.locator(".box").count() + 50
    assert graph.locator(".box").count() <= 200
    one.picture("large-graph")


def test_the_first_page_is_light_and_asks_little_before_its_first_row(visit: Visits, engine: Engine) -> None:
    for index in range(300):
        engine.dag(f"dag-{index:03}", CHAIN)
    one = visit()
    scripts: dict[str, int] = {}
    calls: list[str] = []
    one.page.on("requestfinished", lambda request: calls.append(request.url))
    one.page.on("response", lambda answer: scripts.update({answer.url: 0}) if answer.url.endswith(".js") else None)
    one.page.reload()
    one.page.get_by_role("link", name="dag-000").wait_for()
    asked = [url for url in calls if "/api/" in url]
    for url in scripts:
        scripts[url] = len(gzip.compress(one.page.request.get(url).body()))
    assert len(scripts) >= 1
    assert sum(scripts.values()) < FIRST_PAGE_LIMIT_B
    assert len(asked) <= 3, asked
    assert one.page.locator(".table-body .table-row").count() < 60
