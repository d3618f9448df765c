"""One runner per workspace: a lock that the kernel drops when its holder dies, and a fencing number that only grows."""

from __future__ import annotations

import asyncio
import fcntl
import getpass
import json
import os
import shlex
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from provisioning.adapters.files import PRIVATE_FILE, private_folder, replace_file, store_error, try_flock, write_all
from provisioning.errors import LockedError, StoreError

PROBE_S = 0.02  # how long another process may hold the lock only to look who has it
SIGNED_WITHIN_S = 0.5  # how long a holder may take to sign, on a slow disk


class WorkspaceLock:
    """Fulfils `ports.Lease` with `flock` on `<folder>/.provisioning/lock`; the `_sync` methods need no event loop.

    The file says who holds it and since when, for people. The descriptor is closed in every program we start, so no child
    keeps the lock. The fencing number is in a file of its own, `fence`, replaced as a whole.
    """

    def __init__(self, folder: Path, *, poll_s: float = 0.2) -> None:
        self.path = folder / ".provisioning" / "lock"
        self._fence = self.path.with_name("fence")
        self._poll_s = poll_s
        self._fd: int | None = None

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

    def acquire_sync(self, *, wait: bool = False) -> int:
        """As `acquire`; raises StoreError when the folder cannot be written."""
        if self._fd is not None:
            raise LockedError(f"this process holds {self.path} already")
        private_folder(self.path.parent)
        fd = self._open()
        try:
            self._take(fd, wait=wait)
            os.ftruncate(fd, 0)  # from here on nobody is told of the holder before us
            token = self._next_token()
            self._sign(fd, token)
        except OSError as error:
            os.close(fd)
            raise store_error("signing the lock", self.path, error) from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return token

    def release_sync(self) -> None:
        """As `release`."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def holder(self) -> dict[str, object] | None:
        """Return what the holder wrote (user, host, pid, since, token, command), or None when the lock is free.

        Empty when somebody holds it and has not signed yet. Raises StoreError.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error("reading the lock", self.path, error) from error
        try:
            return None if try_flock(fd, fcntl.LOCK_SH) else _signature(fd)
        finally:
            os.close(fd)

    # ------------------------------------------------------------ parts

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        except OSError as error:
            raise store_error("taking the lock", self.path, error) from error

    def _take(self, fd: int, *, wait: bool) -> None:
        began_s = time.monotonic()
        while not try_flock(fd):
            waited_s, holder = time.monotonic() - began_s, _signature(fd)
            if not wait and waited_s > (PROBE_S if holder else SIGNED_WITHIN_S):
                raise self._refusal(holder)
            time.sleep(self._poll_s if wait else PROBE_S / 4)

    def _refusal(self, holder: dict[str, object]) -> LockedError:
        hint = "`--wait` waits for it; `provisioning state unlock` shows who it is. A dead holder's lock frees itself"
        if not holder:
            return LockedError("workspace is locked by another runner", hint=hint)
        who = f"{holder.get('user')}@{holder.get('host')}, pid {holder.get('pid')}, since {holder.get('since')}"
        return LockedError(f"workspace is locked by {who}", hint=hint)

    def _next_token(self) -> int:
        """Return the next fencing number, on the disk before anybody uses it."""
        try:
            text = "0"
            if self._fence.exists():  # a pipe or device in its place would be read for ever
                text = self._fence.read_text() if self._fence.is_file() else ""
            token = int(text) + 1
            replace_file(self._fence, f"{token}\n".encode())
        except OSError as error:
            raise store_error("writing the fencing number", self._fence, error) from error
        except ValueError as error:
            raise StoreError(
                f"{self._fence} does not hold a number",
                hint="write one into it that is higher than every `token` in the history: servers refuse lower ones",
            ) from error
        return token

    def _sign(self, fd: int, token: int) -> None:
        signature = {
            "user": _user(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "token": token,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        }
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, json.dumps(signature).encode() + b"\n")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in containers
        return str(os.getuid())


def _signature(fd: int) -> dict[str, object]:
    try:
        found = json.loads(os.pread(fd, 65_536, 0))
    except (ValueError, RecursionError):  # torn, or brackets without end
        return {}
    return found if isinstance(found, dict) else {}
