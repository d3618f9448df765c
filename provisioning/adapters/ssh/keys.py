"""With what we log in: private keys from files, each loaded once, and from the agent, in OpenSSH's order."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.adapters.ssh.config import DEFAULT_KEYS, Target

if TYPE_CHECKING:
    from paramiko.pkey import PKey


class KeyRing:
    """Private keys by path. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[Path, PKey | str] = {}

    def candidates(self, target: Target, home: Path, *, note: Callable[[str], None]) -> Generator[tuple[str, PKey]]:
        """Yield (what to call it, key) in the order to try; `note` gets why one could not be used.

        Agent keys that the configuration names come first, then the agent's others unless forbidden, then files.
        Agent keys work while the generator is open: close it.
        """
        paths = target.key_paths or tuple(home / name for name in DEFAULT_KEYS)
        wanted = {blob for path in target.key_paths if (blob := _public_blob(path))}
        offered = set()
        with _agent_keys() as from_agent:
            others = () if target.only_these else (key for key in from_agent if key.asbytes() not in wanted)
            for key in (*(key for key in from_agent if key.asbytes() in wanted), *others):
                offered.add(key.asbytes())
                yield f"agent key {key.get_name()}", key
        for path in paths:
            key_or_trouble = self._load(path)
            if isinstance(key_or_trouble, str):
                if target.key_paths and key_or_trouble and _public_blob(path) not in offered:
                    note(key_or_trouble)
            elif key_or_trouble.asbytes() not in offered:
                yield str(path), key_or_trouble

    def _load(self, path: Path) -> PKey | str:
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = _load(path)
            return self._loaded[path]


def _load(path: Path) -> PKey | str:
    """Return the key, or why there is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from paramiko import PKey, SSHException
    from paramiko.pkey import UnknownKeyType

    try:
        return PKey.from_path(path)
    except FileNotFoundError:
        return f"{path} does not exist"
    except OSError as wrong:
        return f"{path} cannot be read: {wrong.strerror}"
    except TypeError:  # what cryptography says when a passphrase is needed
        return f"{path} is protected by a passphrase: add it to the agent (ssh-add)"
    except (SSHException, UnknownKeyType, UnsupportedAlgorithm, ValueError) as wrong:
        return f"{path} is not a private key that can be used: {wrong}"


def _public_blob(path: Path) -> bytes:
    """Return the public half beside a private key, empty when it is not there."""
    try:
        return base64.b64decode(path.with_name(path.name + ".pub").read_text("utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return b""


@contextmanager
def _agent_keys() -> Iterator[tuple[PKey, ...]]:
    """Yield the agent's keys. One agent connection each time: they are not made for several threads."""
    if not os.environ.get("SSH_AUTH_SOCK"):
        yield ()
        return
    from paramiko import Agent, SSHException

    try:
        agent = Agent()
    except (SSHException, OSError):
        yield ()
        return
    try:
        yield tuple(agent.get_keys())
    finally:
        agent.close()
