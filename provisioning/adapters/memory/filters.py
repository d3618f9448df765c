"""Filters that answer what a test says."""

from __future__ import annotations

import asyncio

from provisioning.errors import FilterFailed


class FakeFilters:
    """Fulfils `errands.Filters`. A program that nothing was said of is refused.

        filters = FakeFilters({".a": b"1\\n"})
        filters.asked  # [(".a", b'{"a": 1}', False)]

    An answer that is a text is jq's message; None never comes.
    """

    def __init__(self, answers: dict[str, bytes | str | None] | None = None) -> None:
        self.asked: list[tuple[str, bytes, bool]] = []  # program, data, raw
        self.cancelled = 0
        self._answers = answers or {}

    async def apply(self, program: str, data: bytes, *, raw: bool, timeout_s: float) -> bytes:
        """See Filters."""
        self.asked.append((program, data, raw))
        answer = self._answers.get(program, "jq: no such filter")
        if answer is None:
            answer = await self._never(timeout_s)
        if isinstance(answer, str):
            raise FilterFailed(answer)
        await asyncio.sleep(0)
        return answer

    async def _never(self, timeout_s: float) -> str:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        except TimeoutError:
            pass
        return f"jq: the filter took longer than {timeout_s:g} s"
