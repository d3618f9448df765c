"""A server as a process of its own, and a page of it in a browser."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.dagengine import LONG_S, Engine
from support.nursery import Forked

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

WORD = "correct horse battery"  # the password of who is logged in
DESK_PX = {"width": 1280, "height": 800}
REFUSED = "Failed to load resource"  # an answer of 4xx, which pages ask for on purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where a server is, the token for its first user, and its process."""

    address: str
    token: str
    running: Forked

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    def stop(self) -> None:
        """End it in order."""
        self.running.send_signal(signal.SIGTERM)
        self.running.communicate(timeout=LONG_S)


@contextmanager
def serving(engine: Engine, *words: str) -> Iterator[Serving]:
    """Start a server on a free port of the loopback, and end it in order afterwards."""
    with engine.started("server", "--port", "0", *words) as running:
        assert running.stderr is not None
        said = ""
        for line in running.stderr:
            said += line
            if "token" in line:
                break
        address = re.search(r"listening on (http://\S+)", said)
        token = re.search(r"token: (\S+)", said)
        assert address is not None, said
        assert token is not None, said
        server = Serving(address=address[1], token=token[1], running=running)
        try:
            yield server
        finally:
            if running.poll() is None:
                server.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A browser, and where pictures of its pages go."""

    browser: Browser
    shots: Path

    @contextmanager
    def page(self, address: str, **options: Any) -> Iterator[Page]:
        """Open a page of somebody who was never there."""
        context = self.browser.new_context(base_url=address, **{"viewport": DESK_PX, **options})
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        try:
            yield context.new_page()
        finally:
            context.close()


@dataclass(kw_only=True)  # playwright leaves marks on what it calls
class Visit:
    """Somebody at a page. `complaints` are what the browser had to say against it."""

    server: Serving
    page: Page
    shots: Path
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def set_up(self, name: str, password: str) -> None:
        """Make the first user, as the server asks for it."""
        self.page.goto("/setup")
        self.field("Set-up token").fill(self.server.token)
        self.field("Name").fill(name)
        self.field("Password").fill(password)
        self.button("Create the first user").click()
        self.heading("DAGs").wait_for()

    def come_in(self, name: str, password: str) -> None:
        """Be logged in as the first user, without the way there."""
        told = {"token": self.server.token, "name": name, "password": password}
        answer = self.page.request.post("/api/v1/setup", data=told, headers={"Origin": self.server.address})
        assert answer.ok, answer.text()
        self.page.goto("/")

    def asked(self, path: str) -> Any:
        """Return what the API answers to who is logged in."""
        answer = self.page.request.get(f"/api/v1{path}")
        assert answer.ok, answer.text()
        return answer.json()

    def open(self, path: str) -> None:
        """Go to an address by hand."""
        self.page.goto(path)

    def settle(self) -> None:
        """Wait until what was asked for is there."""
        from playwright.sync_api import expect

        self.page.locator("h1").wait_for()
        expect(self.page.locator(".loading")).to_have_count(0, timeout=LONG_S * 1000)

    def field(self, name: str) -> Locator:
        """Return an input by the beginning of its label; a required one has a star at its end."""
        return self.page.get_by_label(re.compile(rf"^{name}"))

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def heading(self, name: str) -> Locator:
        return self.page.get_by_role("heading", level=1, name=name, exact=True)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def status(self, word: str) -> None:
        """Wait until the heading's line says so."""
        self.page.locator(".head .state", has_text=word).wait_for()

    def text(self, text: str) -> Locator:
        return self.page.get_by_text(text, exact=True)

    def run(self, dag: str, **params: str) -> str:
        """Start a DAG from its page; return the run's id when its page is there."""
        self.open(f"/dags/{dag}")
        self.button("Run now").click()
        form = self.page.get_by_role("dialog")
        for name, value in params.items():
            form.get_by_label(name).fill(value)
        form.get_by_role("button", name="Run now").click()
        self.page.wait_for_url("**/runs/*")
        return self.page.url.rpartition("/")[2]

    def step(self, name: str) -> None:
        """Open a step in the table."""
        self.page.get_by_role("table", name="Steps").get_by_role("button", name=name, exact=True).click()

    def log(self, name: str) -> Locator:
        return self.page.get_by_role("log", name=name)

    def picture(self, name: str) -> None:
        """Keep a picture, for people and for the documentation."""
        self.shots.mkdir(exist_ok=True)
        self.page.screenshot(path=self.shots / f"{name}.png")

    def too_wide_px(self) -> int:
        """Return how far one could scroll the page to the side."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(REFUSED):
            self.complaints.append(message.text)
