"""What DAG files, programs and people write is text on every page, whatever it looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from support.dagengine import Engine
from support.webpages import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Dialog

pytestmark = pytest.mark.slow
MARK = "<img src=x onerror=alert(1)><b id=planted>bold</b><script>alert(2)</script>"
LINK = "javascript:alert(3)"
DAG = f"""
description: {MARK!r}
labels:
  note: {MARK!r}
type: graph
params:
  - name: WORD
    default: {MARK!r}
    description: {MARK!r}
steps:
  - name: {"<b>step</b>"!r}
    description: {MARK!r}
    command: printf '%s\\n' "$WORD" '{LINK}' >&2; printf '%s\\n' "$WORD"; exit 3
  - name: ask
    command: "true"
    approval:
      prompt: {MARK!r}
"""
TABS = ("steps", "graph", "timeline", "logs", "values")


def test_nothing_that_is_shown_becomes_markup(visit: Callable[..., Visit], engine: Engine) -> None:
    engine.dag("hostile", DAG)
    engine.dag("broken", f"{MARK}: [\n")
    one = visit()
    talked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        talked.append(dialog.message)
        dialog.dismiss()

    one.page.on("dialog", dismiss)
    run = one.run("hostile")
    one.status("waiting")
    for path in (
        *("/", "/runs", "/schedules", "/dead-letters", "/audit", "/dags/hostile", "/dags/broken"),
        *(f"/runs?q={MARK}", f"/{MARK}"),
        *(f"/dags/hostile?tab={tab}" for tab in ("graph", "runs", "source")),
        *(f"/runs/{run}?tab={tab}" for tab in TABS),
        *(f"/runs/{run}?tab=steps&step=<b>step</b>", "/dags/nosuch<b id=planted>"),
    ):
        one.open(path)
        one.settle()
        assert one.page.locator("#planted, img[src=x], [onerror], a[href^=javascript]").count() == 0, path
    one.open(f"/runs/{run}?tab=logs")
    one.page.get_by_text("bold</b><script>alert(2)</script>").first.wait_for()
    assert talked == []
