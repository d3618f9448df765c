"""A lock file that says who holds it. The kernel drops the lock when its holder dies."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from provisioning.adapters.files import PRIVATE_FILE, private_folder, store_error, try_flock, write_all
from provisioning.errors import LockedError

PROBE_S = 0.02  # how long another process may hold the lock only to look who has it
SIGNED_WITHIN_S = 0.5  # how long a holder may take to sign, on a slow disk
Facts = Callable[[], Mapping[str, object]]


class SignedLock:
    """`flock` on the file `path`. No method needs an event loop.

    The descriptor is closed in every program we start, so no child keeps the lock. One that is `passing` removes its file when
    it is released: whoever waited at the removed file sees that it is no longer the one of that name, and takes the new one.
    """

    def __init__(self, path: Path, *, what: str, hint: str, passing: bool = False, poll_s: float = 0.2) -> None:
        """`what` is locked, and `hint` what to do about it, in the words of a refusal."""
        self.path = path
        self._what, self._hint, self._passing, self._poll_s = what, hint, passing, poll_s
        self._fd: int | None = None

    def take(self, *, wait: bool = False, facts: Facts = dict) -> None:
        """Take it and sign, with `facts` too, which are asked for when it is ours and nobody reads of an earlier holder.

        Raises LockedError naming the holder unless `wait`, StoreError when the folder cannot be written.
        """
        if self._fd is not None:
            raise LockedError(f"this process holds {self.path} already")
        private_folder(self.path.parent)
        fd = self._taken(wait=wait)
        try:
            os.ftruncate(fd, 0)
            _sign(fd, facts())
        except OSError as error:
            os.close(fd)
            raise store_error("signing the lock", self.path, error) from error
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def give_up(self) -> None:
        """Release it. Giving up what is not held is no error."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            if self._passing and self._is_ours(fd):  # while it is locked: nobody else can have it
                with suppress(OSError):
                    self.path.unlink()
        finally:
            os.close(fd)

    def holder(self) -> dict[str, object] | None:
        """Return what the holder wrote (user, host, pid, since, command, and its facts), or None when the lock is free.

        Empty when somebody holds it and has not signed yet. Raises StoreError.
        """
        while True:
            try:
                fd = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise store_error("reading the lock", self.path, error) from error
            try:
                if not try_flock(fd, fcntl.LOCK_SH):
                    return _signature(fd)
                if self._is_ours(fd):
                    return None
            finally:
                os.close(fd)

    def _taken(self, *, wait: bool) -> int:
        """Return the locked file of our name."""
        while True:
            fd = self._open()
            try:
                self._await(fd, wait=wait)
            except BaseException:
                os.close(fd)
                raise
            if self._is_ours(fd):
                return fd
            os.close(fd)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        except OSError as error:
            raise store_error("taking the lock", self.path, error) from error

    def _await(self, fd: int, *, wait: bool) -> None:
        began_s = time.monotonic()
        while not try_flock(fd):
            waited_s, holder = time.monotonic() - began_s, _signature(fd)
            if not wait and waited_s > (PROBE_S if holder else SIGNED_WITHIN_S):
                raise self._refusal(holder)
            time.sleep(self._poll_s if wait else PROBE_S / 4)

    def _is_ours(self, fd: int) -> bool:
        """Whether an open file is the one that has the lock's name now."""
        try:
            return os.path.samestat(os.fstat(fd), self.path.stat())
        except OSError:
            return False

    def _refusal(self, holder: Mapping[str, object]) -> LockedError:
        who = "another runner"
        if holder:
            who = f"{holder.get('user')}@{holder.get('host')}, pid {holder.get('pid')}, since {holder.get('since')}"
        return LockedError(f"{self._what} is locked by {who}", hint=self._hint)


def _sign(fd: int, facts: Mapping[str, object]) -> None:
    signature = {
        "user": _user(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **facts,
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
