"""Between a run and whoever watches it: a listener that fails must not change how the run ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from provisioning.core.events import Event
from provisioning.operations import Listener

if TYPE_CHECKING:
    from collections.abc import Sequence

    from provisioning.core.run import Run


class Audience(Listener):
    """Passes everything on until the listener fails once; `failure` is then what it raised. Also a `Projection`."""

    def __init__(self, listener: Listener) -> None:
        """`listener` may raise whatever it likes."""
        self._listener = listener
        self.failure: Exception | None = None

    def binds(self, _run: Run) -> bool:
        """See `Projection`."""
        return False

    async def committed(self, _run: Run, events: Sequence[Event]) -> None:
        """See `Projection`."""
        for event in events:
            self.on_event(event)

    def on_run(self, run_id: str) -> None:
        """See `Listener`."""
        self._tell(lambda: self._listener.on_run(run_id))

    def on_event(self, event: Event) -> None:
        """See `Listener`."""
        self._tell(lambda: self._listener.on_event(event))

    def on_output(self, step: str, text: str) -> None:
        """See `Listener`."""
        self._tell(lambda: self._listener.on_output(step, text))

    def on_note(self, text: str) -> None:
        """See `Listener`."""
        self._tell(lambda: self._listener.on_note(text))

    def on_abort(self) -> None:
        """See `Listener`."""
        self._tell(self._listener.on_abort)

    def _tell(self, tell: Callable[[], None]) -> None:
        if self.failure is None:
            try:
                tell()
            except Exception as error:
                self.failure = error
