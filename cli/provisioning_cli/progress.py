"""Listeners that show a run while it goes on: live lines on a terminal, one line per event elsewhere. All on stderr."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO, cast

from provisioning.core.events import Event
from provisioning.formats.draw.escape import visible
from provisioning.operations import Listener
from provisioning_cli.board import Board
from provisioning_cli.output import STYLES, message
from provisioning_cli.terminal import colored_stream

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console, RenderableType
    from rich.live import Live

    from provisioning.core.plan import Plan

REFRESH_PER_S = 5  # drawing 600 steps takes 5 ms


class _Patient(io.TextIOBase):
    """A stream that goes on when its terminal is gone: a run must not stop for want of a reader."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` is what is written to while it can be."""
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor: its size is asked for there."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, or do not."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do not."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def patient(stream: TextIO) -> TextIO:
    """Return a stream that takes everything, whether or not `stream` still does."""
    return cast("TextIO", _Patient(stream))


class Lines(Listener):
    """One line per event, with the local time."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.board = Board()

    def expect(self, plan: Plan) -> None:
        """Take the plan that is about to run."""
        self.board.expect(plan)

    def on_run(self, run_id: str) -> None:
        """Remember the run's name."""
        self.board.run_id = run_id

    def on_event(self, event: Event) -> None:
        """Tell the event."""
        if told := self.board.apply(event):
            self._say(event.at, told)

    def on_output(self, step: str, text: str) -> None:
        """Remember the last line; logs have the rest."""
        self.board.heard(step, text)

    def on_note(self, text: str) -> None:
        """Tell a note."""
        self._say(datetime.now(UTC), visible(text))

    def _say(self, at: datetime, text: str) -> None:
        message(f"{at.astimezone():%H:%M:%S} {text}")

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class LiveLines(Lines):
    """The board, redrawn in place; notes scroll above it. Events come from one thread, redrawing happens in another."""

    def __init__(self, console: Console) -> None:
        """`console` writes to a terminal."""
        super().__init__()
        self._lock = threading.RLock()
        self._console = console
        self._live: Live | None = None

    def on_event(self, event: Event) -> None:
        """Take the event; the next redrawing shows it."""
        with self._lock:
            self.board.apply(event)

    def on_output(self, step: str, text: str) -> None:
        """Take the last line."""
        with self._lock:
            super().on_output(step, text)

    def expect(self, plan: Plan) -> None:
        """Take the plan and start to draw."""
        super().expect(plan)
        self._start()

    def on_run(self, run_id: str) -> None:
        """Remember the run's name and start to draw: a retry has no plan to start with."""
        super().on_run(run_id)
        self._start()

    def on_abort(self) -> None:
        """Stop drawing: the cursor comes back."""
        if self._live is not None:
            self._live.stop()

    def _say(self, at: datetime, text: str) -> None:
        self._console.print(f"{at.astimezone():%H:%M:%S} {text}", markup=False, highlight=False)

    def _start(self) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._drawn,
                refresh_per_second=REFRESH_PER_S,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop drawing; the last state stays on the screen."""
        self.on_abort()

    def _drawn(self) -> RenderableType:
        from rich.text import Text

        with self._lock:
            width, height = self._console.size
            lines = self.board.lines(datetime.now(UTC), width, height - 2)
        return Text("\n").join(Text(line, style=STYLES.get(state, "bold" if state == "bold" else "")) for line, state in lines)


def listener() -> Lines:
    """Return what suits stderr: live lines on a terminal, plain lines for pipes, CI and NO_COLOR."""
    if not colored_stream(sys.stderr):
        return Lines()
    from rich.console import Console

    return LiveLines(Console(file=patient(sys.stderr), markup=False, highlight=False, emoji=False))
