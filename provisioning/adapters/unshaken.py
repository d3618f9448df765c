"""Work that is done to its end although somebody cancels us: it ends what we have begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[object, object, T]) -> T:
    """Return what work comes to. Whoever cancels us, once more too, waits for that."""
    job = asyncio.ensure_future(work)
    while not job.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(job)
    return job.result()
