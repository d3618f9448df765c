"""One runner per workspace, one engine per run: locks that the kernel drops when their holder dies."""

from __future__ import annotations

import asyncio
from pathlib import Path

from provisioning.adapters.files import private_folder, replace_file, store_error
from provisioning.adapters.signed import SignedLock
from provisioning.errors import LockedError, StoreError


class WorkspaceLock:
    """Fulfils `ports.Lease` on `<folder>/.provisioning/lock`; the `_sync` methods need no event loop.

    The fencing number, which only grows, is in a file of its own, `fence`, replaced as a whole.
    """

    def __init__(self, folder: Path, *, poll_s: float = 0.2) -> None:
        self.path = folder / ".provisioning" / "lock"
        self._fence = self.path.with_name("fence")
        self._poll_s = poll_s
        hint = "`--wait` waits for it; `provisioning state unlock` shows who it is. A dead holder's lock frees itself"
        self._lock = SignedLock(self.path, what="workspace", hint=hint, poll_s=poll_s)

    async def acquire(self, *, wait: bool = False) -> int:
        """Return the fencing token, higher than every one before. Raises LockedError naming the holder unless `wait`."""
        while True:
            try:
                return self.acquire_sync()
            except LockedError:
                if not wait:
                    raise
            await asyncio.sleep(self._poll_s)

    async def release(self) -> None:
        """Give it up. Giving up what is not held is no error."""
        self.release_sync()

    async def lost(self) -> None:
        """Wait for ever: the kernel takes it from no process that lives."""
        await asyncio.get_running_loop().create_future()

    def acquire_sync(self, *, wait: bool = False) -> int:
        """As `acquire`; raises StoreError when the folder cannot be written."""
        token = 0

        def next_token() -> dict[str, object]:
            nonlocal token
            token = self._next_token()
            return {"token": token}

        self._lock.take(wait=wait, facts=next_token)
        return token

    def release_sync(self) -> None:
        """As `release`."""
        self._lock.give_up()

    def holder(self) -> dict[str, object] | None:
        """See SignedLock; `token` is among what the holder wrote."""
        return self._lock.holder()

    def given_sync(self) -> int:
        """Return the newest fencing token; 0 where there was none. Raises StoreError."""
        try:
            text = "0"
            if self._fence.exists():  # a pipe or device in its place would be read for ever
                text = self._fence.read_text() if self._fence.is_file() else ""
            return int(text)
        except OSError as error:
            raise store_error("reading the fencing number", self._fence, error) from error
        except ValueError as error:
            raise StoreError(
                f"{self._fence} does not hold a number",
                hint="write one into it that is higher than every `token` in the history: servers refuse lower ones",
            ) from error

    def exceed_sync(self, number: int) -> None:
        """Have every later token be above this number, which was given elsewhere; the caller holds it. Raises StoreError."""
        if number > self.given_sync():
            self._write(number)

    def _next_token(self) -> int:
        """Return the next fencing number, on the disk before anybody uses it."""
        token = self.given_sync() + 1
        self._write(token)
        return token

    def _write(self, token: int) -> None:
        try:
            replace_file(self._fence, f"{token}\n".encode())
        except OSError as error:
            raise store_error("writing the fencing number", self._fence, error) from error


class RunLock:
    """The right to drive one run, without a fence: whoever holds it drives the run, and nobody takes it away.

    The file is there while somebody holds it, and after a holder that died.
    """

    def __init__(self, path: Path, *, poll_s: float = 0.2) -> None:
        """`path` is `<run id>.lock`."""
        self.path = path
        hint = "wait until the run has ended, or stop it. A dead holder's lock frees itself"
        self._lock = SignedLock(path, what=f"run {path.stem}", hint=hint, passing=True, poll_s=poll_s)

    def acquire_sync(self, *, wait: bool = False) -> None:
        """Take it. Raises LockedError naming the holder unless `wait`, StoreError when the folder cannot be written."""
        private_folder(self.path.parent.parent)
        self._lock.take(wait=wait)

    def release_sync(self) -> None:
        """Give it up and remove the file. Giving up what is not held is no error."""
        self._lock.give_up()

    def holder(self) -> dict[str, object] | None:
        """See SignedLock: None when nobody holds it. Raises StoreError."""
        return self._lock.holder()
