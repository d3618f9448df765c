"""What an operator does in a browser, from the first start on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.dagengine import Engine, until
from support.webpages import WORD, Visit

Visits = Callable[..., Visit]
pytestmark = pytest.mark.slow

LOAD = """
description: Loads one day
labels: team=data
schedule: "0 4 * * *"
type: graph
params:
  - name: DAY
    default: monday
  - name: COUNT
    type: integer
    default: 2
    minimum: 1
    maximum: 9
steps:
  - name: extract
    command: sh -c 'echo "extracting $DAY"; until [ -e {mark} ]; do sleep 0.1; done; echo "$COUNT rows"'
  - name: colours
    command: sh -c 'printf "\\033[32mgreen\\033[0m and <b>never bold</b>\\n"; echo "mind this" >&2'
    depends: extract
  - name: load
    command: echo loaded
    depends: colours
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return the file that the first step of LOAD waits for."""
    return tmp_path / "mark"


@pytest.fixture
def load(engine: Engine, mark: Path) -> str:
    engine.dag("load-day", LOAD.replace("{mark}", str(mark)))
    return "load-day"


def test_the_first_user_is_made_with_the_printed_token_and_logs_in_again(visit: Visits, load: str) -> None:
    one = visit(logged_in=False)
    one.open("/")
    one.heading("Welcome").wait_for()
    one.picture("welcome")
    one.set_up("ann", WORD)
    one.page.get_by_role("link", name=load).wait_for()

    one.button("Log out").click()
    one.field("Name").fill("ann")
    one.field("Password").fill("not the password")
    one.button("Log in").click()
    one.page.get_by_role("alert").wait_for()
    one.field("Password").fill(WORD)
    one.page.keyboard.press("Enter")
    one.heading("DAGs").wait_for()


def test_a_run_with_parameters_is_watched_live_to_its_end(visit: Visits, load: str, mark: Path) -> None:
    one = visit()
    one.picture("dags")
    one.run(load, DAY="tuesday", COUNT="7")
    one.status("running")
    one.step("extract")
    one.log("stdout of extract").get_by_text("extracting tuesday").wait_for()
    one.picture("run-live")
    mark.touch()
    one.status("succeeded")
    one.log("stdout of extract").get_by_text("7 rows").wait_for()
    graph = one.page.get_by_role("region", name=f"Graph of {load}")
    for step in ("extract", "colours", "load"):
        graph.get_by_role("button", name=f"{step}, succeeded").wait_for()
    one.tab("Timeline")
    one.page.get_by_text("the critical path, 3 of 3 steps").wait_for()
    one.picture("timeline")
    one.tab("Values")
    assert one.text("tuesday").is_visible()


def test_a_log_has_colours_and_both_streams_and_its_text_never_becomes_markup(visit: Visits, load: str, mark: Path) -> None:
    mark.touch()
    one = visit()
    one.run(load)
    one.status("succeeded")
    one.step("colours")
    out = one.log("stdout of colours")
    assert out.locator(".ansi-fg-2").inner_text() == "green"
    assert out.get_by_text("and <b>never bold</b>").is_visible()
    assert out.locator("b").count() == 0
    assert one.log("stderr of colours").get_by_text("mind this").is_visible()
    one.page.get_by_role("region", name="stdout of colours").get_by_label("Search in this log").fill("NEVER")
    assert out.locator("mark").inner_text() == "never"
    one.picture("log")


def test_the_logs_panel_is_copied_whole(visit: Visits, load: str, mark: Path) -> None:
    mark.touch()
    one = visit()
    one.run(load)
    one.status("succeeded")
    one.tab("Logs")
    one.log(f"Logs of {load}").get_by_text("loaded").wait_for()
    one.button("Copy").click()
    one.button("Copied").wait_for()
    copied = one.page.evaluate("navigator.clipboard.readText()")
    for line in ("extracting monday", "2 rows", "green and <b>never bold</b>", "mind this", "loaded"):
        assert line in copied
    assert "\x1b" not in copied
    one.picture("logs")


def test_a_run_is_cancelled(visit: Visits, load: str) -> None:
    one = visit()
    one.run(load)
    one.status("running")
    one.button("Cancel").click()
    one.field("Reason").fill("the wrong day")
    one.button("Stop it").click()
    one.status("aborted")


def test_a_failed_run_is_run_again_where_it_failed(visit: Visits, engine: Engine, mark: Path) -> None:
    steps = f"steps:\n  - echo once >> {mark}.first\n  - test -e {mark}\n  - echo at last\n"
    engine.dag("fragile", f"type: chain\n{steps}")
    one = visit()
    one.run("fragile")
    one.status("failed")
    one.picture("run-failed")
    mark.touch()
    one.button("Retry").click()
    one.status("succeeded")
    assert Path(f"{mark}.first").read_text() == "once\n"


def test_a_schedule_is_suspended_and_stays_so(visit: Visits, engine: Engine, load: str) -> None:
    one = visit()
    toggle = one.page.get_by_role("switch", name=f"Schedule of {load}")
    assert toggle.is_checked()
    toggle.locator("xpath=ancestor::*[contains(@class, 'Switch-root')]").first.click()
    one.text("suspended").wait_for()
    one.page.reload()
    one.text("suspended").wait_for()
    assert not toggle.is_checked()
    assert engine("list", "-o", "json").json is not None


RELEASE = """
type: chain
steps:
  - name: ask
    command: echo ready
    approval:
      prompt: Release it?
      input: [VERSION, REASON]
      required: [REASON]
  - name: ship
    command: sh -c 'echo "shipping because $REASON"'
"""


def test_a_step_that_waits_for_a_person_is_approved_with_what_it_asks_for(visit: Visits, engine: Engine) -> None:
    engine.dag("release", RELEASE)
    one = visit()
    one.run("release")
    one.status("waiting")
    panel = one.page.get_by_role("region", name="waits for approval")
    panel.get_by_text("Release it?").wait_for()
    panel.get_by_role("button", name="Approve").click()
    panel.get_by_text("This is required.").wait_for()
    panel.get_by_label("REASON").fill("it is time")
    one.picture("approval")
    panel.get_by_role("button", name="Approve").click()
    one.status("succeeded")
    assert panel.count() == 0
    one.step("ship")
    one.log("stdout of ship").get_by_text("shipping because it is time").wait_for()


def test_a_new_dag_file_appears_by_itself(visit: Visits, engine: Engine, load: str) -> None:
    one = visit()
    one.page.get_by_role("link", name=load).wait_for()
    engine.dag("fresh", "steps:\n  - echo hi\n")
    one.page.get_by_role("link", name="fresh", exact=True).wait_for()


def test_what_another_process_runs_appears_as_it_happens(visit: Visits, engine: Engine, load: str, mark: Path) -> None:
    one = visit()
    with engine.started("run", load) as running:
        one.page.get_by_role("table", name="DAGs").get_by_text("running").wait_for()
        mark.touch()
        one.page.get_by_role("table", name="DAGs").get_by_text("succeeded").wait_for()
        until(lambda: running.poll() is not None)
