"""Attempt logs in memory."""

from __future__ import annotations

from provisioning.core.text import plain_text


class MemoryLogs:
    """Fulfils `ports.LogStore`; keeps everything, so it is for small outputs."""

    def __init__(self) -> None:
        self.written: dict[str, MemoryLog] = {}  # by path, in the order of opening

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> MemoryLog:
        """Start the log of an attempt; a second one of the same attempt gets a path of its own."""
        count = 1
        while kind == "err" and _path(run, step, attempt, "out", count + 1) in self.written:
            count += 1
        while (path := _path(run, step, attempt, kind, count)) in self.written:
            count += 1
        self.written[path] = MemoryLog(path)
        return self.written[path]

    def delete(self, run: str) -> None:
        """Remove the logs of a run."""
        for path in [path for path in self.written if path.startswith(f"memory:{run}/")]:
            del self.written[path]

    def text(self, run: str, step: str, attempt: int = 1, *, kind: str = "log") -> str:
        """Return what an attempt has printed so far. Raises KeyError for one that never began."""
        return plain_text(bytes(self.written[_path(run, step, attempt, kind)].data))


class MemoryLog:
    """One attempt's log. Fulfils `ports.LogWriter`."""

    def __init__(self, path: str) -> None:
        self.data = bytearray()
        self.closed = False
        self._path = path

    @property
    def path(self) -> str:
        """A name for it; there is no file."""
        return self._path

    def write(self, data: bytes) -> None:
        """Append. Raises ValueError after `close`."""
        if self.closed:
            raise ValueError(f"{self._path} is closed")
        self.data += data

    def tail(self, lines: int = 10) -> list[str]:
        """Return the last lines as safe text."""
        return plain_text(bytes(self.data)).rstrip("\n").split("\n")[-lines:] if lines > 0 and self.data.strip() else []

    def close(self) -> None:
        """Close. Closing twice is no error."""
        self.closed = True


def _path(run: str, step: str, attempt: int, kind: str, count: int = 1) -> str:
    number = "" if count == 1 else f".{count}"
    return f"memory:{run}/{step}.{attempt}{number}" + ("" if kind == "log" else f".{kind}")
