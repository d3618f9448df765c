"""What keeps a server in order: backfills, failed steps, programs, people, and who did what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.dagengine import Engine
from support.webpages import Visit

Visits = Callable[..., Visit]
pytestmark = pytest.mark.slow


def test_past_times_are_looked_at_and_then_run_each_once(visit: Visits, engine: Engine) -> None:
    engine.dag("nightly", 'schedule: "0 4 * * *"\nsteps:\n  - echo night\n')
    one = visit()
    one.open("/schedules")
    one.button("Backfill nightly").click()
    form = one.page.get_by_role("dialog")
    form.get_by_label("From").fill("2026-01-01T00:00")
    form.get_by_label("Until").fill("2026-01-04T00:00")
    form.get_by_role("button", name="Dry run").click()
    form.get_by_text("3 runs would start, 0 are skipped.").wait_for()
    one.picture("backfill")
    assert one.asked("/runs?dag=nightly")["runs"] == []

    form.get_by_role("button", name="Start").click()
    progress = one.page.get_by_role("region", name="Backfill of nightly")
    progress.get_by_text("3 of 3 ended, 0 failed, 0 skipped").wait_for()
    progress.get_by_text("3 times").click()
    progress.get_by_role("listitem").first.get_by_text("succeeded").wait_for()
    one.picture("schedules")
    assert [run["status"] for run in one.asked("/runs?dag=nightly")["runs"]] == ["succeeded"] * 3


def test_a_dead_letter_says_why_and_is_replayed(visit: Visits, engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    engine.dag("fragile", f"steps:\n  - name: breaks\n    command: sh -c 'test -e {mark} || {{ echo no mark >&2; exit 7; }}'\n")
    assert engine("run", "fragile").code != 0
    one = visit()
    one.page.get_by_role("link", name="Dead letters").click()
    letters = one.page.get_by_role("table", name="Dead letters")
    letters.get_by_role("button", name="fragile / breaks").click()
    one.log("stderr of breaks").get_by_text("no mark").wait_for()
    assert letters.get_by_text("exit code 7").count() > 0
    one.picture("dead-letters")

    mark.touch()
    one.button("Replay fragile breaks").click()
    one.text("No step waits to be run again.").wait_for()
    one.page.get_by_label("Which").select_option("Run again")
    letters.get_by_role("link", name="by ann").wait_for()
    one.page.get_by_label("Which").select_option("All")
    letters.get_by_role("link", name="by ann").click()
    one.status("succeeded")


def test_tokens_and_users_are_made_and_taken_away_and_the_audit_log_knows(visit: Visits) -> None:
    one = visit()
    one.open("/tokens")
    one.field("For").fill("the pipeline")
    one.button("Make a token").click()
    shown = one.page.get_by_role("alert")
    token = shown.locator(".mono").inner_text()
    one.picture("tokens")
    bearer = {"Authorization": f"Bearer {token}"}
    listing = f"{one.server.address}/api/v1/dags"
    assert one.page.request.get(listing, headers=bearer).ok
    one.button("Revoke the pipeline").click()
    one.button("Really revoke the pipeline").click()
    one.text("There are no tokens.").wait_for()
    assert one.page.request.get(listing, headers=bearer).status == 401

    one.open("/users")
    one.field("Name").fill("bob")
    one.field("Password").fill("a long enough word")
    one.button("Add user").click()
    one.page.get_by_label("Role of bob").select_option("operator")
    one.text("bob is operator now.").wait_for()
    one.picture("users")
    one.button("Remove bob").click()
    one.button("Really remove bob").click()
    one.text("bob may not log in any more.").wait_for()
    assert [user["name"] for user in one.asked("/users")["users"]] == ["ann"]

    one.open("/audit")
    log = one.page.get_by_role("table", name="Audit log")
    for action in ("token.add", "token.revoke", "user.add", "user.remove"):
        log.get_by_text(action, exact=True).first.wait_for()
    one.picture("audit")
    one.page.get_by_label("Who").fill("nobody-like-this")
    one.text("Nothing is recorded.").wait_for()
