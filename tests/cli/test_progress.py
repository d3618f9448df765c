"""Listeners: what suits the stream, and that a terminal which goes away stops nothing."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console
from support.calls import START, pretended

from provisioning.core.events import Event, Kind
from provisioning.core.plan import Selection
from provisioning_cli.progress import Lines, LiveLines, listener, patient


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


def started(step: str) -> Event:
    return Event(run="r", kind=Kind.STEP_STARTED, at=START, step=step, attempt=1)


@pytest.mark.parametrize("variable", ["NO_COLOR", "CI"])
def test_a_terminal_gets_live_lines_unless_somebody_wants_it_plain(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(listener(), LiveLines)
    monkeypatch.setenv(variable, "1")
    assert type(listener()) is Lines


def test_a_pipe_gets_plain_lines() -> None:
    assert type(listener()) is Lines


def test_live_lines_show_the_plan_what_runs_and_notes(tmp_path: Path) -> None:
    stream = Terminal()
    live = LiveLines(Console(file=stream, force_terminal=True, width=80, height=24, markup=False))
    plan = pretended(tmp_path).plan(Selection(everything=True))
    with live:
        live.expect(plan)
        live.on_run("0199")
        live.on_event(started("base/redis"))
        live.on_output("base/redis", "[bold]half[/bold]\n")
        live.on_note("reconnecting")
    shown = stream.getvalue()
    assert "app/redis" in shown
    assert "[bold]half[/bold]" in shown
    assert "reconnecting" in shown
    assert "2 pending, 1 running" in shown


def test_a_terminal_that_is_gone_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    lines = Lines()
    with lines:
        lines.on_event(started("base/redis"))
        lines.on_note("reconnecting")
    assert "base/redis" in lines.board.rows


def test_a_live_terminal_that_is_gone_does_not_stop_the_run() -> None:
    live = LiveLines(Console(file=patient(Gone()), force_terminal=True, width=80, height=24))
    with live:
        live.on_run("0199")
        live.on_event(started("base/redis"))
        live.on_note("reconnecting")
    assert "base/redis" in live.board.rows


def test_a_second_ctrl_c_gives_the_cursor_back() -> None:
    stream = Terminal()
    live = LiveLines(Console(file=stream, force_terminal=True, width=80, height=24))
    with live:
        live.on_run("0199")
        live.on_abort()
        assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
