"""Debian's chromium, headless, and a server for it to look at. Where something is missing, it is named and they are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.dagengine import LONG_S, Engine
from support.webpages import WORD, Desk, Visit, serving

UI = Path(__file__).parents[2] / "provisioning" / "api" / "ui" / "index.html"
SHOTS = Path(__file__).parents[2] / ".browser"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Desk]:
    """One browser for a module: playwright's loop must not be there when other tests start theirs."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium (apt-get install chromium)")
    if not UI.is_file():
        pytest.skip("the web UI is not built (make ui, with Node)")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*sandbox, "--disable-dev-shm-usage"])
        yield Desk(browser=browser, shots=SHOTS)
        browser.close()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
def visit(chromium: Desk, engine: Engine) -> Iterator[Callable[..., Visit]]:
    """Return a maker of visits: a server over the engine's DAG files, and a page of it with a person logged in.

    Nothing on any page may be against its own policy, nor fail in the page's code.
    """
    with ExitStack() as stack:
        visits: list[Visit] = []

        def make(*words: str, logged_in: bool = True, **options: object) -> Visit:
            server = stack.enter_context(serving(engine, *words))
            page = stack.enter_context(chromium.page(server.address, **options))
            page.set_default_timeout(LONG_S * 1000)
            one = Visit(server=server, page=page, shots=chromium.shots)
            visits.append(one)
            if logged_in:
                one.come_in("ann", WORD)
            return one

        yield make
        for one in visits:
            assert one.complaints == []
