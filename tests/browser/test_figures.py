"""How soon pages with much on them are there, and how much the browser has to hold. Prints what it finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from statistics import median

import pytest
from support.dagengine import Engine
from support.webpages import Visit

pytestmark = [pytest.mark.slow, pytest.mark.soak]  # milliseconds: make soak
ROUNDS = 7
FIRST_ROW_LIMIT_MS = 1000.0
USABLE_LIMIT_MS = 1000.0  # from a key to what it brings about
ELEMENTS_LIMIT = 4000  # of a page, whatever it shows
DAG_ROW, STEP_ROW = 'a[href^="/dags/"]', "[role=table][aria-label=Steps] [role=row] button"
WATCH = """
new MutationObserver(() => {
  if (window.seenAt === undefined && document.querySelector(`SELECTOR`)) window.seenAt = performance.now();
}).observe(document, {childList: true, subtree: true});
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def shown(one: Visit, selector: str) -> tuple[float, float]:
    """Reload some times; return after how many ms something was painted, and the first of what is looked for was there."""
    one.page.add_init_script(WATCH.replace("SELECTOR", selector))
    paint_ms, row_ms = [], []
    for _ in range(ROUNDS):
        one.page.reload()
        one.page.locator(selector).first.wait_for()
        paint_ms.append(float(one.page.evaluate(PAINT)))
        row_ms.append(float(one.page.evaluate("window.seenAt")))
    return median(paint_ms), median(row_ms)


def tell(what: str, paint_ms: float, row_ms: float, more: str) -> None:
    sys.stdout.write(f"\n{what}: first paint {paint_ms:.0f} ms, first row {row_ms:.0f} ms (medians of {ROUNDS}), {more}\n")


def elements(one: Visit) -> int:
    return int(one.page.evaluate("document.querySelectorAll('*').length"))


def took_ms(one: Visit, work: Callable[[], object]) -> float:
    """Return how long the page took, by its own clock."""
    before = one.page.evaluate("performance.now()")
    work()
    return float(one.page.evaluate("performance.now()")) - float(before)


def test_the_first_of_a_thousand_dags_is_there_within_a_second(visit: Callable[..., Visit], engine: Engine) -> None:
    for number in range(1000):
        text = f"labels: team={'ab'[number % 2]}\nschedule: '{number % 60} 4 * * *'\nsteps:\n  - echo one\n  - echo two\n"
        engine.dag(f"dag-{number:04d}", text)
    one = visit()
    (paint_ms, row_ms), count = shown(one, DAG_ROW), elements(one)
    tell("1,000 DAGs", paint_ms, row_ms, f"{count} elements")
    assert row_ms < FIRST_ROW_LIMIT_MS
    assert count < ELEMENTS_LIMIT


def test_a_run_of_5000_steps_is_shown_and_searched_without_waiting(visit: Callable[..., Visit], engine: Engine) -> None:
    wide = "".join(f"  - name: s{index}\n    command: 'true'\n    depends: s{(index - 1) // 50}\n" for index in range(1, 5000))
    engine.dag("large", f"type: graph\nsteps:\n  - name: s0\n    command: sleep 600\n{wide}")
    one = visit()
    one.run("large")
    one.status("running")
    (paint_ms, row_ms), count = shown(one, STEP_ROW), elements(one)
    table = one.page.get_by_role("table", name="Steps")

    def search(word: str) -> None:
        one.page.get_by_label("Search steps").fill(word)
        table.get_by_role("button", name=word, exact=True).wait_for()

    search_ms = median([took_ms(one, partial(search, word)) for word in ("s4999", "s2500", "s77", "s4000", "s1")])
    tell("5,000 steps", paint_ms, row_ms, f"{count} elements, a search {search_ms:.0f} ms")
    assert count < ELEMENTS_LIMIT
    assert search_ms < USABLE_LIMIT_MS
    one.button("Cancel").click()
    one.button("Stop it").click()
    one.status("aborted")
